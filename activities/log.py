"""One attempt of a delivery from its beginning to its end: what it tells Temporal, and what the log keeps of it.

All channels go through `attempt_of`, so that an attempt is counted, recorded, cut short and resumed in one way:

    with attempt_of(delivery, channel="sms", destination="twilio", log=self._log) as attempt:
        attempt.sending()
        ...
        return attempt.delivered(status=201)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol

from opentelemetry import trace
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure, Kind, failure_of
from activities.signatures import Delivery, Sent
from runtime.store.deliveries import Attempt, Channel

_logger = logging.getLogger(__name__)

_SENDING: Final = "sending"
_SETTLED: Final = "settled"
_SOON: Final = timedelta(seconds=1)


class Log(Protocol):
    """Where attempts are written down: `runtime.store.AttemptWriter`, or a test's list."""

    def put(self, attempt: Attempt) -> None:
        """Takes an attempt without making the sender wait."""
        ...


class OpenAttempt:
    """An attempt under way.

    Attributes:
        delivery: What is being delivered.
        destination: Host or provider, as failures and the log name it; may be set once it is known.
        number: Counted from 1 since the step was last scheduled.
        in_flight: The message may arrive, and nothing says yet whether it did.
        marked: The server keeps a mark of that.
        outcome: How it ended, unless it failed.
        excerpt: How the answer to a delivered message begins.
    """

    def __init__(self, delivery: Delivery, destination: str, number: int) -> None:
        self.delivery = delivery
        self.destination = destination
        self.number = number
        self.in_flight = False
        self.marked = False
        self.outcome: Sent | None = None
        self.excerpt = ""

    def sending(self) -> None:
        """Says that from now on the message may arrive.

        Where the step must not send twice (`on_unknown` is not ``retry``), the server keeps a mark of it: should this
        worker be lost before it can report, the next attempt finds the mark and does not send. Temporal itself would
        only see a time-out, and try again.
        """
        self.in_flight = True
        self.marked = self.delivery.on_unknown != "retry"
        if self.marked:
            activity.heartbeat(_SENDING)

    def delivered(self, status: int | None = None, excerpt: str = "") -> Sent:
        """The result for a message that was taken.

        Args:
            status: The receiver's reply code.
            excerpt: How its answer begins, redacted; kept in the log.
        """
        self.in_flight = False
        self.excerpt = excerpt
        self.outcome = Sent(status=status, attempt=self.number)
        return self.outcome

    def skipped(self, reason: str) -> Sent:
        """The result where there is nothing to send, or nobody to send it to."""
        self.outcome = Sent(outcome="skipped", attempt=self.number, reason=reason)
        return self.outcome

    def failure(
        self,
        kind: Kind,
        reason: str,
        *,
        status: int | None = None,
        error: str | None = None,
        unknown: bool = False,
        excerpt: str = "",
        exhausted: bool = False,
        next_retry_delay: timedelta | None = None,
    ) -> ApplicationError:
        """The exception to raise. See `Failure` for the arguments.

        Args:
            kind: What to do about it. A RETRY whose outcome is unknown follows the step's `on_unknown` instead.
            reason: One sentence, without personal data.
            status: Reply code.
            error: Class of the error, in one word.
            unknown: Whether the message may have been delivered all the same.
            excerpt: How the reply begins, redacted.
            exhausted: Whether it is for good only because attempts or time have run out.
            next_retry_delay: See `Failure.as_error`.
        """
        self.in_flight = self.in_flight and unknown
        if unknown and kind is Kind.RETRY and self.delivery.on_unknown != "retry":
            kind = Kind.UNKNOWN
        return Failure(
            kind=kind,
            reason=reason,
            destination=self.destination,
            attempt=self.number,
            status=status,
            error=error,
            unknown=unknown,
            excerpt=excerpt,
            exhausted=exhausted,
        ).as_error(next_retry_delay)


@contextmanager
def attempt_of(delivery: Delivery, *, channel: Channel, destination: str, log: Log) -> Generator[OpenAttempt]:
    """Runs one attempt inside an activity, and records it.

    Errors pass through as they are. A cancellation by a stopping worker becomes a failure, since Temporal must try
    again, or not, according to what had already left; any other cancellation passes through.

    Args:
        delivery: What to deliver.
        channel: By what.
        destination: Host or provider; may be changed on the attempt.
        log: Where it is recorded. Its troubles never cost a delivery its success.

    Raises:
        ApplicationError: As the block raised it, or for an attempt that was cut short, now or before.
    """
    info = activity.info()
    attempt = OpenAttempt(delivery, destination, info.attempt)
    started = time.perf_counter()
    error: BaseException | None = None
    try:
        _refuse_twice(attempt, info)
        yield attempt
    except asyncio.CancelledError as cancelled:
        error = _cut_short(attempt) or cancelled
        raise error from None
    except BaseException as raised:
        error = raised
        raise
    finally:
        if error is not None and attempt.marked and not attempt.in_flight:
            # Goes out with the failure, in the mark's place: this time nothing is uncertain.
            activity.heartbeat(_SETTLED)
        _record(log, attempt, channel, info, round((time.perf_counter() - started) * 1000), error)


def _refuse_twice(attempt: OpenAttempt, info: activity.Info) -> None:
    """Raises the failure of an attempt whose predecessor was lost while it was sending."""
    if attempt.delivery.on_unknown != "retry" and list(info.heartbeat_details[:1]) == [_SENDING]:
        raise attempt.failure(
            Kind.RETRY,
            "The worker was lost while it was sending: the message may have been delivered",
            error="worker_lost",
            unknown=True,
        )


def _cut_short(attempt: OpenAttempt) -> ApplicationError | None:
    """The failure of an attempt that this worker's end interrupts; None where somebody else cancelled it."""
    details = activity.cancellation_details()
    if details is None or not details.worker_shutdown:
        return None
    if attempt.in_flight:
        return attempt.failure(
            Kind.RETRY,
            "The worker was stopped while it was sending: the message may have been delivered",
            error="worker_stopped",
            unknown=True,
        )
    # The destination has nothing to do with it, so it is not given the pause that a failing one is.
    reason = "The worker was stopped before it sent anything"
    return attempt.failure(Kind.RETRY, reason, error="worker_stopped", next_retry_delay=_SOON)


def _record(
    log: Log,
    attempt: OpenAttempt,
    channel: Channel,
    info: activity.Info,
    milliseconds: int,
    error: BaseException | None,
) -> None:
    delivery = attempt.delivery
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
        channel=channel,
        destination=attempt.destination,
        contact_id=delivery.contact,
        started_at=info.started_time,
        milliseconds=milliseconds,
        outcome=outcome,
        status=failure.status if failure else attempt.outcome and attempt.outcome.status,
        error=failure.error if failure else error and type(error).__name__,
        next_try_at=_next_try(info, milliseconds, error),
        response=(failure.excerpt if failure else attempt.excerpt) or None,
        trace_id=trace.format_trace_id(context.trace_id) if context.is_valid else None,
    )
    level = logging.DEBUG if error is None else logging.INFO
    _logger.log(
        level, "attempt %d of %s by %s to %s: %s", row.attempt, row.delivery_id, channel, row.destination, outcome
    )
    try:
        log.put(row)
    except Exception:  # whatever is wrong with the log: the message is out
        _logger.exception("attempt %d of %s is not in the log of deliveries", row.attempt, row.delivery_id)


def _outcome(attempt: OpenAttempt, error: BaseException | None) -> tuple[str, Failure | None]:
    """The log's word for how the attempt ended, and its failure where it is one of ours."""
    if error is None:
        return (attempt.outcome.outcome if attempt.outcome else "failed"), None
    failure = failure_of(error) if isinstance(error, ApplicationError) else None
    if attempt.in_flight or (failure and failure.unknown):
        return "unknown", failure
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", None
    permanent = isinstance(error, ApplicationError) and error.non_retryable
    return ("failed" if permanent else "retry"), failure


def _next_try(info: activity.Info, milliseconds: int, error: BaseException | None) -> datetime | None:
    """When Temporal will try again, by the policy that the attempt was started under; None where it will not."""
    policy = info.retry_policy
    if policy is None or error is None or isinstance(error, asyncio.CancelledError):
        return None
    override = None
    if isinstance(error, ApplicationError):
        if error.non_retryable:
            return None
        override = error.next_retry_delay
    if policy.maximum_attempts and info.attempt >= policy.maximum_attempts:
        return None
    longest = (policy.maximum_interval or 100 * policy.initial_interval).total_seconds()
    try:
        pause = min(policy.initial_interval.total_seconds() * policy.backoff_coefficient ** (info.attempt - 1), longest)
    except OverflowError:  # after hundreds of attempts the power is no float any more
        pause = longest
    due = info.started_time + timedelta(milliseconds=milliseconds) + (override or timedelta(seconds=pause))
    if info.schedule_to_close_timeout and due >= info.scheduled_time + info.schedule_to_close_timeout:
        return None
    return due
