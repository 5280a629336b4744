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
    """The counts that earlier attempts left.

    Attributes:
        stale: The server keeps an obsolete mark.
        away: Number of attempts that did not count.
        unsent: Number of attempts in a row, up to the last one, that ended before their message could leave.
    """

    stale: bool = False
    away: int = 0
    unsent: int = 0


def tally(info: activity.Info) -> Tally:
    """Return the counts in the mark of the previous attempt."""
    details = list(info.heartbeat_details)
    if len(details) < _FULL:
        return Tally()
    _, away, number, *unsent = details
    if info.attempt > number:
        return Tally(away=int(away), unsent=int(unsent[0]) if unsent and info.attempt == number + 1 else 0)
    return Tally(stale=True)  # an operator let Temporal count from 1 again: what was counted before means nothing


def mark(word: str, away: int, attempt: int, unsent: int) -> tuple[Any, ...]:
    """Return the values of a mark, without empty ones."""
    return (word, *((away, attempt) if away else ()), *((unsent,) if unsent else ()))
