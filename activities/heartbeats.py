"""The marks that an attempt leaves for the next one: heartbeat details, which outlive a lost attempt."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from temporalio import activity

SETTLED: Final = "settled"
"""First value of a mark: nothing is uncertain. The other one is `activities.failures.SENDING`."""
_FULL: Final = 3
"""The least number of values in a full mark: the word, `Tally.away`, Temporal's number of the attempt, `Tally.unsent`
unless it is 0."""


class Tally(NamedTuple):
    """What the attempts before this one left behind.

    Attributes:
        stale: The server keeps a mark that means nothing any more.
        away: How many attempts did not count.
        unsent: How many in a row, up to the last one, ended before their message could leave.
    """

    stale: bool = False
    away: int = 0
    unsent: int = 0


def tally(info: activity.Info) -> Tally:
    """Return what the mark of the attempt before says."""
    details = list(info.heartbeat_details)
    if len(details) < _FULL:
        return Tally()
    _, away, number, *unsent = details
    if info.attempt > number:
        return Tally(away=int(away), unsent=int(unsent[0]) if unsent and info.attempt == number + 1 else 0)
    return Tally(stale=True)  # an operator let Temporal count from 1 again: what was counted before means nothing


def mark(word: str, away: int, attempt: int, unsent: int) -> tuple[Any, ...]:
    """Return the values of a mark, without what is empty."""
    return (word, *((away, attempt) if away else ()), *((unsent,) if unsent else ()))
