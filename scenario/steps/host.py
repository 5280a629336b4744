"""The host that steps are performed on, and what comes of performing them.

A row of the plan performs itself against `Host`. A journey is one, by Temporal's timers and activities; previews, tests
and simulations have a virtual one, whose clock does not wait. So a plan has one interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias

from scenario.entry.event import event_root
from scenario.time.timing import spell


@dataclass(frozen=True)
class Next:
    """Where the journey goes on.

    Attributes:
        step: None is the end.
        way: The key of the way that was taken, where the step has several.
    """

    step: str | None
    way: str | None = None


@dataclass(frozen=True)
class ContinueAsNew:
    """Nothing is decided: continue as new, then perform the same step."""


@dataclass(frozen=True)
class Leave:
    """The journey ends here, before its end."""

    reason: str


Outcome: TypeAlias = Next | ContinueAsNew | Leave


class Answer(Protocol):
    """What became of a condition."""

    @property
    def value(self) -> Any:
        """What it gives."""
        ...

    @property
    def error(self) -> str:
        """Why it cannot be evaluated; empty where it can."""
        ...


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to the contact. Journeys carry these: fields may be added, and never renamed.

    Attributes:
        name: Such as ``order.delivered``.
        properties: As the engine sent them.
        at: When it happened, where that was said, else when the journey heard of it; ISO 8601 in UTC.
        id: The engine's id of it, if it gives one.
        number: Counts the kept events of this journey from 1.
    """

    name: str
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    id: str | None = None
    number: int = 0

    @cached_property
    def size(self) -> int:
        """Characters of the properties as JSON, escaped: half a character, which may be sent, has a length too."""
        return len(json.dumps(self.properties))

    def data(self) -> dict[str, Any]:
        """The event as templates see it."""
        return event_root(self.name, self.at, self.properties)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How far a repetition is. Journeys carry these: fields may be added, and never renamed.

    Attributes:
        number: Of the round that began last; 0 before the first.
        began: When that was due, ISO 8601 in UTC.
        mark: How many events had been kept when the repetition began.
    """

    number: int = 0
    began: str = ""
    mark: int = 0


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A delivery that is over, well.

    Attributes:
        outcome: ``delivered``, or ``skipped`` where there was nothing to send.
        reason: Why, where that is not plain.
        status: The receiver's reply code.
        attempts: How many it took.
        note: What a person should know all the same.
    """

    outcome: str
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failed:
    """What went wrong with a step, for good.

    Attributes:
        reason: One sentence.
        kind: One of `activities.failures.FailureKind`.
        cause: The same in the one word that people search by.
        unknown: Whether it may have been delivered all the same.
        destination: What was sent to.
        status: The receiver's reply code.
        attempts: How many were made.
        excerpt: The first 2 KB of the reply, redacted.
        note: What a person should know all the same.
    """

    reason: str
    kind: str = "TemplateFailed"
    cause: str = "template"
    unknown: bool = False
    destination: str = ""
    status: int | None = None
    attempts: int = 1
    excerpt: str = ""
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class NotBefore:
    """A delivery that must not leave yet; nothing of it was sent.

    Attributes:
        moment: When to ask again.
        since: Why, to complete "waits for …": ``quiet hours``.
    """

    moment: datetime
    since: str

    def told(self, zone: tzinfo) -> str:
        """In words: ``kept back until Tue 2026-03-03 08:00 Europe/Paris: quiet hours``."""
        return f"kept back until {spell(self.moment, zone)}: {self.since}"


MOST_KEPT: Final = 5
"""How many times that a delivery was kept back are told with its step, the latest ones."""


class Host(Protocol):
    """What a step may do: it reads clocks, asks, waits, sends, holds, and says how it went.

    A coroutine of a step may be cancelled at any await: the contact left, an operator skipped the step. It keeps what
    must survive in `until`, and picks up from there when it is called again for the same step.
    """

    @property
    def until(self) -> datetime | None:
        """When the wait at this step ends, once that has been worked out."""
        ...

    @until.setter
    def until(self, moment: datetime | None) -> None: ...

    @property
    def rounds(self) -> Rounds | None:
        """How far the repetition at this step is; None before it begins. It stays until it is set to None."""
        ...

    @rounds.setter
    def rounds(self, rounds: Rounds | None) -> None: ...

    @property
    def step(self) -> str:
        """The id of the step."""
        ...

    @property
    def began(self) -> datetime:
        """When the step began."""
        ...

    @property
    def zone(self) -> tzinfo:
        """The contact's time zone: its own, else the scenario's."""
        ...

    @property
    def must_continue(self) -> bool:
        """Whether the step is to stop at its next wait, as `ContinueAsNew`."""
        ...

    @property
    def changes(self) -> int:
        """Counts the changes of the contact."""
        ...

    @property
    def counted(self) -> int:
        """Counts the events that were kept."""
        ...

    def missed(self, seen: int) -> bool:
        """Whether more than `seen` events have been kept by now, which the step has to look at before it waits."""
        ...

    @property
    def override_note(self) -> str | None:
        """What is to be said of a step that is worked out by another version."""
        ...

    @property
    def override(self) -> object | None:
        """The row by which an operator wants the step performed, from another version; None for its own."""
        ...

    @property
    def paused(self) -> bool:
        """Whether nothing new is to be begun until an operator says so."""
        ...

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def data(self) -> dict[str, Any]:
        """The journey's data by root name, as templates and conditions see it."""
        ...

    async def ask(self, condition: str, event: Event | None = None) -> Answer:
        """Works out a condition; with an event, it is about that one."""
        ...

    async def text(self, template: str) -> Answer:
        """Works out what a template prints, on one line; its `value` is that text."""
        ...

    async def choose(self, expression: str, cases: Sequence[str]) -> Answer:
        """Works out a value, and which of the cases it meets: its `value` is that case, or None."""
        ...

    async def date(self, template: str, offset: float) -> datetime:
        """Works out a date, and moves it by so many seconds.

        Raises:
            EntryError: It cannot be, or it is not a date.
        """
        ...

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Waits until a moment (None: forever), or until `wake` or `must_continue`; tells whether it was these."""
        ...

    def events(self, name: str, *, since_now: bool) -> Sequence[Event]:
        """The kept events of a name; only those that came since the step began, or all."""
        ...

    def take(self, event: Event) -> None:
        """Makes an event the one that templates see as `event`."""
        ...

    def await_event(self, name: str) -> None:
        """Says what the step waits for."""
        ...

    def ignore(self, what: str, reason: str) -> None:
        """Notes that something could not be used."""
        ...

    async def deliver(self, row: Any) -> Delivered | Failed | NotBefore:
        """Sends what a row of the plan says."""
        ...

    @property
    def at_once(self) -> bool:
        """Whether an operator wants the delivery of this step to leave whatever the hour, and whatever caps say."""
        ...

    @property
    def postponed(self) -> NotBefore | None:
        """What keeps the delivery of this step back, if anything does."""
        ...

    def postpone(self, until: NotBefore | None) -> None:
        """Keeps the delivery of this step back; None ends that."""
        ...

    def hold(self, failed: Failed) -> None:
        """Stops at the step until a person decides."""
        ...

    async def decided(self) -> Outcome | None:
        """Waits for that person, if the step is held. None where it is to be tried (again)."""
        ...

    def record(
        self,
        outcome: str,
        reason: str | None = None,
        *,
        status: int | None = None,
        attempts: int | None = None,
        note: str | None = None,
        way: str | None = None,
    ) -> None:
        """Says how the step went: it is over."""
        ...


async def satisfies(host: Host, event: Event, condition: str | None) -> bool:
    """Whether an event is one of those that a condition means; one that cannot be worked out is noted."""
    if condition is None:
        return True
    answer = await host.ask(condition, event)
    if answer.error:
        host.ignore(f"step {host.step}", answer.error)
    return answer.value is True
