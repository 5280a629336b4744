"""One delivery of a journey's step as an activity: its id, its options, and what its failure means."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    RetryState,
    TimeoutType,
)
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.channel_registry import CHANNELS
from activities.failures import SENDING, Failure, FailureKind, failure_of
from activities.interface import RECALL, Clearance, Delivery, Recalled, Recollection, Sent
from activities.priority import priority_of
from scenario.plan.context import pick
from scenario.steps.delivery import CAPPED, Send
from workflows.local_activities import answer_to
from workflows.results import sent_in
from workflows.state import LONGEST_REASON
from workflows.visibility import summary

if TYPE_CHECKING:
    from workflows.host import StepHost

GRACE: Final = timedelta(seconds=3)
"""What an attempt may take beyond its step's `timeout`, for rendering and for telling Temporal."""
_PATIENCE: Final = timedelta(seconds=12)
"""What it may take beyond that to ask Temporal, where Temporal is slow; see `OpenAttempt.patience`."""
_BY_HAND: Final = "CLI"
"""Whose failures those are that an operator gives (`temporal activity fail`)."""
_OVER: Final = (RetryState.TIMEOUT, RetryState.MAXIMUM_ATTEMPTS_REACHED)
_IMMEDIATE: Final = frozenset({"acts", "divides"})
"""Roles of steps that keep nothing waiting."""
_UNHEARD: Final = "no attempt ended before the deadline or the last allowed attempt"
_NO_DATA: Final = b'"data":{}'


@dataclass(frozen=True)
class Handed:
    """What a delivery is handed of the journey's data: picked, and written as JSON, once for each time it is made.

    Attributes:
        json: Plain JSON in UTF-8.
    """

    json: bytes

    @classmethod
    def of(cls, data: Mapping[str, Any], step: Send) -> Handed:
        """What a step's templates name of the journey's data."""
        picked = pick(data, step.fields, step.item_fields)
        return cls(json.dumps(picked, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))

    @cached_property
    def digest(self) -> str:
        """What tells the data of one delivery from another's, and nothing else of it."""
        return hashlib.sha256(self.json).hexdigest()[:20]

    def argument(self, delivery: Delivery) -> RawValue:
        """The argument of a delivery's activity, of which only the data are missing."""
        # Without what is as it would be read anyway: histories keep it, for each time that a delivery is scheduled.
        known = {"now": delivery.decided_at}
        said = {
            one.name: value
            for one in fields(delivery)
            if (value := getattr(delivery, one.name)) not in (one.default, known.get(one.name))
        }
        payload = workflow.payload_converter().to_payload(said)
        payload.data = payload.data.replace(_NO_DATA, b'"data":' + self.json, 1)  # no text of JSON has a bare quote
        return RawValue(payload)


async def deliver(journey: StepHost, name: str, step: Send, handed: Handed) -> Sent | Failure:
    """Schedules a delivery, and waits for its end.

    Args:
        journey: Whose delivery it is.
        name: The step's id.
        step: The step.
        handed: What it is handed of the journey's data, at this moment.

    Returns:
        How it ended; the failure, where it ended with a result that cannot be read.

    Raises:
        ActivityError: It failed for good, or was cancelled.
    """
    changes = journey.changes
    if step.destination:
        asked = await journey.clear(Clearance(destination=step.to))
        step = step.as_asked(asked.retry, asked.timeout)
    step = replace(step, retry=step.retry.changed_by(journey.state.retuned))
    state, identifier = journey.state, journey.delivery
    entered = _entered(journey)
    channel = CHANNELS[step.channel]
    # Fixed when it may leave for the first time, also if the contact moves: what is sent again is the same.
    state.now = state.now or await _first_now(journey, identifier) or journey.local(journey.now())
    began = journey.began.replace(microsecond=0)
    if journey.changes != changes:
        handed = Handed.of(journey.data(), step)
    # The deadline is for beginning attempts: the one that is under way when it strikes ends as what it is.
    timeout = timedelta(seconds=step.timeout)
    # What may be sent again asks only before a retry: where it is quick to fail, it is quick to be noticed as lost.
    room = timeout + GRACE + (min(timeout, _PATIENCE) if step.on_unknown == "retry" else _PATIENCE)
    decided = workflow.now()
    delivery = Delivery(
        id=identifier,
        scenario=journey.followed,
        contact=journey.entry.contact_id,
        now=state.now,
        timeout=step.timeout,
        on_unknown=step.on_unknown,
        attempts=step.retry.maximum_attempts,
        root=state.root if step.calls_back else "",
        room=room.total_seconds(),
        zone="" if str(journey.zone) == "UTC" else str(journey.zone),
        at_once=state.at_once,
        entered=entered,
        tried=state.tried,
        waited=waited(journey),
        began="" if began == datetime.fromisoformat(state.now) else began.astimezone(UTC).isoformat(),
        decided=decided.replace(microsecond=decided.microsecond // 1000 * 1000).timestamp(),
    )
    left = timedelta(seconds=max(step.retry.deadline - waited(journey), 0.0))
    journey.under_way, journey.scheduled, journey.deadline = step, workflow.now(), workflow.now() + left
    try:
        answer = await workflow.execute_activity(
            channel.activity,
            handed.argument(delivery),
            result_type=RawValue,
            task_queue=channel.queue,
            activity_id=name,
            start_to_close_timeout=room,
            schedule_to_close_timeout=left + room,
            retry_policy=retry_policy(step, identifier),
            summary=summary(name, step),
            priority=priority_of(journey.plan.purpose, step.to),
        )
    finally:
        journey.under_way = None
    return sent_in(channel.send, answer, step.to or step.channel)


def waited(journey: StepHost) -> float:
    """Return the seconds since the first attempt of a delivery that was kept back after it was scheduled, else 0."""
    first = journey.state.scheduled
    return 0.0 if first is None else (workflow.now() - datetime.fromisoformat(first)).total_seconds()


def _entered(journey: StepHost) -> float:
    """When the journey started, in seconds since 1970; 0 unless this is its first message, without a wait before it."""
    state, steps = journey.state, journey.plan.steps
    before = {steps[one.id].role if one.id in steps else "" for one in state.steps}
    if state.now is not None or state.reset or state.operations or not before <= _IMMEDIATE:
        return 0.0
    return round(datetime.fromisoformat(state.entered_at).timestamp(), 3)


async def _first_now(journey: StepHost, identifier: str) -> str:
    """What the delivery's templates saw as `now` before the journey was reset to a point in front of it; else nothing.

    It is sent again under the same id: so that its bytes are the same too, it keeps its time. Only a run that a reset
    has made asks, and those that continue it, and each delivery for itself, since what lies before the point is
    replayed without.
    """
    # The marker tells deliveries of this run from those before the point, whose commands are in its history already.
    if not journey.state.reset or not workflow.patched(f"first-now-{identifier}"):
        return ""
    recalled = await _recalled(identifier)
    journey.stop_if_interrupted()
    return recalled.now if recalled else ""


async def _recalled(identifier: str) -> Recalled | None:
    """The latest attempt on record; None where the log cannot be read.

    Raises:
        FailureError: The step was cancelled.
    """
    try:
        return await answer_to(RECALL, Recollection(delivery=identifier), tries=3)
    except FailureError as error:  # of a local activity it comes unwrapped
        if isinstance(error, CancelledError) or isinstance(error.cause, CancelledError):
            raise
        return None


def retry_policy(step: Send, identifier: str) -> RetryPolicy:
    """The step's retry policy as Temporal takes it, spread by the delivery id.

    Temporal's policies have no jitter. It is in the policy itself so that operators still can change it in flight.

    It bounds no number of attempts: Temporal would also count those that were turned away. `Delivery.attempts` has it.
    """
    spread = step.retry.spread(identifier)
    return RetryPolicy(
        initial_interval=timedelta(seconds=spread.initial_interval),
        backoff_coefficient=spread.backoff_coefficient,
        maximum_interval=timedelta(seconds=spread.maximum_interval),
    )


def failure_in(error: ActivityError, step: Send) -> Failure:
    """What went wrong with a delivery, as far as Temporal can tell."""
    cause, to = _told(error), step.to or step.channel
    found = failure_of(cause) if isinstance(cause, ApplicationError) else None
    if isinstance(error.cause, ActivityTimeout) and _may_have_left(error, step):
        return Failure(
            kind=FailureKind.UNKNOWN,
            reason="the worker was lost during an attempt",
            destination=found.destination if found else to,
            attempt=found.attempt + 1 if found else 1,
            error="timeout",
            unknown=True,
        )
    if isinstance(cause, ApplicationError):
        if found and found.kind in (FailureKind.NOT_BEFORE, FailureKind.CAPPED):
            return found
        if found:
            return _overtaken(found, error.retry_state) if cause is not error.cause or found.turned_away else found
        reason = f"the worker failed with {cause.type or 'an unknown error'}"
        if cause.failure is not None and cause.failure.source == _BY_HAND:
            reason = f"failed by hand: {cause.message}"[:LONGEST_REASON]
        over = error.retry_state in _OVER
        return Failure(kind=FailureKind.PERMANENT, reason=reason, destination=to, attempt=1, exhausted=over)
    if isinstance(cause, ActivityTimeout):
        never = _never_began(cause)
        return Failure(
            kind=FailureKind.PERMANENT,
            reason="no worker began an attempt" if never else _UNHEARD,
            destination=to,
            attempt=0,  # Temporal does not say how many there were
            error="timeout",
            unknown=step.on_unknown == "retry" and not never,
            exhausted=True,
        )
    return Failure(kind=FailureKind.PERMANENT, reason="the delivery failed", destination=to, attempt=1)


def _told(error: ActivityError) -> BaseException | None:
    """What is known of the latest attempt that told how it ended. A time-out has it as its cause."""
    cause: BaseException | None = error.cause
    while isinstance(cause, ActivityTimeout) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause
    return cause


def _overtaken(found: Failure, state: RetryState | None) -> Failure:
    """The failure of an attempt that was not the last one: no word came of any later one."""
    if found.turned_away:  # it does not wait for its turn any more, as it said
        if state is RetryState.MAXIMUM_ATTEMPTS_REACHED:  # where Temporal counts, it counts those that waited
            return replace(found, reason=f"no attempt is left: {found.why}")
        meanwhile = "" if found.error == "deadline" else "the deadline passed meanwhile: "
        return replace(found, reason=f"{meanwhile}{found.why}")
    if not found.next_try_at:
        return found
    return replace(found, reason=f"{found.reason}, and no later attempt came to an end", next_try_at="")


def _may_have_left(error: ActivityError, step: Send) -> bool:
    """Return True if an attempt that timed out may have sent what must not be sent twice.

    Such an attempt leaves a mark before it sends anything.
    """
    if not isinstance(error.cause, ActivityTimeout) or step.on_unknown == "retry":
        return False
    return list(error.cause.last_heartbeat_details[:1]) == [SENDING]


def unsent(error: ActivityError, step: Send, left: float, tried: int = 0, before: float = 0.0) -> Send | None:
    """Return the step to schedule once more because its delivery ended before it sent anything, or None.

    The last attempt said so or was lost with its worker, or no worker began one. Temporal retries by itself, except
    after the last attempt that the step allows: this attempt does not count.

    Args:
        error: How the delivery ended.
        step: The step.
        left: Seconds until the delivery's deadline.
        tried: How many attempts were made before it was kept back.
        before: Seconds since the first of them was scheduled.
    """
    cause, last = error.cause, error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    if isinstance(cause, ApplicationError):
        told = failure_of(cause) if last else None
        uncounted = told and told.kind is FailureKind.RETRY and told.unsent
        return _bounded(step, attempts=tried + 1) if uncounted else None
    if _never_began(cause):
        return _bounded(step, deadline=left + before) if left > 0 else None
    if not isinstance(cause, ActivityTimeout) or cause.type is not TimeoutType.START_TO_CLOSE:
        return None
    if step.on_unknown == "retry" or _may_have_left(error, step):
        return None
    return _bounded(step, attempts=tried + 1) if last else step


def _never_began(cause: BaseException | None) -> bool:
    """Return True if a delivery timed out without an attempt."""
    return (
        isinstance(cause, ActivityTimeout)
        and cause.type is TimeoutType.SCHEDULE_TO_START
        and cause.__cause__ is None  # else the failure of an attempt before
    )


def _bounded(step: Send, **bounds: float) -> Send:
    """Return the step with other bounds of its retry policy, which a destination does not change."""
    return replace(step, retry=step.retry.changed_by(bounds), own_settings=(*step.own_settings, *bounds))


async def remembered(journey: StepHost, failure: Failure) -> Failure:
    """The failure with what the receiver last answered, where the delivery was waiting for its turn at its end.

    A receiver that is down for days is left alone most of the time: that says nothing of what is wrong with it.

    Raises:
        FailureError: The step was cancelled.
    """
    if not failure.turned_away or not failure.attempt:
        return failure
    recalled = await _recalled(journey.delivery)
    if recalled is None:
        return failure  # what is known has to do
    last = f"it answered {recalled.status}" if recalled.status else recalled.error
    reason = f"{failure.reason}; before that: {last}" if last else failure.reason
    return replace(failure, reason=reason, status=recalled.status, excerpt=recalled.excerpt)


def cause_of(failure: Failure) -> str:
    """Why a journey is held, in the one word that people search by."""
    match failure.kind:
        case FailureKind.RETRY:
            return "exhausted"  # it would have been tried again
        case FailureKind.UNKNOWN:
            return "unknown"
        case FailureKind.UNCONFIGURED:
            return "unconfigured"
        case FailureKind.TEMPLATE:
            return "template"
        case FailureKind.CAPPED:
            return CAPPED
        case _:
            return "exhausted" if failure.exhausted else "permanent"
