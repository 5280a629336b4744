"""Argument and result of the activity that the workflow `Enter` calls.

They are stable, as in `activities.interface`.
"""

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
    """The journey's id, or the reason for a refusal.

    Attributes:
        refused: A reason for refusal that is known before admission; else empty.
        workflow_id: The journey's id.
        summary: Its summary for Temporal's UI: ids only.
        purpose: The scenario's purpose.
        joins: True if an entry of a running journey is answered with that journey.
    """

    refused: str = ""
    workflow_id: str = ""
    summary: str = ""
    joins: bool = False
    purpose: str = MARKETING


IDENTIFY: Final = ActivityType("identify", IdentityRequest, EntryIdentity)
