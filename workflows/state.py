"""What a journey remembers, tells and returns. All of it is plain data, so that it goes along in continue-as-new.

Journeys in flight carry these in their histories: fields may be added, with a default, and never renamed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar


class _Plain(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


_Made = TypeVar("_Made", bound=_Plain)

Outcome = Literal["finished", "exited", "refused"]
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
"""Operators' orders remembered, the latest ones: a program may give them for weeks, and every answer holds them all."""
KEPT_PASSED_OVER: Final = 20
"""Kinds of things remembered that could not be used."""
LONGEST_REASON: Final = 500
"""Characters of the reason for that."""
KEPT_RESPONSES: Final = 131_072
"""Bytes that all kept responses of a journey may take together, as JSON: every run of a journey carries them along."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to the contact.

    Attributes:
        name: Such as ``order.delivered``.
        properties: As the engine sent them.
        at: When the journey heard of it, ISO 8601 in UTC.
        id: The engine's id of it, if it gives one.
        number: Counts the kept events of this journey from 1.
    """

    name: str
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    id: str | None = None
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """How one step went.

    Attributes:
        id: The step's.
        kind: Its kind.
        outcome: ``delivered``, ``skipped``, ``failed``, ``unknown``; ``waited``, ``event``, ``timeout``; ``then``,
            ``else``; ``exited``; ``left`` where the journey ended during it.
        at: When it was over, ISO 8601 in UTC.
        reason: Why, where that is not plain.
        status: The receiver's reply code.
        attempts: How many attempts it took.
        note: What a person should know all the same: that it was rendered anew, that a response was not kept.
    """

    id: str
    kind: str
    outcome: str
    at: str
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Held:
    """Why the journey waits for a person.

    Attributes:
        step: The step that failed.
        kind: The failure's kind, one of `activities.failures.Kind` or ``StepFailed``.
        reason: One sentence.
        at: Since when, ISO 8601 in UTC.
        destination: What was sent to.
        status: The receiver's reply code.
        attempts: How many attempts were made.
        excerpt: The first 2 KB of the reply, redacted.
        cause: The kind in one word that people search by: ``permanent``, ``exhausted`` (attempts or time ran out),
            ``unknown``, ``unconfigured``, ``template``.
    """

    step: str
    kind: str
    reason: str
    at: str
    destination: str = ""
    status: int | None = None
    attempts: int | None = None
    excerpt: str = ""
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operator did.

    Attributes:
        name: The update.
        operator: Who.
        reason: Why.
        at: When, ISO 8601 in UTC.
        step: The step it was about.
        details: What else was ordered: ``{"version": "post-purchase@4"}``, ``{"retry": {…}}``.
    """

    name: str
    operator: str
    reason: str
    at: str
    step: str | None = None
    details: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON; without `details` where there are none."""
        return {key: value for key, value in asdict(self).items() if key != "details" or value is not None}


@dataclass(frozen=True, kw_only=True)
class Anew:
    """The present step as another version has it: by an operator's order, until the step is over.

    Attributes:
        version: The number of that version.
        step: Its row of the plan, as `scenario.plan.dump_plan` writes it.
    """

    version: int
    step: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """Something that came, or was to be worked out, and could not be used.

    Attributes:
        what: ``event``, ``contact_changed``, ``exit rule order.returned``, ``step wait_for-3``.
        reason: Why, the last time; without any of the contact's data.
        at: When that was, ISO 8601 in UTC.
        count: How often it happened.
    """

    what: str
    reason: str
    at: str
    count: int = 1


@dataclass
class State:
    """Everything a journey knows that its history would not give it back.

    Attributes:
        version: Number of the scenario's version it follows.
        plan: As `scenario.plan.dump_plan` writes it.
        zone: IANA zone of the platform's zone-less dates.
        entered_at: ISO 8601 in UTC.
        root: Run id of the journey's first execution: what delivery ids are made from.
        at: The step it stands at; None at the end.
        since: When that step began, ISO 8601 in UTC; None before it has.
        mark: How many events had been kept when that step began.
        until: When the wait at that step ends, ISO 8601 in UTC, where it has been worked out.
        awaiting: The event that it waits for, if it does.
        visits: How often a step was begun again after it was over.
        steps: Steps that are over, in order.
        events: Events kept for later.
        counted: How many events were kept in all.
        seen: Ids of events that came.
        event: What templates see as `event`: the one that satisfied the last `wait_for`.
        patch: Changes of the contact's fields since it came in.
        held: Why it waits for a person, if it does.
        paused: By whom and why, if it is.
        operations: What operators did last.
        responses: What steps kept of their responses, by name, the last kept one last.
        anew: What the present step is performed by instead of the plan's row.
        retuned: What operators changed of the present step's retry policy, by the names of `scenario.plan.Retry`.
        now: That step's time on the contact's clock, as its delivery was first given it.
        digest: Of the data that the present step's delivery was first given.
        passed_over: What could not be used, the latest last; each `what` once.
    """

    version: int
    plan: dict[str, Any]
    zone: str
    entered_at: str
    root: str
    at: str | None = None
    since: str | None = None
    mark: int = 0
    until: str | None = None
    awaiting: str | None = None
    visits: dict[str, int] = field(default_factory=dict[str, int])
    steps: list[StepRecord] = field(default_factory=list[StepRecord])
    events: list[Event] = field(default_factory=list[Event])
    counted: int = 0
    seen: list[str] = field(default_factory=list[str])
    event: dict[str, Any] | None = None
    patch: dict[str, Any] = field(default_factory=dict[str, Any])
    held: Held | None = None
    paused: Operation | None = None
    operations: list[Operation] = field(default_factory=list[Operation])
    responses: dict[str, Any] = field(default_factory=dict[str, Any])
    anew: Anew | None = None
    retuned: dict[str, float] = field(default_factory=dict[str, float])
    now: str | None = None
    digest: str | None = None
    passed_over: list[PassedOver] = field(default_factory=list[PassedOver])

    def dump(self) -> dict[str, Any]:
        """As plain JSON data, for continue-as-new."""
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> State:
        """Reads what `dump` wrote, be it an older or a newer version of this code."""
        state = _made(cls, data)
        state.steps = [_made(StepRecord, item) for item in data.get("steps", ())]
        state.events = [_made(Event, item) for item in data.get("events", ())]
        state.operations = [_made(Operation, item) for item in data.get("operations", ())]
        state.passed_over = [_made(PassedOver, item) for item in data.get("passed_over", ())]
        state.held = _made(Held, data["held"]) if data.get("held") else None
        state.paused = _made(Operation, data["paused"]) if data.get("paused") else None
        state.anew = _made(Anew, data["anew"]) if data.get("anew") else None
        return state

    @classmethod
    def is_dumped(cls, data: object) -> bool:
        """Whether this is something that `dump` wrote: an object with all that every version of this code wrote."""
        if not isinstance(data, dict):
            return False
        return all(name in data for name in ("version", "plan", "zone", "entered_at", "root"))

    def keep(self, event: Event) -> Event:
        """Keeps an event for later steps, and forgets the oldest where there are too many."""
        self.counted += 1
        kept = Event(name=event.name, properties=event.properties, at=event.at, id=event.id, number=self.counted)
        self.events = [*self.events[-(KEPT_EVENTS - 1) :], kept]
        # Escaped, so that half a character, which an engine may send, has a length too.
        sizes = [len(json.dumps(one.properties)) for one in self.events]
        while len(self.events) > 1 and sum(sizes) > KEPT_EVENT_BYTES:
            self.events, sizes = self.events[1:], sizes[1:]
        return kept

    def note(self, operation: Operation) -> None:
        """Notes an operator's order, and forgets the oldest where there are too many."""
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
        sizes = {key: _size(value) for key, value in kept.items()}
        room = KEPT_RESPONSES - _size(response)
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
        self.at, self.since, self.until, self.awaiting, self.held = step, None, None, None, None
        self.anew, self.now, self.digest = None, None, None
        self.retuned = {}
        if step is not None and any(record.id == step for record in self.steps):
            self.visits[step] = self.visits.get(step, 0) + 1

    @property
    def mode(self) -> JourneyState:
        """What the journey is doing, in one word."""
        if self.held:
            return "held"
        if self.paused:
            return "paused"
        return "waiting" if self.until or self.awaiting else "running"


def _made(cls: type[_Made], data: dict[str, Any]) -> _Made:
    """One of these, without the fields that only a newer version knows."""
    known = cls.__dataclass_fields__
    return cls(**{key: value for key, value in data.items() if key in known})


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
