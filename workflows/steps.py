"""One coroutine a step kind, and the table of them. Each performs its step and says which step comes next.

A coroutine may be cancelled at any await: the contact left, an operator skipped the step. It keeps what must survive
continue-as-new in the journey's `State`, and picks up from there when it is called again for the same step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError

from workflows.bounds import LARGEST_DELIVERY, size_of
from workflows.course import Again, Course, Leave, Next
from workflows.delivery import cause_of, deliver, digest, failure_in, remembered, unsent
from workflows.events import event_data
from workflows.state import Event

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure, Kind
    from activities.signatures import Sent
    from scenario.context import pick
    from scenario.errors import EntryError
    from scenario.plan import Exit, If, Send, Wait, WaitFor
    from scenario.timing import next_local, spell

if TYPE_CHECKING:
    from workflows.means import Means


async def perform_send(journey: Means, name: str, step: Send) -> Course:
    """Delivers, and decides with `on_failure` (or an operator) where that fails for good."""
    while True:
        if journey.state.held is not None and (course := await journey.decision()):
            return course
        row = journey.anew(step)
        notes = _renewed(journey, step)
        sent = await _delivered(journey, name, row)
        if isinstance(sent, Failure):
            failure = sent
            outcome = "unknown" if failure.kind is Kind.UNKNOWN else "failed"
            decision = row.on_unknown if failure.kind is Kind.UNKNOWN else row.on_failure
            if decision in ("continue", "exit"):
                journey.record(name, row, outcome, failure.reason, failure.status, failure.attempt, _joined(notes))
                return Next(row.next) if decision == "continue" else Leave(f"step {name} failed")
            journey.hold(name, failure, cause_of(failure), row.to)
        else:
            notes += _saved(journey, row, sent)
            journey.record(name, row, sent.outcome, sent.reason, sent.status, sent.attempt, _joined(notes))
            return Next(row.next)


async def _delivered(journey: Means, name: str, row: Send) -> Sent | Failure:
    """Delivers. Returns the failure where that failed for good."""
    # As with large events: asked for only where it matters.
    if size_of(pick(journey.data(), row.fields, row.items)) > LARGEST_DELIVERY and workflow.patched("large-deliveries"):
        most = LARGEST_DELIVERY // 1_000_000
        return _step_failure(f"cannot be rendered: the data that its templates name are larger than {most} MB")
    try:
        try:
            return await deliver(journey, name, row)
        except ActivityError as error:
            again = unsent(error, row)
            if again is None or journey.interrupted:
                raise
        return await deliver(journey, name, again)
    except ActivityError as error:
        if isinstance(error.cause, CancelledError):
            raise
        return await remembered(journey, name, failure_in(error, row))


def _renewed(journey: Means, step: Send) -> list[str]:
    """Why what is sent now is not what was sent at first, if so."""
    state = journey.state
    now = digest(pick(journey.data(), step.fields))
    state.digest = state.digest or now
    reasons: list[str] = []
    if state.anew is not None:
        reasons.append(f"rendered anew from {journey.followed}")
    if state.digest != now:
        reasons.append("rendered anew: the contact has changed")
    return reasons


def _saved(journey: Means, step: Send, sent: Sent) -> list[str]:
    """Keeps the response where the step says so. Returns what is to be said about that."""
    notes = [sent.note] if sent.note else []
    if step.save is not None and sent.saved is not None:
        forgotten = ", ".join(journey.state.save(step.save, sent.saved))
        if forgotten:
            notes.append(f"older responses were forgotten, all together are too large: {forgotten}")
    return notes


def _joined(notes: list[str]) -> str | None:
    return "; ".join(notes) or None


async def perform_wait(journey: Means, name: str, step: Wait) -> Course:
    """Waits; a changed contact (another time zone, another date) changes the end of the wait."""
    state = journey.state
    while True:
        if state.held is not None:
            if course := await journey.decision():
                return course
            continue
        if state.until is None:
            row = journey.anew(step)
            try:
                until = await _end_of(journey, row)
            except EntryError as error:
                if row.on_failure == "hold":
                    journey.hold(name, _step_failure(str(error)), "template")
                    continue
                journey.record(name, row, "failed", str(error), note=_by(journey))
                return Next(row.next) if row.on_failure == "continue" else Leave(f"step {name} failed")
            state.until = until.astimezone(UTC).isoformat()
        until = datetime.fromisoformat(state.until)
        if until <= workflow.now():
            journey.record(name, step, "waited", note=_by(journey))
            return Next(step.next)
        changes = journey.changes
        what = f"{name}: wait until {spell(until, journey.zone)}"
        if await journey.sleep(until, what, lambda changes=changes: journey.changes != changes):
            if journey.must_continue:
                return Again()
            if step.seconds is None:
                state.until = None  # the contact changed: work it out again
        else:
            # That the timer has fired is enough. Compared with the clock once more, the end would have to be the same
            # in every replay, and it is not where a newer tz database has moved the zone since.
            journey.record(name, step, "waited", note=_by(journey))
            return Next(step.next)


async def _end_of(journey: Means, step: Wait) -> datetime:
    if step.seconds is not None:
        return journey.began + timedelta(seconds=step.seconds)
    if step.clock is not None:
        return next_local(journey.began, step.clock, step.days, journey.zone)
    return await journey.moment(step.date or "", step.offset)


async def perform_wait_for(journey: Means, name: str, step: WaitFor) -> Course:
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
            if await _satisfies(journey, name, step.condition, event):
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


async def _satisfies(journey: Means, name: str, condition: str | None, event: Event) -> bool:
    if condition is None:
        return True
    answer = await journey.ask(condition, event_data(event))
    if answer.error:
        journey.pass_over(f"step {name}", answer.error, tell=False)
    return answer.value is True


async def perform_if(journey: Means, name: str, step: If) -> Course:
    """Goes one way or the other; a condition that cannot be worked out holds the journey."""
    while True:
        if journey.state.held is not None and (course := await journey.decision()):
            return course
        answer = await journey.ask(journey.anew(step).condition)
        if not answer.error:
            journey.record(name, step, "then" if answer.value else "else", note=_by(journey))
            return Next(step.then if answer.value else step.otherwise)
        journey.hold(name, _step_failure(f"the condition cannot be worked out: {answer.error}"), "template")


async def perform_exit(journey: Means, name: str, step: Exit) -> Course:
    """Ends the journey."""
    journey.record(name, step, "exited", step.reason)
    return Leave(step.reason)


def _by(journey: Means) -> str | None:
    return None if journey.state.anew is None else f"worked out anew by {journey.followed}"


def _step_failure(reason: str) -> Failure:
    return Failure(kind=Kind.TEMPLATE, reason=reason, destination="", attempt=1)


_Performer: TypeAlias = Callable[["Means", str, Any], Awaitable[Course]]
_PERFORMERS: Final[dict[type[Any], _Performer]] = cast(
    "dict[type[Any], _Performer]",
    {Send: perform_send, Wait: perform_wait, WaitFor: perform_wait_for, If: perform_if, Exit: perform_exit},
)


async def perform(journey: Means, name: str, step: Send | Wait | WaitFor | If | Exit) -> Course:
    """Performs a step of any kind."""
    return await _PERFORMERS[type(step)](journey, name, step)
