"""Temporal's back-off, computed as the server does: to say when the next attempt is due, never to wait by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from temporalio import activity
from temporalio.common import RetryPolicy

from scenario.plan.retry import LAST, lengthen

SOON: Final = timedelta(seconds=5)
"""The pause after an attempt that sent nothing, on average."""
LATER: Final = timedelta(minutes=1)
"""The same where only a new release of the program can help."""


def spread(pause: timedelta, identifier: str, attempt: int) -> timedelta:
    """Return a pause that is up to half shorter or longer, by a hash of the delivery's id and the attempt's number.

    What one outage has kept from being sent would otherwise come back all at once.
    """
    share: float = crc32(f"{identifier}/{attempt}".encode()) / 0xFFFF_FFFF
    return pause * (0.5 + share)


def pause(policy: RetryPolicy | None, attempt: int) -> float:
    """Seconds between an attempt and the next one by a retry policy.

    Args:
        policy: As it is now; None means no policy, and no pause.
        attempt: The number of the attempt that failed, from 1.
    """
    if policy is None:
        return 0.0
    longest = (policy.maximum_interval or 100 * policy.initial_interval).total_seconds()
    try:
        return min(policy.initial_interval.total_seconds() * policy.backoff_coefficient ** (attempt - 1), longest)
    except OverflowError:  # after hundreds of attempts the power is not a float any more
        return longest


def deadline(info: activity.Info, room: float) -> datetime | None:
    """When the last attempt may begin.

    Args:
        info: Of an attempt.
        room: How much later Temporal's own end of all attempts is, in seconds; see `Delivery.room`.

    Returns:
        None if there is no deadline.
    """
    whole = info.schedule_to_close_timeout
    return info.scheduled_time + whole - timedelta(seconds=room) if whole else None


def left(info: activity.Info, room: float) -> timedelta:
    """How long it is until an attempt should be begun at the latest; see `deadline`."""
    end = deadline(info, room)
    return timedelta.max if end is None else end - datetime.now(UTC) - LAST


def instead(info: activity.Info, number: int, asked: int | None, room: float) -> timedelta | None:
    """Return the pause to make instead of Temporal's own, if any.

    Temporal's is too long after attempts that were turned away, which it counts, and too short after attempts that were
    made before the delivery was kept back, which it does not.

    Args:
        info: Of the attempt that failed.
        number: The attempt's, counted without those.
        asked: Seconds for which the receiver asked to be left alone.
        room: See `deadline`.
    """
    planned = pause(info.retry_policy, number)
    delay = lengthen(asked, planned, left(info, room).total_seconds())
    if delay is None and planned != pause(info.retry_policy, info.attempt):
        delay = planned
    return None if delay is None else timedelta(seconds=delay)


def next_try(
    info: activity.Info, ended: datetime, delay: timedelta | None = None, *, room: float = 0.0
) -> datetime | None:
    """When Temporal will try again after a failure that may be tried again.

    Args:
        info: Of the attempt: its number, and the policy that it was started under.
        ended: When it failed, with a zone.
        delay: What overrides the policy's interval (`next_retry_delay`).
        room: See `deadline`.

    Returns:
        None if there will be no further attempt: their number or the deadline does not allow it.
    """
    policy = info.retry_policy
    if policy is None or (policy.maximum_attempts and info.attempt >= policy.maximum_attempts):
        return None
    due = ended + (delay or timedelta(seconds=pause(policy, info.attempt)))
    end = deadline(info, room)
    return None if end and due >= end else due
