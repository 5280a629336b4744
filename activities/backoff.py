"""Temporal's back-off, calculated as the server does, to predict the next attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from temporalio import activity
from temporalio.common import RetryPolicy

from scenario.plan.retry import LAST, lengthen

SOON: Final = timedelta(seconds=5)
"""Average pause after an attempt that sent nothing."""
LATER: Final = timedelta(minutes=1)
"""The same if only a new release of the program can help."""


def spread(pause: timedelta, identifier: str, attempt: int) -> timedelta:
    """Return a pause up to half shorter or longer, by a hash of the delivery's id and the attempt's number.

    Deliveries that one outage delayed would otherwise all return at the same time.
    """
    share: float = crc32(f"{identifier}/{attempt}".encode()) / 0xFFFF_FFFF
    return pause * (0.5 + share)


def pause(policy: RetryPolicy | None, attempt: int) -> float:
    """Return the seconds between an attempt and the next one.

    Args:
        policy: The current policy; None means no pause.
        attempt: Number of the failed attempt, from 1.
    """
    if policy is None:
        return 0.0
    longest = (policy.maximum_interval or 100 * policy.initial_interval).total_seconds()
    try:
        return min(policy.initial_interval.total_seconds() * policy.backoff_coefficient ** (attempt - 1), longest)
    except OverflowError:  # after hundreds of attempts the power is not a float any more
        return longest


def deadline(info: activity.Info, room: float) -> datetime | None:
    """Return the last moment at which an attempt may start, or None without a deadline.

    Args:
        info: The activity's info.
        room: Seconds by which Temporal's own limit is later; see `Delivery.room`.
    """
    whole = info.schedule_to_close_timeout
    return info.scheduled_time + whole - timedelta(seconds=room) if whole else None


def left(info: activity.Info, room: float) -> timedelta:
    """Return the time until the last moment at which an attempt should start; see `deadline`."""
    end = deadline(info, room)
    return timedelta.max if end is None else end - datetime.now(UTC) - LAST


def instead(info: activity.Info, number: int, asked: int | None, room: float) -> timedelta | None:
    """Return the pause to use instead of Temporal's own, or None.

    Temporal's is too long after attempts that were turned away, which it counts, and too short if attempts preceded a
    deferral, which it does not count.

    Args:
        info: The failed attempt's activity info.
        number: The attempt's number, without those that do not count.
        asked: Seconds that the receiver requested, or None.
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
    """Return when Temporal will retry after a retryable failure, or None if attempts or the deadline are exhausted.

    Args:
        info: The attempt's activity info.
        ended: Time of the failure, with a zone.
        delay: `next_retry_delay`, or None.
        room: See `deadline`.
    """
    policy = info.retry_policy
    if policy is None or (policy.maximum_attempts and info.attempt >= policy.maximum_attempts):
        return None
    due = ended + (delay or timedelta(seconds=pause(policy, info.attempt)))
    end = deadline(info, room)
    return None if end and due >= end else due
