"""Metrics of attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import activity

from activities.attempt_log import Ended
from activities.channel_registry import Channel
from activities.interface import Delivery
from runtime.telemetry.metrics import ATTEMPTS, DURATION, SKIPPED, START_TO_FIRST_SEND, UNSENT, WAIT

_WHY: Final = {"busy": "concurrency", "breaker_open": "breaker", "capped": "cap", "login_left_alone": "login"}
"""Words of the log of attempts → words of `scenario.delivery.wait`; others are the same."""
_REASONS: Final = frozenset(
    {"called_off", "not_told", "not_noted", "no_time", "worker_stopped", "secrets_unreadable", "store"}
)
"""Words of the log that `scenario.delivery.unsent` uses unchanged; all others are `error`."""
_TEMPLATE: Final = "template"
_AT_ONCE: Final = timedelta(minutes=1)
"""Maximum delay between a step's start and the delivery, unless a policy, a hold or a pause was in between."""


def ended(attempt: Ended, channel: Channel, info: activity.Info, outcome: str) -> None:
    """Count an attempt at its end.

    Args:
        attempt: The attempt.
        channel: Its channel.
        info: The activity's info.
        outcome: The log's word.
    """
    if attempt.unsent:  # which says nothing of the destination
        return
    ATTEMPTS.add(channel.name, attempt.destination, outcome, "first" if attempt.number == 1 else "retry")
    if outcome == "delivered":
        due, back = _due(attempt.delivery, info)
        DURATION.record(_since(due, info), channel.name, attempt.destination, "yes" if back else "no")
    elif outcome == "skipped":
        SKIPPED.add(channel.name, attempt.skip_word or _TEMPLATE)


def leaves(delivery: Delivery, channel: Channel, info: activity.Info) -> None:
    """Measure the delay of a journey's first message, if it is one."""
    if delivery.entered and info.attempt == 1:
        START_TO_FIRST_SEND.record(_since(datetime.fromtimestamp(delivery.entered, UTC), info), channel.name)


def not_sent(channel: Channel, error: str) -> None:
    """Count an attempt that ended before its message could leave."""
    UNSENT.add(channel.name, error if error in _REASONS else "error")


def kept_back(channel: Channel, delay: timedelta, code: str) -> None:
    """Record for how long a message is kept back."""
    WAIT.record(delay.total_seconds(), channel.name, _WHY.get(code, code))


def asked_to_wait(channel: Channel, delay: timedelta) -> None:
    """Measure the pause that a receiver requested."""
    WAIT.record(delay.total_seconds(), channel.name, "retry_after")


def _due(delivery: Delivery, info: activity.Info) -> tuple[datetime, bool]:
    """Return when the message was due, which is when its step began, and True if the journey deferred it.

    A step's start is known to the second. If the delivery was scheduled within it, that time is used.
    """
    began, told = datetime.fromisoformat(delivery.now), info.scheduled_time
    late = told - began
    return (told if timedelta(0) <= late < timedelta(seconds=1) else began), late >= _AT_ONCE


def _since(moment: datetime, info: activity.Info) -> float:
    # Of a server which skips time, or is ahead of this machine, the time is what it says.
    return (max(datetime.now(UTC), info.started_time) - moment).total_seconds()
