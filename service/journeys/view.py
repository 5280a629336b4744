"""Views of one journey: its place, its steps, its deliveries and their attempts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from runtime.store import Attempt
from scenario.steps.base import Row
from service.journeys.snapshot import DeliveryStatus, JourneySnapshot, pause_in
from service.view import View

_OBJECT: Final = WithJsonSchema({"type": "object", "additionalProperties": True})
"""In the description of the HTTP API, parts of a journey are objects without a schema of their own."""
_RUNNING: Final = ("running", "paused")


class StepView(View):
    """A step of a journey."""

    id: str
    """Step id."""
    kind: str
    """Kind of step."""
    what: str | None
    """Description in a few words."""
    state: str
    """`done`, `now`, or `to come` (may come: a fork ahead is not decided)."""
    outcome: str | None = None
    """Outcome of a step that is done."""
    reason: str | None = None
    """Reason for the outcome."""
    status: int | None = None
    """Reply code of the receiver."""
    attempts: int | None = None
    """Number of attempts."""
    at: datetime | None = None
    """End of the step."""
    note: str | None = None
    """Remark on the step, such as the version that its message was rendered with."""
    way: str | None = None
    """Branch that was taken."""


class AttemptView(View):
    """An attempt of a delivery. The record does not contain the message."""

    delivery_id: str
    """The same for all attempts of a delivery; also the webhook-id and the Message-ID."""
    attempt: int
    """1, 2, …; starts again when an operator retries the step."""
    workflow_id: str
    """Journey id; empty for a test."""
    run_id: str
    """Run of the journey."""
    scenario: str
    """Name of the scenario."""
    version: int
    """Version of the scenario."""
    step: str
    """Step that sent it."""
    channel: str
    """`webhook`, `email` or `sms`."""
    destination: str
    """Name of a destination, host, mail server or provider."""
    contact_id: str
    """Contact id of the recipient."""
    started_at: datetime
    """Start of the attempt."""
    milliseconds: int
    """Duration."""
    outcome: str
    """`delivered`, `retry`, `failed`, `unknown`, `skipped` or `cancelled`."""
    status: int | None
    """HTTP or SMTP code; null if there was no response."""
    error: str | None
    """Kind of error; for a skipped message, the reason."""
    next_try_at: datetime | None
    """Time of the next attempt, if it is still to come."""
    response: str | None
    """Beginning of the response."""
    trace_id: str | None
    """Trace id, if there is one."""
    now: str | None
    """Value of `now` in the templates."""
    test_by: str | None
    """Sender of a test; null for a journey's delivery."""


class GoalView(View):
    """The goal of a journey."""

    until: datetime
    """End of the time in which the goal counts."""
    reached_at: datetime | None
    """Time at which the goal was reached."""
    value: str | None
    """Value of the goal."""


class JourneyView(View):
    """One journey, step by step."""

    id: str
    """Journey id."""
    run_id: str
    """Run that is shown."""
    scenario: str | None
    """Name and version of the scenario."""
    contact: str | None
    """Contact id."""
    key: str | None
    """Key that distinguishes several journeys of a contact."""
    campaign: str | None
    """Campaign that sends or has sent its message without a workflow; null if there is a workflow."""
    status: str
    """Temporal's status: `running`, `completed`, `failed`, …; `forgotten` after its retention; `inline` for
    a message that a campaign sends without a workflow."""
    state: str
    """`entering`, `running`, `waiting`, `retrying`, `held`, `paused` or `leaving`; ended: `finished`, `exited`,
    `control`, `holdout`, `refused` or `lost`; Temporal's status if the journey has no state."""
    reason: str | None
    """Reason why the journey is held, paused, refused, has left or failed; finished: how many deliveries failed."""
    entered_at: datetime | None
    """Time of the admission."""
    ended_at: datetime | None
    """Time of the end."""
    at: str | None
    """Current step."""
    since: datetime | None
    """Start of the current step."""
    waiting: dict[str, Any] | None
    """`for` and `until`; held: `for` is `an operator`, and `step`, `kind`, `reason`, `at`, `destination`, `status`,
    `attempts`, `excerpt` and `cause`, as far as known."""
    paused: dict[str, Any] | None
    """The pause as in `operations`, also if the journey is held."""
    answered: bool
    """True if a worker responded. Otherwise the view shows what the store and the result have."""
    moves_to: str | None
    """Version in which the journey continues after its delivery in progress."""
    steps: list[Annotated[StepView, _OBJECT]]
    """Steps in the order in which they were done, then those to come."""
    steps_forgotten: int
    """Number of earlier records of repeated steps that are not kept."""
    rounds: list[dict[str, Any]]
    """Repetitions in progress, the outermost first: `step`, `round`, `of`."""
    pending: list[Annotated[DeliveryStatus, _OBJECT]]
    """Deliveries in progress, as Temporal has them."""
    deliveries: list[Annotated[AttemptView, _OBJECT]]
    """Attempts on record, oldest first; at most the newest 1,000."""
    earlier_deliveries: bool
    """True if there are earlier attempts on record."""
    events: list[dict[str, Any]]
    """Events that the journey keeps: `name`, `at`."""
    operations: list[dict[str, Any]]
    """Operations: `name`, `operator`, `reason`, `at`, `step`, `details`."""
    passed_over: list[dict[str, Any]]
    """Events, changes, time zones and conditions that could not be used: `what`, `count`, and `reason` and `at` of the
    last time."""
    goal: Annotated[GoalView, _OBJECT] | None
    """Goal of the scenario; null if there is none."""

    @classmethod
    def of(cls, seen: JourneySnapshot) -> JourneyView:
        progress: Mapping[str, Any] = seen.progress or {}
        result: Mapping[str, Any] = seen.result or {}
        waiting: Mapping[str, Any] = progress.get("waiting") or {}
        entry = seen.entry
        # The last activity of an ended journey does not count.
        now: Mapping[str, Any] = progress if seen.status in _RUNNING else {}
        return cls(
            id=seen.id,
            run_id=seen.run_id,
            scenario=f"{entry.scenario}@{entry.version}" if entry else progress.get("scenario") or None,
            contact=entry.contact_id if entry else None,
            key=entry.key if entry else None,
            campaign=entry.key if entry and entry.is_inline else None,
            status=seen.status,
            state=_state(seen),
            reason=result.get("reason") or seen.failure or waiting.get("reason") or (entry and entry.reason) or None,
            entered_at=entry.admitted_at if entry else progress.get("entered_at"),
            ended_at=entry.ended_at if entry else None,
            at=_step(seen) if seen.status in _RUNNING else None,
            since=now.get("since"),
            waiting=now.get("waiting") or None,
            paused=pause_in(now),
            answered=seen.progress is not None,
            moves_to=now.get("moves_to"),
            steps=list(_steps(seen, progress.get("steps") or result.get("steps") or _inline_steps(seen))),
            steps_forgotten=progress.get("steps_forgotten") or 0,
            rounds=now.get("rounds") or [],
            pending=list(seen.pending),
            deliveries=[AttemptView.model_validate(one) for one in with_next_attempts(seen.attempts, seen.pending)],
            earlier_deliveries=seen.earlier,
            events=progress.get("events") or [],
            operations=progress.get("operations") or [],
            passed_over=progress.get("passed_over") or [],
            goal=GoalView(until=entry.goal_until, reached_at=entry.reached_at, value=entry.goal_value)
            if entry and entry.goal_until
            else None,
        )


def with_next_attempts(attempts: Sequence[Attempt], pending: Sequence[DeliveryStatus]) -> list[Attempt]:
    """Return a journey's attempts, with the time of the next one only if it is to come.

    Temporal's schedule counts: an operator may have changed it, or the journey have left.
    """
    due = {item.step: item for item in pending}
    latest = {item.step: item for item in attempts}
    return [
        replace(item, next_try_at=going.next_try_at or item.next_try_at)
        if item is latest[item.step] and (going := due.get(item.step)) is not None
        else replace(item, next_try_at=None)
        for item in attempts
    ]


def _state(seen: JourneySnapshot) -> str:
    match seen.status:
        case "running" if seen.entry is None and seen.progress is None:
            return "entering"
        case "running":
            state = str((seen.progress or {}).get("state") or seen.state or seen.status)
            # Temporal knows of a failed attempt before the journey does.
            return seen.pending[0].journey_state if seen.pending and state in ("running", "waiting") else state
        case "paused":  # the whole workflow, on the server
            return seen.status
        case _ if seen.result is not None:
            return str(seen.result.get("outcome") or seen.status)
        case "forgotten" if seen.entry is not None:
            return seen.entry.outcome or "lost"
        case "inline" if seen.entry is not None:
            return seen.entry.outcome or "running"
        case _:
            return seen.status


def _inline_steps(seen: JourneySnapshot) -> Iterator[dict[str, Any]]:
    """Yield the records of the steps of a journey without a workflow: the forks on the way to its message, and that."""
    if seen.status != "inline" or seen.entry is None:
        return
    sent = {one.step: one for one in seen.attempts}
    drawn, entered = seen.entry.branches or {}, seen.entry.admitted_at.isoformat(timespec="seconds")
    rows: Mapping[str, Row] = seen.plan.steps if seen.plan else {}
    at = seen.plan.start if seen.plan else None
    for _ in rows:
        if seen.plan is None or at is None or at in sent:
            break
        ways = rows[at].ways
        found = [way for way, to in ways.items() if to is not None and sent.keys() & {to, *seen.plan.ahead(to)}]
        way = drawn.get(at) or (found[0] if len(found) == 1 else None)
        if way is None or way not in ways:
            break  # several ways lead to the message, or none
        yield {"id": at, "kind": rows[at].kind, "outcome": way, "at": entered}
        at = ways[way]
    for one in sent.values():
        yield {
            "id": one.step,
            "kind": rows[one.step].kind if one.step in rows else one.channel,
            "outcome": one.outcome,
            "at": (one.started_at + timedelta(milliseconds=one.milliseconds)).isoformat(timespec="seconds"),
            "status": one.status,
            "attempts": one.attempt,
        }


def _step(seen: JourneySnapshot) -> str | None:
    if seen.progress is not None:
        return seen.progress.get("at")
    return seen.pending[0].step if seen.pending else seen.step


def _steps(seen: JourneySnapshot, done: Iterable[Mapping[str, Any]]) -> Iterator[StepView]:
    plan, records = seen.plan, list(done)
    rows: Mapping[str, Row] = plan.steps if plan else {}
    names = StepView.model_fields.keys()
    for record in records:
        name = record["id"]
        known = {key: value for key, value in record.items() if key in names}
        what = rows[name].describe() if name in rows else record.get("kind")
        yield StepView.model_validate({**known, "at": record.get("at") or None, "what": what, "state": "done"})
    at = _step(seen)
    if at is None or plan is None or at not in rows or seen.status not in _RUNNING:
        return
    waiting: Mapping[str, Any] = (seen.progress or {}).get("waiting") or {}
    yield StepView(
        id=at,
        kind=rows[at].kind,
        what=rows[at].describe(),
        state="now",
        outcome=_state(seen),
        reason=waiting.get("reason"),
        status=waiting.get("status"),
    )
    passed = {record["id"] for record in records} | {at}
    for name in plan.ahead(at):
        if name not in passed:
            yield StepView(id=name, kind=rows[name].kind, what=rows[name].describe(), state="to come")
