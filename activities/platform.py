"""Argument and result of the activity and the workflow `TellPlatform`.

They are stable, as in `activities.interface`.
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
    """A suppressed address to report.

    Attributes:
        destination: The platform's destination.
        channel: ``email`` or ``sms``.
        address: The sealed address, see `runtime.sealed_token`.
        source: The reason, in the platform's words.
        scope: The list; empty for all.
        at: Time of the suppression, ISO 8601 in UTC.
    """

    destination: str
    channel: str
    address: str
    source: str
    scope: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The platform's answer.

    Attributes:
        outcome: ``told``, or ``known`` if the platform knew it.
        status: Its status.
    """

    outcome: str
    status: int = 0


TELL: Final = ActivityType("tell_platform", SuppressionNotice, Answered, queue=WEBHOOK.queue)
_READER: Final = TypeAdapter(SuppressionNotice)


def news_in(argument: object) -> SuppressionNotice | None:
    """Return a workflow's argument, or None if it is something else."""
    try:
        return _READER.validate_python(argument)
    except ValidationError:
        return None
