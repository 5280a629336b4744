"""The marks that an attempt leaves for the next one: heartbeat details, which outlive a lost attempt."""

from __future__ import annotations

from typing import Final

from temporalio import activity

SETTLED: Final = "settled"
"""First value of a mark: nothing is uncertain. The other one is `activities.failures.SENDING`."""
_FULL: Final = 3
"""Values of a full mark: the word, how many attempts were turned away until then, Temporal's number of the attempt."""


def turned_away(info: activity.Info) -> tuple[bool, int]:
    """How many of the attempts before this one were turned away, and whether the mark that tells it still holds."""
    details = list(info.heartbeat_details)
    if len(details) != _FULL:
        return True, 0
    _, away, number = details
    if info.attempt > number:
        return True, int(away)
    return False, 0  # an operator let Temporal count from 1 again: what was counted before means nothing
