"""What a journey remembers, tells and returns. All of it is plain data, so that it goes along in continue-as-new.

Journeys in flight carry these in their histories: fields may be added, with a default, and never renamed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal

Outcome = Literal["finished", "exited", "refused"]
JourneyState = Literal["running", "waiting", "held", "paused"]

KEPT_EVENTS: Final = 200
"""Events kept for a later step or condition; beyond that the oldest is forgotten."""
KNOWN_EVENT_IDS: Final = 1000
"""Event ids remembered, so that a repeated event counts once."""


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
    """

    id: str
    kind: str
    outcome: str
    at: str
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None

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
    """

    step: str
    kind: str
    reason: str
    at: str
    destination: str = ""
    status: int | None = None
    attempts: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operator did."""

    name: str
    operator: str
    reason: str
    at: str
    step: str | None = None


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
        operations: What operators did.
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

    def dump(self) -> dict[str, Any]:
        """As plain JSON data, for continue-as-new."""
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> State:
        """Reads what `dump` wrote, be it an older or a newer version of this code."""
        known = {item.name for item in fields(cls)}
        state = cls(**{key: value for key, value in data.items() if key in known})
        state.steps = [StepRecord(**item) for item in data.get("steps", ())]
        state.events = [Event(**item) for item in data.get("events", ())]
        state.operations = [Operation(**item) for item in data.get("operations", ())]
        state.held = Held(**data["held"]) if data.get("held") else None
        state.paused = Operation(**data["paused"]) if data.get("paused") else None
        return state

    def keep(self, event: Event) -> Event:
        """Keeps an event for later steps, and forgets the oldest where there are too many."""
        self.counted += 1
        kept = Event(name=event.name, properties=event.properties, at=event.at, id=event.id, number=self.counted)
        self.events = [*self.events[-(KEPT_EVENTS - 1) :], kept]
        return kept

    def remember(self, event_id: str) -> bool:
        """Whether an event of this id came before; from now on it did."""
        if event_id in self.seen:
            return True
        self.seen = [*self.seen[-(KNOWN_EVENT_IDS - 1) :], event_id]
        return False

    @property
    def mode(self) -> JourneyState:
        """What the journey is doing, in one word."""
        if self.held:
            return "held"
        if self.paused:
            return "paused"
        return "waiting" if self.until or self.awaiting else "running"
