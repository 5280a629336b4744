"""Argument and result of the activity and the workflow `Prune`, which delete old data.

They are stable, as in `activities.interface`: fields may be added, with a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from activities.interface import ActivityType

WORKFLOW: Final = "Prune"
"""The workflow's type."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """A request to delete a part of the old data.

    Attributes:
        ages: The ages, as `runtime.retention.parse_ages` reads them.
        now: The reference time, ISO 8601 in UTC; empty at the start of a workflow.
        job: The job to continue with; empty at the beginning.
        since: The progress of that job, ISO 8601 in UTC.
        deleted: Numbers of deleted rows so far, by kind.
    """

    ages: str
    now: str = ""
    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The result of a part.

    Attributes:
        job: The job to continue with; empty if all is done.
        since: The progress of that job, ISO 8601 in UTC.
        deleted: Numbers of deleted rows, by kind.
        kept: Data that is kept longer than requested, and why: sentences.
        pause: Seconds to wait before the next part.
    """

    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])
    kept: tuple[str, ...] = ()
    pause: float = 0.0


PRUNE: Final = ActivityType("prune", Pruning, Pruned)
_READER: Final = TypeAdapter(Pruning)


def pruning_in(argument: object) -> Pruning | None:
    """Return a workflow's argument, or None if it is something else or malformed."""
    try:
        asked = _READER.validate_python(argument)
        times = [datetime.fromisoformat(text) for text in (asked.now, asked.since) if text]
    except (ValidationError, ValueError):
        return None
    is_placed = bool(asked.job) == bool(asked.since)
    return asked if is_placed and all(time.tzinfo is not None for time in times) else None
