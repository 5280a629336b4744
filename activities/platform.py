"""Argument and result of the activity, and of the workflow `TellPlatform`, that tell of a suppressed address.

As with `activities.interface`, they stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from activities.channel_registry import WEBHOOK
from activities.interface import ActivityType

WORKFLOW: Final = "TellPlatform"
"""The workflow's type."""


@dataclass(frozen=True, kw_only=True)
class SuppressionNotice:
    """An address is suppressed.

    Attributes:
        destination: Who is told.
        channel: ``email`` or ``sms``.
        address: Sealed, see `runtime.sealed_token`: nothing here shows it.
        source: Why, in the platform's words.
        scope: The list that it is about; empty: all.
        at: Since when, ISO 8601 in UTC.
    """

    destination: str
    channel: str
    address: str
    source: str
    scope: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What the platform said.

    Attributes:
        outcome: ``told``, or ``known`` where it was told nothing new.
        status: Of its answer.
    """

    outcome: str
    status: int = 0


TELL: Final = ActivityType("tell_platform", SuppressionNotice, Answered, queue=WEBHOOK.queue)
_READER: Final = TypeAdapter(SuppressionNotice)


def news_in(argument: object) -> SuppressionNotice | None:
    """Return the news that a workflow is given, or None if it is something else."""
    try:
        return _READER.validate_python(argument)
    except ValidationError:
        return None
