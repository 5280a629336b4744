"""The workflow `Erase`, and its activities: their names, arguments and results.

As with `activities.interface`, fields may be added, with a default. None holds the contact's id: the erasure's leads to
it, in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from activities.interface import JOURNEYS, ActivityType

WORKFLOW: Final = "Erase"
"""The workflow's type."""


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """An erasure in progress.

    Attributes:
        erasure: Its id in the store.
        passes: Number of completed passes.
        remaining: Number of runs that Temporal still had at the beginning of this pass.
    """

    erasure: str
    passes: int = 0
    remaining: int = 0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result of `end_journeys`.

    Attributes:
        remaining: Number of runs that Temporal still has.
    """

    remaining: int


@dataclass(frozen=True, kw_only=True)
class RowsCleared:
    """The result of `clear_rows`.

    Attributes:
        finished: True if nothing is left to be erased.
        pause: Seconds until the next pass.
    """

    finished: bool = False
    pause: float = 0.0


END_JOURNEYS: Final = ActivityType("end_journeys", Erasing, Ended, JOURNEYS)
DELETE_HISTORIES: Final = ActivityType("delete_histories", Erasing, type(None), JOURNEYS)
CLEAR_ROWS: Final = ActivityType("clear_rows", Erasing, RowsCleared, JOURNEYS)
_READER: Final = TypeAdapter(Erasing)


def erasing_in(argument: object) -> Erasing | None:
    """Return a workflow's argument as an erasure, or None if it is something else."""
    try:
        return _READER.validate_python(argument)
    except ValidationError:
        return None
