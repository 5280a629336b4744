"""Arguments and results of the activity that the workflow `Enter` calls; as with `activities.interface`, they stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from activities.interface import ActivityType
from scenario.policies.purpose import MARKETING


@dataclass(frozen=True, kw_only=True)
class IdentityRequest:
    """Which journey would an entry start?

    Attributes:
        entry: The entry as it came.
        now: When it is asked, ISO 8601 in UTC.
    """

    entry: dict[str, Any]
    now: str


@dataclass(frozen=True, kw_only=True)
class EntryIdentity:
    """The journey's id, or why there is none.

    Attributes:
        refused: Why the contact is not admitted, as far as that can be said before; empty if it may.
        workflow_id: The journey's.
        summary: What Temporal's UI shows of it: ids only.
        purpose: The scenario's.
        joins: True if somebody who is in already is answered with the journey in progress, and not refused.
    """

    refused: str = ""
    workflow_id: str = ""
    summary: str = ""
    joins: bool = False
    purpose: str = MARKETING


IDENTIFY: Final = ActivityType("identify", IdentityRequest, EntryIdentity)
