"""Temporal's back-off, worked out as the server does it: for what is said of the next attempt, never to wait by."""

from __future__ import annotations

from temporalio.common import RetryPolicy


def pause(policy: RetryPolicy | None, attempt: int) -> float:
    """Seconds between an attempt and the next one by a retry policy.

    Args:
        policy: As it is now; None is no policy, and no pause.
        attempt: The number of the attempt that failed, from 1.
    """
    if policy is None:
        return 0.0
    longest = (policy.maximum_interval or 100 * policy.initial_interval).total_seconds()
    try:
        return min(policy.initial_interval.total_seconds() * policy.backoff_coefficient ** (attempt - 1), longest)
    except OverflowError:  # after hundreds of attempts the power is no float any more
        return longest
