"""An attempt of a delivery, from its beginning to its record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from opentelemetry import trace
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.attempt_context import AttemptContext
from activities.channel_registry import Channel
from activities.content import UnknownVersion
from activities.failures import SENDING, SETTLED, Failure, FailureKind, failure_of
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import RECALL, RELEASE, Delivery, DeliveryRef, LastAttempt, Sent
from activities.open_attempt import BEHIND, OpenAttempt
from activities.outcome import AlreadyDelivered, Judgement, Outcome, Verdict, attempts
from activities.retry import LATER, deadline, next_try
from runtime.errors import SettingsError, StoreError
from runtime.store import Attempt, Store
from runtime.telemetry.metrics import ATTEMPTS, DURATION, SKIPPED
from scenario.errors import Aborted, BadRecipient, NotConfigured, TemplateError

_logger = logging.getLogger(__name__)
_LOST: Final = "The worker was lost while it was sending"
_RECORDED: Final = "delivered by an attempt in the log, and not sent again; a response is not kept"
_AGAIN: Final = (FailureKind.RETRY, FailureKind.NOT_BEFORE)  # failures that are retried, by Temporal or by the journey


class Log(Protocol):
    """A log of attempts: `runtime.store.AttemptWriter`."""

    def put(self, attempt: Attempt) -> asyncio.Future[None] | None:
        """Record an attempt without blocking the sender. Return a future if the sender should wait for its row."""
        ...

    async def delivered(self, delivery_id: str) -> Attempt | None:
        """Return the attempt that delivered a message, or None if there is none. Raise StoreError."""
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


class DeliveryRecords:
    """The activities that read a delivery's last attempt, and release its places under caps and in a batch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=RECALL.name)
    async def recall(self, request: DeliveryRef) -> LastAttempt:
        """Return the outcome of the latest recorded attempt, or nothing."""
        found = await self._store.deliveries(delivery_id=request.delivery, limit=1)
        if not found:
            return LastAttempt()
        latest, delivered = found[-1], await self._store.delivered(request.delivery)
        return LastAttempt(
            status=latest.status,
            error=latest.error or "",
            excerpt=latest.response or "",
            now=latest.now or "",
            delivered=None if delivered is None else _recorded(delivered),
        )

    @activity.defn(name=RELEASE.name)
    async def release(self, release: DeliveryRef) -> None:
        """Release the places of a delivery under caps and in a batch that is not sent yet, if it has any."""
        await self._store.release(release.delivery)
        await self._store.withdraw_batch_item(release.delivery)


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


@asynccontextmanager
async def attempt_of(
    delivery: Delivery,
    *,
    channel: Channel,
    destination: str,
    log: Log,
    gate: PolicyGate,
    context: AttemptContext | None = None,
    unrendered: str = "",
) -> AsyncGenerator[OpenAttempt]:
    """Run one attempt inside an activity, and record it. Raise ApplicationError if it failed or was cut short.

    Exceptions before anything is sent are translated alike in all channels: nothing to send becomes ``skipped``; a
    template's mistake or a missing setting becomes its failure. A cancellation by a stopping worker becomes a failure,
    so that Temporal retries if nothing was sent. Other exceptions pass.

    Args:
        destination: Host or provider; may be changed on the attempt.
        context: Its surroundings; by default those of the activity that calls this.
        unrendered: Beginning of the message if it cannot be rendered.
    """
    context = context or AttemptContext()
    attempt = OpenAttempt(delivery=delivery, channel=channel, destination=destination, gate=gate, context=context)
    error: BaseException | None = None
    try:
        await _refuse(attempt, log)
        yield attempt
    except AlreadyDelivered:  # by an earlier attempt, which is on record: this one leaves no row
        raise
    except Aborted as aborted:
        attempt.skipped(aborted.reason)
    except asyncio.CancelledError as cancelled:
        error = _cut_short(attempt) or cancelled
        raise error from None
    except BaseException as raised:
        error = raised if attempt.began else _translated(attempt, raised, unrendered)
        if await _suppressed(attempt, error):
            error = None
        elif error is raised:
            raise
        else:
            raise error from None
    finally:
        uncertain = attempt.in_flight and delivery.on_unknown != "retry"
        if error is not None and (attempt.marked or attempt.stale) and not uncertain:
            # Replaces the earlier mark: this time nothing is uncertain.
            attempt.mark(SETTLED)
        if not attempt.already_delivered:
            outcome = record(log, attempt, round(attempt.clock.passed * 1000), error)
            if outcome is not None:
                measure_end(attempt, outcome)
            await _report_to_gate(attempt, error)
        if attempt.row is not None:
            await until_stored(attempt.row)
        _report_to_journey(attempt, error)


async def _suppressed(attempt: OpenAttempt, error: BaseException) -> bool:
    """Return True if the address is now suppressed and the step skipped: no operator can repair an address."""
    failure = failure_of(error)
    if attempt.against is None or attempt.admitted is None or failure is None or failure.kind is FailureKind.RETRY:
        return False
    try:
        skip = await attempt.gate.rejected(attempt.admitted, attempt.against)
    except Exception as trouble:  # such as an unavailable store: the failure stands, and the next attempt reports again
        _logger.warning("%s: what its receiver says against the address is lost: %s", attempt.delivery.id, trouble)
        return False
    if skip is None:
        return False
    attempt.skip_word, attempt.excerpt = skip.code, failure.excerpt
    attempt.skipped(skip.reason, failure.status)
    return True


async def _report_to_gate(attempt: OpenAttempt, error: BaseException | None) -> None:
    """Report the outcome of an admitted message, so that its place under caps is kept or released."""
    # Messages that were not admitted are reported too: an earlier attempt of the delivery may have been.
    message = attempt.admitted or OutgoingMessage(attempt.delivery, attempt.channel, attempt.destination, attempt.now)
    failure = failure_of(error)
    arrived = attempt.in_flight or (failure is not None and failure.unknown)
    skipped = attempt.outcome is not None and attempt.outcome.outcome == "skipped"
    over = skipped or (failure is not None and failure.kind not in _AGAIN)
    if not arrived and not over:
        return
    try:
        await attempt.gate.not_delivered(message, uncertain=arrived)
    except Exception as trouble:  # whatever is wrong with the store: the outcome stands
        _logger.warning("%s keeps its place under the caps: %s", attempt.delivery.id, trouble)


def _report_to_journey(attempt: OpenAttempt, error: BaseException | None) -> None:
    """Report that the delivery will be attempted again, so that lists show its journey as retrying at this step.

    Each later attempt repeats the report, which may have been lost. The server drops it if it is known.
    """
    failure = failure_of(error)
    if failure is not None and failure.kind is FailureKind.RETRY and not attempt.unsent and failure.error != BEHIND:
        attempt.report_delay(failure)


def _translated(attempt: OpenAttempt, raised: BaseException, unrendered: str) -> BaseException:
    """Return the exception to raise for one that came up before anything was sent."""
    text, word = str(raised), type(raised).__name__
    sentence = text[:1].upper() + text[1:]
    match raised:
        case ApplicationError():
            return raised
        case NotConfigured():
            return attempt.failure(FailureKind.UNCONFIGURED, sentence, error="unconfigured")
        case BadRecipient():
            return attempt.failure(FailureKind.PERMANENT, text, error=raised.word)
        case UnknownVersion():
            return attempt.failure(FailureKind.TEMPLATE, unrendered + text, error="unknown_version")
        case TemplateError():
            return attempt.failure(FailureKind.TEMPLATE, unrendered + text, error="template_failed")
        case SettingsError():  # a secret's file that cannot be read: it is being replaced, perhaps
            return attempt.not_sent(sentence, "secrets_unreadable")
        case StoreError():
            return attempt.not_sent(sentence, "store")
        case OSError() | RPCError():
            return attempt.not_sent(f"The worker failed with {word}", word)
        case Exception():  # a mistake in the program
            if not attempt.unsent_before:
                _logger.error("%s cannot be sent", attempt.delivery.id, exc_info=raised)
            return attempt.not_sent(f"The worker failed with {word}", word, LATER)
        case _:
            return raised


async def _refuse(attempt: OpenAttempt, log: Log) -> None:
    """Raise ApplicationError if no attempt may be made, AlreadyDelivered if the log has the delivery."""
    info, once, allowed = attempt.context.info, attempt.delivery.on_unknown != "retry", attempt.allowed
    end = deadline(info, attempt.delivery.room)
    # If so, the mark stays.
    attempt.in_flight = once and list(info.heartbeat_details[:1]) == [SENDING]
    if attempt.in_flight or attempt.delivery.retried:
        await _consult(log, attempt)
    if attempt.in_flight:
        reason = f"{_LOST}: the message may have been delivered"
        raise attempt.failure(FailureKind.UNKNOWN, reason, error="worker_lost", unknown=True)
    if end is not None and info.started_time >= end:
        attempt.turned = True
        why = "The deadline has passed"
        reason = f"{why}: no further attempt is made"
        raise attempt.failure(FailureKind.PERMANENT, reason, error="deadline", exhausted=True, why=why)
    # If nothing may be sent twice, a lost attempt without a mark sent nothing, and does not count.
    if allowed and attempt.number > allowed and not once:
        if not await attempt.context.was_lost(attempt.patience):
            attempt.number = allowed
            return
        with suppress(StoreError):  # this ends the delivery, also if the log cannot be read
            await _consult(log, attempt)
        reason = f"A worker was lost during the last of {attempts(allowed)}: the message may have been delivered"
        raise attempt.failure(FailureKind.PERMANENT, reason, error="worker_lost", unknown=True, exhausted=True)


async def _consult(log: Log, attempt: OpenAttempt) -> None:
    """Raise AlreadyDelivered if the log has the delivery. Raise StoreError or ApplicationError if it is unreadable."""
    try:
        found = await log.delivered(attempt.delivery.id)
    except StoreError:
        if not attempt.in_flight:
            raise
        reason = f"{_LOST}, and the log of attempts cannot be read: the message may have been delivered"
        raise attempt.not_sent(reason, "store", unknown=True) from None
    if found is not None:
        attempt.in_flight, attempt.already_delivered = False, True
        raise AlreadyDelivered(_recorded(found))


def _recorded(attempt: Attempt) -> Sent:
    """Return the result of a recorded attempt that delivered its message."""
    return Sent(status=attempt.status, attempt=attempt.attempt, note=_RECORDED)


def _cut_short(attempt: OpenAttempt) -> ApplicationError | None:
    """Return the failure of an attempt that a stopping worker interrupts, or None for other cancellations."""
    if not attempt.context.is_stopping:
        return None
    if attempt.in_flight:
        sentence = "The worker was stopped while it was sending: the message may have been delivered"
        return attempt.failed(Judgement(Verdict(Outcome.RETRY, "worker_stopped", unknown=True), sentence))
    # The destination has nothing to do with it: it is not given the pause that a failing one is, nor does this count.
    return attempt.not_sent("The worker was stopped before it sent anything", "worker_stopped")
