"""The record of an attempt: its row in the log of attempts, and its metrics."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from opentelemetry import trace
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure, failure_of
from activities.interface import RECALL, Delivery, DeliveryRef, LastAttempt
from activities.open_attempt import OpenAttempt
from activities.retry import next_try
from runtime.store import Attempt, Store
from runtime.telemetry.metrics import ATTEMPTS, DURATION, SKIPPED

_logger = logging.getLogger(__name__)


class Log(Protocol):
    """A log of attempts: `runtime.store.AttemptWriter`."""

    def put(self, attempt: Attempt) -> asyncio.Future[None] | None:
        """Record an attempt without blocking the sender. Return a future if the sender should wait for its row."""
        ...


_PATIENCE: Final = 2.0
"""Seconds that a sender waits for the row of its attempt. While the store is unavailable, sending continues."""


async def until_stored(row: asyncio.Future[None]) -> None:
    """Wait for the row of an attempt. A cancellation only ends the wait: the message is out."""
    with suppress(asyncio.CancelledError):
        await asyncio.wait([row], timeout=_PATIENCE)


def record(log: Log, attempt: OpenAttempt, milliseconds: int, error: BaseException | None) -> str | None:
    """Record an attempt, unless it was turned away, or sent nothing like the one before it.

    While the store or Temporal is unavailable, attempts that send nothing follow each other within seconds. Failures of
    the log are logged only. Return the log's word for its outcome, or None if it does not count.
    """
    delivery, info = attempt.delivery, attempt.context.info
    if (attempt.turned or (attempt.unsent and attempt.unsent_before)) and isinstance(error, ApplicationError):
        _logger.debug("%s to %s is not sent: %s", delivery.id, attempt.destination, error.message)
        return None
    outcome, failure = _outcome(attempt, error)
    context = trace.get_current_span().get_span_context()
    row = Attempt(
        delivery_id=delivery.id,
        attempt=attempt.number,
        workflow_id=info.workflow_id or "",
        run_id=info.workflow_run_id or "",
        scenario=delivery.name,
        version=delivery.version,
        step=delivery.step,
        channel=attempt.channel.name,
        destination=attempt.destination,
        contact_id=delivery.contact,
        started_at=info.started_time,
        milliseconds=milliseconds,
        outcome=outcome,
        status=failure.status if failure else attempt.outcome and attempt.outcome.status,
        error=failure.error if failure else attempt.skip_word or (error and type(error).__name__),
        next_try_at=_next_try(info, milliseconds, error, delivery.room),
        response=(failure.excerpt if failure else attempt.excerpt) or None,
        trace_id=trace.format_trace_id(context.trace_id) if context.is_valid else None,
        now=delivery.now,
        recipient=attempt.admitted and attempt.gate.recipient(attempt.admitted),
    )
    level = logging.DEBUG if error is None else logging.INFO
    _logger.log(
        level, "attempt %d of %s by %s to %s: %s", row.attempt, row.delivery_id, row.channel, row.destination, outcome
    )
    try:
        attempt.row = log.put(row)
    except Exception:  # whatever is wrong with the log: the message is out
        _logger.exception("attempt %d of %s is not in the log of deliveries", row.attempt, row.delivery_id)
    return outcome


def _outcome(attempt: OpenAttempt, error: BaseException | None) -> tuple[str, Failure | None]:
    """Return the log's word for the outcome, and the failure, if it is one of ours."""
    if error is None:
        return (attempt.outcome.outcome if attempt.outcome else "failed"), None
    failure = failure_of(error)
    if attempt.in_flight or (failure and failure.unknown):
        return "unknown", failure
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", None
    permanent = isinstance(error, ApplicationError) and error.non_retryable
    return ("failed" if permanent else "retry"), failure


def _next_try(info: activity.Info, milliseconds: int, error: BaseException | None, room: float) -> datetime | None:
    if error is None or isinstance(error, asyncio.CancelledError):
        return None
    delay = None
    if isinstance(error, ApplicationError):
        if error.non_retryable:
            return None
        delay = error.next_retry_delay
    return next_try(info, info.started_time + timedelta(milliseconds=milliseconds), delay, room=room)


class LastAttempts:
    """Looks attempts up."""

    def __init__(self, history: Store) -> None:
        self._history = history

    @activity.defn(name=RECALL.name)
    async def recall(self, request: DeliveryRef) -> LastAttempt:
        """Return the outcome of the latest recorded attempt, or nothing."""
        found = await self._history.deliveries(delivery_id=request.delivery, limit=1)
        if not found:
            return LastAttempt()
        latest = found[-1]
        return LastAttempt(
            status=latest.status, error=latest.error or "", excerpt=latest.response or "", now=latest.now or ""
        )


_TEMPLATE: Final = "template"
_AT_ONCE: Final = timedelta(minutes=1)
"""Maximum delay between a step's start and the delivery, unless a policy, a hold or a pause was in between."""


def measure_end(attempt: OpenAttempt, outcome: str) -> None:
    if attempt.unsent or attempt.is_item:  # which says nothing of the destination
        return
    channel = attempt.channel.name
    ATTEMPTS.add(channel, attempt.destination, outcome, "first" if attempt.number == 1 else "retry")
    if outcome == "delivered":
        due, back = _due(attempt.delivery, attempt.context.info)
        DURATION.record((attempt.now - due).total_seconds(), channel, attempt.destination, "yes" if back else "no")
    elif outcome == "skipped":
        SKIPPED.add(channel, attempt.skip_word or _TEMPLATE)


def _due(delivery: Delivery, info: activity.Info) -> tuple[datetime, bool]:
    """Return when the message was due, which is when its step began, and True if the journey deferred it.

    A step's start is known to the second. If the delivery was scheduled within it, that time is used.
    """
    began, told = datetime.fromisoformat(delivery.now), info.scheduled_time
    late = told - began
    return (told if timedelta(0) <= late < timedelta(seconds=1) else began), late >= _AT_ONCE
