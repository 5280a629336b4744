"""Argument and result of the activity, and of the workflow `Prune`, that delete what is old; they stay.

As with `activities.interface`, fields may be added, with a default.
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
    """Some of what is old is to be deleted.

    Attributes:
        ages: How long what is kept, as `runtime.retention.parse_ages` reads it.
        now: By which time, ISO 8601 in UTC; empty for a workflow that begins.
        job: Where to go on; empty at the beginning.
        since: How far that job is, ISO 8601 in UTC.
        deleted: How many rows are deleted already, by what they are.
    """

    ages: str
    now: str = ""
    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was deleted.

    Attributes:
        job: Where to go on; empty if all is done.
        since: How far that job is, ISO 8601 in UTC.
        deleted: How many rows, by what they are.
        kept: What is kept for longer than it was asked for, and why: sentences.
        pause: Seconds in which others get on, before it does.
    """

    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])
    kept: tuple[str, ...] = ()
    pause: float = 0.0


PRUNE: Final = ActivityType("prune", Pruning, Pruned)
_READER: Final = TypeAdapter(Pruning)


def pruning_in(argument: object) -> Pruning | None:
    """What a workflow is given, or None if it is something else, or its times are none."""
    try:
        asked = _READER.validate_python(argument)
        times = [datetime.fromisoformat(text) for text in (asked.now, asked.since) if text]
    except (ValidationError, ValueError):
        return None
    is_placed = bool(asked.job) == bool(asked.since)
    return asked if is_placed and all(time.tzinfo is not None for time in times) else None
