"""One coroutine a step kind, and the table of them. Each performs its step and says which step comes next.

A coroutine may be cancelled at any await: the contact left, an operator skipped the step. It keeps what must survive
continue-as-new in the journey's `State`, and picks up from there when it is called again for the same step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from workflows.state import Event, StepRecord
from workflows.view import summary

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure, Kind, failure_of
    from activities.signatures import SENDS, Delivery, Sent
    from scenario.context import event_root, pick
    from scenario.errors import EntryError
    from scenario.plan import Exit, If, Send, Wait, WaitFor
    from scenario.timing import next_local, parse_moment, shift, spell

if TYPE_CHECKING:
    from workflows.journey import Journey

GRACE: Final = timedelta(seconds=3)
"""What an attempt may take beyond its step's `timeout`, for rendering and for telling Temporal."""
_JITTER: Final = 0.2


@dataclass(frozen=True)
class Next:
    """Where the journey goes on; `step` None is the end."""

    step: str | None


@dataclass(frozen=True)
class Again:
    """Nothing is decided: continue as new, then perform the same step."""


@dataclass(frozen=True)
class Leave:
    """The journey ends here, before its end."""

    reason: str


Course: TypeAlias = Next | Again | Leave


async def perform_send(journey: Journey, name: str, step: Send) -> Course:
    """Delivers, and decides with `on_failure` (or an operator) where that fails for good."""
    while True:
        if journey.state.held is not None and (course := await journey.decision()):
            return course
        try:
            sent = await _deliver(journey, name, step)
        except ActivityError as error:
            if isinstance(error.cause, CancelledError):
                raise
            failure = _failure(error, step)
            if failure.kind is Kind.UNKNOWN and step.on_unknown == "continue":
                journey.record(name, step, "unknown", failure.reason, failure.status, failure.attempt)
                return Next(step.next)
            if failure.kind is not Kind.UNKNOWN and step.on_failure != "hold":
                journey.record(name, step, "failed", failure.reason, failure.status, failure.attempt)
                return Next(step.next) if step.on_failure == "continue" else Leave(f"step {name} failed")
            journey.hold(name, failure)
        else:
            journey.record(name, step, sent.outcome, sent.reason, sent.status, sent.attempt)
            return Next(step.next)


async def _deliver(journey: Journey, name: str, step: Send) -> Sent:
    state = journey.state
    identifier = delivery_id(workflow.info().workflow_id, state.root, name, state.visits.get(name, 0))
    delivery = Delivery(
        id=identifier,
        scenario=journey.version,
        step=name,
        contact=journey.entry.contact_id,
        now=journey.local(journey.began),
        data=pick(journey.data(), step.fields),
        timeout=step.timeout,
        on_unknown=step.on_unknown,
    )
    call = SENDS[step.kind]
    return await workflow.execute_activity(
        call.name,
        delivery,
        result_type=call.result,
        task_queue=call.queue,
        activity_id=name,
        start_to_close_timeout=timedelta(seconds=step.timeout) + GRACE,
        schedule_to_close_timeout=timedelta(seconds=step.retry.deadline),
        retry_policy=retry_policy(step, identifier),
        summary=summary(name, step),
        priority=Priority(fairness_key=_cut(step.to, 64)) if step.to else Priority.default,
    )


def _cut(text: str, limit: int) -> str:
    """The beginning of a text, in so many bytes of UTF-8: the server refuses a longer fairness key."""
    return text.encode()[:limit].decode(errors="ignore")


def delivery_id(workflow_id: str, first_run_id: str, step: str, visit: int) -> str:
    """The id of a delivery: the same over attempts, crashes, operators' retries and continue-as-new."""
    place = "\n".join((workflow_id, first_run_id, step, str(visit)))
    return f"msg_{hashlib.sha256(place.encode()).hexdigest()[:32]}"


def retry_policy(step: Send, identifier: str) -> RetryPolicy:
    """The step's retry policy, its first interval moved by up to 20 % either way.

    Deliveries that fail together would otherwise come back together. The jitter comes from the delivery id, since
    Temporal's policies have none, and is in the policy itself so that operators still can change it in flight.
    """
    share = int(hashlib.sha256(identifier.encode()).hexdigest()[:8], 16) / 0xFFFF_FFFF
    initial = step.retry.initial * (1 - _JITTER + 2 * _JITTER * share)
    return RetryPolicy(
        initial_interval=timedelta(seconds=round(initial, 3)),
        backoff_coefficient=step.retry.coefficient,
        maximum_interval=timedelta(seconds=max(step.retry.maximum, initial)),
        maximum_attempts=step.retry.attempts,
        # A worker that died in mid-attempt may have sent: only `on_unknown: retry` may send again.
        non_retryable_error_types=None if step.on_unknown == "retry" else ["TemporalTimeout:StartToClose"],
    )


def _failure(error: ActivityError, step: Send) -> Failure:
    """What went wrong with a delivery, as far as Temporal can tell."""
    cause: BaseException | None = error.cause
    while isinstance(cause, ActivityTimeout) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause  # the deadline ran out between two attempts: the last of them says more
    if isinstance(cause, ApplicationError):
        if found := failure_of(cause):
            return found
        reason = f"the worker failed with {cause.type or 'an unknown error'}"
        return Failure(kind=Kind.PERMANENT, reason=reason, destination=step.to or step.kind, attempt=1)
    if isinstance(cause, ActivityTimeout):
        lost = step.on_unknown != "retry"
        return Failure(
            kind=Kind.UNKNOWN if lost else Kind.PERMANENT,
            reason="the worker was lost during an attempt" if lost else "no attempt ended before the deadline",
            destination=step.to or step.kind,
            attempt=1,
            error="timeout",
            unknown=True,
        )
    return Failure(kind=Kind.PERMANENT, reason="the delivery failed", destination=step.to or step.kind, attempt=1)


async def perform_wait(journey: Journey, name: str, step: Wait) -> Course:
    """Waits; a changed contact (another time zone, another date) changes the end of the wait."""
    state = journey.state
    while True:
        if state.held is not None:
            if course := await journey.decision():
                return course
            continue
        if state.until is None:
            try:
                until = await _end_of(journey, step)
            except EntryError as error:
                if step.on_failure == "hold":
                    journey.hold(name, _step_failure(str(error)))
                    continue
                journey.record(name, step, "failed", str(error))
                return Next(step.next) if step.on_failure == "continue" else Leave(f"step {name} failed")
            state.until = until.astimezone(UTC).isoformat()
        until = datetime.fromisoformat(state.until)
        if until <= workflow.now():
            journey.record(name, step, "waited")
            return Next(step.next)
        changes = journey.changes
        what = f"{name}: wait until {spell(until, journey.zone)}"
        if await journey.sleep(until, what, lambda changes=changes: journey.changes != changes):
            if journey.must_continue:
                return Again()
            if step.seconds is None:
                state.until = None  # the contact changed: work it out again


async def _end_of(journey: Journey, step: Wait) -> datetime:
    if step.seconds is not None:
        return journey.began + timedelta(seconds=step.seconds)
    if step.clock is not None:
        return next_local(journey.began, step.clock, step.days, journey.zone)
    value = await journey.value(step.date or "")
    moment = parse_moment(str(value), journey.zone) if value is not None else None
    if moment is None:
        raise EntryError("the date to wait for is missing")
    return shift(moment, timedelta(seconds=step.offset), journey.zone)


async def perform_wait_for(journey: Journey, name: str, step: WaitFor) -> Course:
    """Waits for an event; one that came earlier in the journey counts too, unless the step says ``since: now``."""
    state = journey.state
    if step.seconds is not None and state.until is None:
        state.until = (journey.began + timedelta(seconds=step.seconds)).astimezone(UTC).isoformat()
    until = datetime.fromisoformat(state.until) if state.until else None
    state.awaiting = step.event
    checked = state.mark if step.since == "now" else 0
    while True:
        for event in [kept for kept in state.events if kept.name == step.event and kept.number > checked]:
            checked = event.number
            if await _satisfies(journey, step.condition, event):
                state.event = event_data(event)
                journey.record(name, step, "event")
                return Next(step.then)
        if until is not None and until <= workflow.now():
            journey.record(name, step, "timeout")
            return Next(step.otherwise)
        what = f"{name}: wait for {step.event}" + (f" until {spell(until, journey.zone)}" if until else "")
        seen = state.counted
        await journey.sleep(until, what, lambda seen=seen: state.counted > seen)
        if journey.must_continue:
            return Again()


async def _satisfies(journey: Journey, condition: str | None, event: Event) -> bool:
    if condition is None:
        return True
    answer = await journey.ask(condition, event_data(event))
    return answer.value is True


async def perform_if(journey: Journey, name: str, step: If) -> Course:
    """Goes one way or the other; a condition that cannot be worked out holds the journey."""
    while True:
        if journey.state.held is not None and (course := await journey.decision()):
            return course
        answer = await journey.ask(step.condition)
        if not answer.error:
            journey.record(name, step, "then" if answer.value else "else")
            return Next(step.then if answer.value else step.otherwise)
        journey.hold(name, _step_failure(f"the condition cannot be worked out: {answer.error}"))


async def perform_exit(journey: Journey, name: str, step: Exit) -> Course:
    """Ends the journey."""
    journey.record(name, step, "exited", step.reason)
    return Leave(step.reason)


def event_data(event: Event) -> dict[str, Any]:
    """A kept event as templates see it."""
    return event_root(event.name, event.at, event.properties)


def _step_failure(reason: str) -> Failure:
    return Failure(kind=Kind.TEMPLATE, reason=reason, destination="", attempt=1)


def skipped_to(step: Send | Wait | WaitFor | If | Exit) -> str | None:
    """Where the journey goes when an operator skips a step: a fork is left by its `else`."""
    match step:
        case Send() | Wait():
            return step.next
        case WaitFor() | If():
            return step.otherwise
        case Exit():
            return None


def record_of(
    name: str,
    kind: str,
    outcome: str,
    reason: str | None = None,
    status: int | None = None,
    attempts: int | None = None,
) -> StepRecord:
    """A step that is over, now."""
    now = workflow.now().isoformat(timespec="seconds")
    return StepRecord(id=name, kind=kind, outcome=outcome, at=now, reason=reason, status=status, attempts=attempts)


_Performer: TypeAlias = Callable[["Journey", str, Any], Awaitable[Course]]
_PERFORMERS: Final[dict[type[Any], _Performer]] = cast(
    "dict[type[Any], _Performer]",
    {Send: perform_send, Wait: perform_wait, WaitFor: perform_wait_for, If: perform_if, Exit: perform_exit},
)


async def perform(journey: Journey, name: str, step: Send | Wait | WaitFor | If | Exit) -> Course:
    """Performs a step of any kind."""
    return await _PERFORMERS[type(step)](journey, name, step)
