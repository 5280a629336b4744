"""What a journey remembers, tells and returns. All of it is plain data, so that it goes along in continue-as-new.

Journeys in flight carry these in their histories: fields may be added, with a default, and never renamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, cast

from activities.counting import Passage
from scenario.entry.plain_json import has_form
from scenario.plan.plan import load_plan
from scenario.steps.host import Event, Memory, Rounds
from scenario.steps.registry import read_row
from workflows.limits import size_of
from workflows.records import Held, Operation, Override, PassedOver, StepRecord, made

JourneyState = Literal["running", "waiting", "held", "paused"]

KEPT_EVENTS: Final = 200
"""Events kept for a later step or condition; beyond that the oldest is forgotten."""
KEPT_EVENT_BYTES: Final = 262_144
"""Characters that the properties of all kept events may take together, as JSON; the newest is kept whatever it takes.

Receivers tell events too, of 64 KB each: what a run hands to the next must stay below the 2 MB that Temporal takes.
"""
KNOWN_EVENT_IDS: Final = 1000
"""Event ids remembered, so that a repeated event counts once."""
KEPT_OPERATIONS: Final = 100
"""Operations remembered, the latest ones: a program may send them for weeks, and every answer holds them all."""
KEPT_STEPS: Final = 1000
"""Steps that are over of which a journey keeps the record. Of one that was performed again and again, the oldest are
forgotten beyond that, never the latest: the id of a delivery depends on whether its step was performed before."""
KEPT_PASSED_OVER: Final = 20
"""Kinds of things remembered that could not be used."""
LONGEST_REASON: Final = 500
"""Characters of the reason for that."""
KEPT_RESPONSES: Final = 131_072
"""Bytes that all kept responses of a journey may take together, as JSON: every run of a journey carries them along."""


@dataclass
class State:
    """Everything a journey knows that its history would not give it back.

    Attributes:
        version: Number of the scenario's version it follows.
        plan: As `scenario.plan.plan.dump_plan` writes it.
        zone: IANA zone of the platform's zone-less dates.
        entered_at: ISO 8601 in UTC.
        root: Run id of the journey's first execution: what delivery ids are made from.
        at: The step it stands at; None at the end.
        since: When that step began, ISO 8601 in UTC; None before it has.
        memory: What steps remember.
        visits: How often a step was begun again after it was over.
        steps: Steps that are over, in order.
        forgotten: How many records of such steps were forgotten.
        passed: Steps that are over and are not counted in the store yet, under the names that they had then.
        told: How many there were before these, which are.
        events: Events kept for later.
        counted: How many events were kept in all.
        seen: Ids of events that came.
        patch: Changes of the contact's fields since it came in.
        held: Why it waits for a person, if it does.
        paused: By whom and why, if it is.
        operations: What operators did last.
        responses: What steps kept of their responses, by name, the last kept one last.
        anew: What the present step is performed by instead of the plan's row.
        retuned: What operators changed of the present step's retry policy, by the names of
            `scenario.plan.retry.RetryPolicy`.
        now: What its delivery's templates see as `now`; empty while the delivery is kept back before its first attempt.
        tried: How many attempts of its delivery were made before policies kept it back.
        scheduled: When the first of them was scheduled, ISO 8601 in UTC: the deadline counts from then.
        digest: Of the data that the present step's delivery was first given.
        passed_over: What could not be used, the latest last; each `what` once.
        reset: Whether somebody reset the journey, in this run or one before: then it may send again what it has sent.
        delivery: Id of the present step's delivery, where it was first made under another name of the step.
        at_once: Whether an operator wants it to leave all the same.
        goals: Events that may reach the goal, and have not been looked at yet.
        reached: When the goal was reached, ISO 8601 in UTC.
    """

    version: int
    plan: dict[str, Any]
    zone: str
    entered_at: str
    root: str
    at: str | None = None
    since: str | None = None
    memory: Memory = field(default_factory=Memory)
    visits: dict[str, int] = field(default_factory=dict[str, int])
    steps: list[StepRecord] = field(default_factory=list[StepRecord])
    events: list[Event] = field(default_factory=list[Event])
    counted: int = 0
    seen: list[str] = field(default_factory=list[str])
    patch: dict[str, Any] = field(default_factory=dict[str, Any])
    held: Held | None = None
    paused: Operation | None = None
    operations: list[Operation] = field(default_factory=list[Operation])
    responses: dict[str, Any] = field(default_factory=dict[str, Any])
    anew: Override | None = None
    retuned: dict[str, float] = field(default_factory=dict[str, float])
    now: str | None = None
    tried: int = 0
    scheduled: str | None = None
    digest: str | None = None
    passed_over: list[PassedOver] = field(default_factory=list[PassedOver])
    reset: bool = False
    forgotten: int = 0
    delivery: str | None = None
    at_once: bool = False
    goals: list[Event] = field(default_factory=list[Event])
    reached: str | None = None
    passed: list[Passage] = field(default_factory=list[Passage])
    told: int = 0

    def dump(self) -> dict[str, Any]:
        """As plain JSON data, for continue-as-new."""
        return asdict(self, dict_factory=_without_datetimes)

    @classmethod
    def load(cls, data: dict[str, Any]) -> State:
        """Return the state that `dump` wrote."""
        state = made(cls, data)
        state.steps = [made(StepRecord, item) for item in data.get("steps", ())]
        state.passed = [made(Passage, item) for item in data.get("passed", ())]
        state.events = [made(Event, item) for item in data.get("events", ())]
        state.goals = [made(Event, item) for item in data.get("goals", ())]
        state.operations = [made(Operation, item) for item in data.get("operations", ())]
        state.passed_over = [made(PassedOver, item) for item in data.get("passed_over", ())]
        state.memory = _load_memory(data.get("memory", {}))
        state.held = made(Held, data["held"]) if data.get("held") else None
        state.paused = made(Operation, data["paused"]) if data.get("paused") else None
        state.anew = made(Override, data["anew"]) if data.get("anew") else None
        return state

    @classmethod
    def is_dumped(cls, data: object) -> bool:
        """Return True if `dump` wrote this, in whichever version: it has every required field."""
        if not isinstance(data, dict):
            return False
        return all(name in data for name in ("version", "plan", "zone", "entered_at", "root"))

    @classmethod
    def is_readable(cls, data: object) -> bool:
        """Return True if a journey can continue from this."""
        if not has_form(data, cls):
            return False
        state = cls.load(cast("dict[str, Any]", data))
        try:
            plan = load_plan(state.plan)
            if state.anew:
                read_row(state.anew.step)
            rounds = state.memory.rounds.values()
            stored = (state.entered_at, state.since, *(one.began for one in rounds))
            times = [datetime.fromisoformat(time) for time in stored if time]
            times += [state.memory.until] if state.memory.until else []
        except ValueError:
            return False
        named = {state.at, plan.start}.union(*(step.successors for step in plan.steps.values()))
        return named - {None} <= plan.steps.keys() and all(time.tzinfo for time in times)

    def keep(self, event: Event) -> Event:
        """Keeps an event for later steps, and forgets the oldest where there are too many."""
        self.counted += 1
        kept = Event(name=event.name, properties=event.properties, at=event.at, id=event.id, number=self.counted)
        self.events = [*self.events[-(KEPT_EVENTS - 1) :], kept]
        sizes = [one.size for one in self.events]
        while len(self.events) > 1 and sum(sizes) > KEPT_EVENT_BYTES:
            self.events, sizes = self.events[1:], sizes[1:]
        return kept

    def expect(self, event: Event) -> None:
        """Keeps an event that may reach the goal until it has been looked at; where there are too many, the first."""
        if sum(one.size for one in (*self.goals, event)) <= KEPT_EVENT_BYTES and len(self.goals) < KEPT_EVENTS:
            self.goals.append(event)

    def record(self, done: StepRecord) -> None:
        """Notes that a step is over."""
        self.steps.append(done)
        self.passed.append(self.passage(done))
        if len(self.steps) > KEPT_STEPS:
            counts = Counter(one.id for one in self.steps)
            oldest = next((index for index, one in enumerate(self.steps) if counts[one.id] > 1), None)
            if oldest is not None:
                del self.steps[oldest]
                self.forgotten += 1

    def passage(self, done: StepRecord) -> Passage:
        """What is counted of a step that is over."""
        return Passage(version=self.version, step=done.id, outcome=done.outcome, at=done.at)

    def count(self, number: int) -> None:
        """Forgets the first so many of the steps to be counted."""
        self.told += number
        self.passed = self.passed[number:]

    def note(self, operation: Operation) -> None:
        """Notes an operation, and forgets the oldest where there are too many."""
        self.operations = [*self.operations[-(KEPT_OPERATIONS - 1) :], operation]

    def pass_over(self, what: str, reason: str, at: str) -> int:
        """Notes what could not be used, and forgets the oldest where there are too many.

        Returns:
            How often that happened, with this time.
        """
        earlier = [one.count for one in self.passed_over if one.what == what]
        others = [one for one in self.passed_over if one.what != what]
        noted = PassedOver(what=what, reason=reason, at=at, count=1 + sum(earlier))
        self.passed_over = [*others[-(KEPT_PASSED_OVER - 1) :], noted]
        return noted.count

    def remember(self, event_id: str) -> bool:
        """Whether an event of this id came before; from now on it did."""
        if event_id in self.seen:
            return True
        self.seen = [*self.seen[-(KNOWN_EVENT_IDS - 1) :], event_id]
        return False

    def save(self, name: str, response: Any) -> list[str]:
        """Keeps a response under a name, and forgets the oldest ones where all together are too large.

        Returns:
            The names of those that were forgotten.
        """
        kept = {key: value for key, value in self.responses.items() if key != name}
        sizes = {key: size_of(value) for key, value in kept.items()}
        room = KEPT_RESPONSES - size_of(response)
        forgotten: list[str] = []
        for key in kept:
            if sum(sizes.values()) <= room:
                break
            del sizes[key]
            forgotten.append(key)
        self.responses = {**{key: kept[key] for key in sizes}, name: response}
        return forgotten

    def go(self, step: str | None) -> None:
        """Moves on to a step, or to the end: what concerned the present one alone is over."""
        self.at, self.since, self.held = step, None, None
        self.anew, self.now, self.digest, self.delivery = None, None, None, None
        self.retuned, self.at_once, self.tried, self.scheduled = {}, False, 0, None
        self.memory.leave_step()
        if step is not None and any(record.id == step for record in self.steps):
            self.visits[step] = self.visits.get(step, 0) + 1

    def rename(self, names: Mapping[str, str]) -> None:
        """Calls steps by the names that they have in another version, in the record of those that are over."""
        for was, becomes in names.items():
            if was != becomes:
                # Another step may have this name there. Its deliveries are others: none may have an id that was used.
                self.visits[was] = self.visits.get(was, 0) + 1
        self.steps = [replace(done, id=names.get(done.id, done.id)) for done in self.steps]

    @property
    def mode(self) -> JourneyState:
        """What the journey is doing, in one word."""
        if self.held:
            return "held"
        if self.paused:
            return "paused"
        return "waiting" if self.memory.until or self.memory.awaiting else "running"


def _without_datetimes(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in pairs}


def _load_memory(data: dict[str, Any]) -> Memory:
    memory = made(Memory, data)
    memory.until = datetime.fromisoformat(data["until"]) if data.get("until") else None
    rounds: dict[str, Any] = data.get("rounds", {})
    memory.rounds = {name: made(Rounds, item) for name, item in rounds.items()}
    return memory
