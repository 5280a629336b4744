"""The state of a journey and its records. All of it is plain data that continue-as-new carries along.

Running journeys carry these in their histories. From 0.1.0 on, fields may be added, with a default, and never renamed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from activities.interface import CompletedStep, HeldJourney
from scenario.dates import DateOrder
from scenario.entry.entry import read_form, reader_of
from scenario.entry.values import PlatformDates
from scenario.plan.plan import load_plan
from scenario.steps.host import Event, Memory, StepRecord
from scenario.steps.registry import read_row
from workflows.limits import (
    KEPT_EVENT_BYTES,
    KEPT_EVENTS,
    KEPT_IGNORED,
    KEPT_OPERATIONS,
    KEPT_STEPS,
    KNOWN_EVENT_IDS,
    is_object,
)

JourneyMode = Literal["running", "waiting", "retrying", "held", "paused"]
MARKS: Final = {"failed": "✗", "unknown": "?", "left": "■", "exited": "■", "skipped": "–", "timeout": "⌛"}
"""Symbols of outcomes other than success."""
_REPORTED: Final = ("at", "step", "kind", "cause", "destination", "status", "attempts")


_HANDED_OVER: Final = (
    *("entered_at", "at", "since", "memory", "visits", "steps", "held"),
    *("now", "tried", "scheduled", "retrying", "delayed_by", "digest"),
)


@dataclass(frozen=True, kw_only=True)
class Held:
    """The failure for which a journey is held."""

    step: str
    kind: str  # one of `activities.failures.FailureKind`
    reason: str
    at: str  # since when, ISO 8601 in UTC
    destination: str = ""
    status: int | None = None
    attempts: int | None = None
    excerpt: str = ""  # the first 2 KB of the reply, redacted
    cause: str = ""  # one of `scenario.words.HeldCause`

    def report(self, identifier: str, workflow_id: str, contact: str, scenario: str) -> HeldJourney:
        """Return the report of the hold, which holds ids and words only."""
        words = {name: getattr(self, name) for name in _REPORTED}
        return HeldJourney(id=identifier, workflow_id=workflow_id, contact=contact, scenario=scenario, **words)


@dataclass(frozen=True, kw_only=True)
class OperationRecord:
    """An update of an operator."""

    name: str
    operator: str
    reason: str
    at: str  # ISO 8601 in UTC
    step: str | None = None
    details: dict[str, Any] | None = None  # its other arguments: ``{"version": "post-purchase@4"}``, ``{"retry": {…}}``

    def as_dict(self) -> dict[str, Any]:
        """Return the operation as JSON data, without empty details."""
        return {key: value for key, value in asdict(self).items() if key != "details" or value is not None}


@dataclass(frozen=True, kw_only=True)
class Override:
    """The current step as another version has it. An operator ordered it, until the step ends."""

    version: int
    step: dict[str, Any]  # its row of the plan, as `scenario.plan.plan.dump_plan` writes it


@dataclass(frozen=True, kw_only=True)
class Migration:
    """Another version, adopted once nothing of the step is in flight, and never carried to the next run."""

    version: int
    plan: dict[str, Any]  # as `scenario.plan.plan.dump_plan` writes it
    at: str  # the current step's id in that version
    names: dict[str, str]
    restarts: bool = False  # True if a wait begins again, instead of keeping its start


@dataclass(frozen=True, kw_only=True)
class IgnoredInput:
    """An input or a condition that could not be used."""

    # ``event``, ``contact_changed``, ``exit rule order.returned``, ``step wait_for-3``, ``goal order.placed``.
    what: str
    reason: str  # the latest reason, without any of the contact's data
    at: str  # when it last occurred, ISO 8601 in UTC
    count: int = 1  # number of occurrences


@dataclass
class State:
    """The state of a journey that its history would not restore."""

    version: int  # number of the scenario's version
    plan: dict[str, Any]  # as `scenario.plan.plan.dump_plan` writes it
    zone: str  # IANA zone of the platform's dates without a zone
    entered_at: str  # ISO 8601 in UTC
    root: str  # run id of the journey's first execution, from which delivery ids are made
    dates: DateOrder | None = None  # order of the platform's dates with slashes, if it was set at the admission
    campaign_root: str = ""  # replaces it for delivery ids, if a campaign started the journey
    at: str | None = None  # the current step; None at the end
    since: str | None = None  # when that step began, ISO 8601 in UTC; None before
    memory: Memory = field(default_factory=Memory)
    visits: dict[str, int] = field(default_factory=dict[str, int])  # repetitions by step, begun after its end
    steps: list[StepRecord] = field(default_factory=list[StepRecord])  # records of completed steps, oldest first
    forgotten: int = 0  # number of such records that were forgotten
    steps_uncounted: list[CompletedStep] = field(default_factory=list[CompletedStep])  # not yet in the store
    steps_counted: int = 0  # number of steps before these
    events: list[Event] = field(default_factory=list[Event])
    event_count: int = 0  # number of events kept so far, including forgotten ones
    event_ids: list[str] = field(default_factory=list[str])
    patch: dict[str, Any] = field(default_factory=dict[str, Any])  # changes of the contact's fields since its entry
    held: Held | None = None
    hold: str = ""  # id of the event that reports it: the same one if a workflow task is repeated, at another time
    paused: OperationRecord | None = None  # the operation that paused the journey, if it is paused
    operations: list[OperationRecord] = field(default_factory=list[OperationRecord])
    override: Override | None = None  # replaces the plan's row of the current step
    retuned: dict[str, float] = field(default_factory=dict[str, float])  # changes of the current retry policy
    now: str | None = None  # of the delivery's templates; empty while deferred before its first attempt
    tried: int = 0  # number of attempts of the delivery before policies deferred it
    scheduled: str | None = None  # when the first of them was scheduled, ISO 8601 in UTC; the deadline counts from it
    retrying: bool = False  # True if an attempt of the current delivery has failed, and another one will be made
    delayed_by: str = ""  # destination or host of the current delivery if it is retried, or put off before it was sent
    digest: str | None = None  # digest of the data that the current delivery was first given
    ignored: list[IgnoredInput] = field(default_factory=list[IgnoredInput])  # the latest last; each `what` once
    reset: bool = False  # True if the journey was reset, in this run or an earlier one. It may then repeat deliveries.
    delivery: str | None = None  # id of the current delivery, if it was first made under another name of the step
    retried: bool = False  # True if an operator has the current delivery retried
    send_now: bool = False  # True if an operator wants the delivery sent regardless of hours and caps
    goal_events: list[Event] = field(default_factory=list[Event])  # those that are not evaluated yet
    goal_reached_at: str | None = None  # ISO 8601 in UTC

    @property
    def platform(self) -> PlatformDates:
        return PlatformDates(self.zone, self.dates)

    def continue_from(self, data: dict[str, Any]) -> State:
        """Return this state at the place to which a campaign came without a workflow, or unchanged if it is unreadable.

        Args:
            data: As `dump` writes it. The entry's admission decides about the rest.
        """
        dumped = self.dump() | {name: data[name] for name in _HANDED_OVER if name in data}
        if not self.is_readable(dumped):
            return self
        state = self.load(dumped)
        state.steps_uncounted = [state.passage(step) for step in state.steps]
        return state

    def dump(self) -> dict[str, Any]:
        """Return the state as plain JSON data, for continue-as-new."""
        return asdict(self, dict_factory=_without_datetimes)

    @classmethod
    def load(cls, data: dict[str, Any]) -> State:
        """Return the state that `dump` wrote, without fields of a later version. Raise ScenarioError if unreadable."""
        return read_form(_READER, data, "the carried state")

    @classmethod
    def is_dumped(cls, data: object) -> bool:
        """Return True if `dump` wrote this, in whichever version: it has every required field."""
        return is_object(data) and {"version", "plan", "zone", "entered_at", "root"} <= data.keys()

    @classmethod
    def is_readable(cls, data: object) -> bool:
        """Return True if a journey can continue from this."""
        try:
            state = _READER.validate_json(json.dumps(data), strict=True)
            plan = load_plan(state.plan)
            if state.override:
                read_row(state.override.step)
            rounds = state.memory.rounds.values()
            stored = (state.entered_at, state.since, *(one.began for one in rounds))
            times = [datetime.fromisoformat(time) for time in stored if time]
            times += [state.memory.until] if state.memory.until else []
        except ValueError:
            return False
        named = {state.at, plan.start}.union(*(step.successors for step in plan.steps.values()))
        return named - {None} <= plan.steps.keys() and all(time.tzinfo for time in times)

    @property
    def mode(self) -> JourneyMode:
        if self.held:
            return "held"
        if self.paused:
            return "paused"
        if self.retrying:
            return "retrying"
        return "waiting" if self.delayed_by or self.memory.until or self.memory.awaiting else "running"

    @property
    def steps_completed(self) -> int:
        return self.steps_counted + len(self.steps_uncounted)

    def keep(self, event: Event) -> None:
        """Keep an event for later steps."""
        self.event_count += 1
        self.events = [*self.events[-(KEPT_EVENTS - 1) :], replace(event, number=self.event_count)]
        sizes = [one.size for one in self.events]
        while len(self.events) > 1 and sum(sizes) > KEPT_EVENT_BYTES:
            self.events, sizes = self.events[1:], sizes[1:]

    def keep_for_goal(self, event: Event) -> None:
        """Keep an event that may reach the goal. If there are too many, the first ones are kept."""
        size = sum(one.size for one in (*self.goal_events, event))
        if size <= KEPT_EVENT_BYTES and len(self.goal_events) < KEPT_EVENTS:
            self.goal_events.append(event)

    def is_repeated(self, event_id: str) -> bool:
        """Return True if an event of this id was received before, and remember the id."""
        if event_id in self.event_ids:
            return True
        self.event_ids = [*self.event_ids[-(KNOWN_EVENT_IDS - 1) :], event_id]
        return False

    def record(self, step: StepRecord) -> None:
        self.steps.append(step)
        self.steps_uncounted.append(self.passage(step))
        if len(self.steps) > KEPT_STEPS:
            counts = Counter(one.id for one in self.steps)
            oldest = next((index for index, one in enumerate(self.steps) if counts[one.id] > 1), None)
            if oldest is not None:
                del self.steps[oldest]
                self.forgotten += 1

    def passage(self, step: StepRecord) -> CompletedStep:
        """Return the store's view of a completed step."""
        return CompletedStep(version=self.version, step=step.id, outcome=step.outcome, at=step.at)

    def mark_counted(self, number: int) -> None:
        """Mark the first of the uncounted steps as counted."""
        self.steps_counted += number
        self.steps_uncounted = self.steps_uncounted[number:]

    def note(self, operation: OperationRecord) -> None:
        self.operations = [*self.operations[-(KEPT_OPERATIONS - 1) :], operation]

    def ignore(self, what: str, reason: str, at: str) -> int:
        """Record an ignored input. Return how often it has occurred."""
        count = 1 + sum(one.count for one in self.ignored if one.what == what)
        others = [one for one in self.ignored if one.what != what]
        self.ignored = [*others[-(KEPT_IGNORED - 1) :], IgnoredInput(what=what, reason=reason, at=at, count=count)]
        return count

    def go(self, step: str | None) -> None:
        """Move to a step, or to the end, and forget what concerned the current step alone."""
        self.at, self.since, self.held = step, None, None
        self.override, self.now, self.digest, self.delivery = None, None, None, None
        self.retuned, self.send_now, self.retried = {}, False, False
        self.forget_attempts()
        self.memory.leave_step()
        if step is not None and any(record.id == step for record in self.steps):
            self.visits[step] = self.visits.get(step, 0) + 1

    def renew_delivery(self) -> None:
        """Replace the current delivery by another one, with the id of the step's next visit."""
        if self.at is not None:
            self.visits[self.at] = self.visits.get(self.at, 0) + 1
        self.now, self.digest, self.delivery = None, None, None

    def forget_attempts(self) -> None:
        """Forget the attempts of the current delivery, which has ended."""
        self.tried, self.scheduled, self.retrying, self.delayed_by = 0, None, False, ""

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename steps as another version does, in records and repetitions."""
        for old, new in names.items():
            if old != new:
                # Another step may have the old name there. None of its deliveries may have an id that was used.
                self.visits[old] = self.visits.get(old, 0) + 1
        self.steps = [replace(done, id=names.get(done.id, done.id)) for done in self.steps]
        self.memory.rounds = {names.get(name, name): rounds for name, rounds in self.memory.rounds.items()}


_READER: Final = reader_of(State)


def _without_datetimes(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in pairs}
