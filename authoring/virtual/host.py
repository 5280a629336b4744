"""A clock that jumps from one awaited moment to the next, a host of steps on it, and the policies of its journeys.

The host evaluates conditions in process and sends nothing. The rules are those of journeys, with claims and
suppressions in memory.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from itertools import count
from typing import Any, Final, Generic, TypeVar, Unpack

from activities.channel_registry import CHANNELS
from activities.evaluation import evaluate
from activities.interface import Delivery
from scenario import liquid
from scenario.entry.objects import with_trigger
from scenario.errors import TemplateError
from scenario.model.scenario import Scenario
from scenario.plan.compile import pick
from scenario.policies.caps import Cap, Full, full
from scenario.policies.order import PlannedMessage, Ruling, ask, rules_of
from scenario.policies.policies import Policies
from scenario.policies.suppression import Suppression
from scenario.steps.delivery import DeliveryStep, Send
from scenario.steps.host import (
    ContinueAsNew,
    Delivered,
    EvaluationRequest,
    EvaluationResult,
    Event,
    Failed,
    Inputs,
    Memory,
    NotBefore,
    Outcome,
    Remarks,
)

T = TypeVar("T")
_STEP: Final = timedelta(milliseconds=20)
"""The time that a worker takes to begin a step, which therefore begins after the moment that it waited for."""


@dataclass(eq=False)
class _Wait:
    """A wait for a moment (None: forever), or for a notification of its owner."""

    owner: Hashable
    until: datetime | None
    wake: Callable[[], bool]

    def __await__(self) -> Generator[_Wait, bool, bool]:
        return (yield self)


@dataclass(eq=False)
class Task(Generic[T]):
    """A coroutine that a `Clock` runs. It has no result while it runs."""

    coroutine: Coroutine[Any, Any, T]
    done: bool = False
    result: T | None = None


class Clock:
    """Virtual time that begins at an aware `now`. `run` raises the error of a coroutine."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._ready: deque[tuple[Task[Any], bool | None]] = deque()
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._waiting: dict[Hashable, tuple[_Wait, Task[Any]]] = {}
        self._count = count()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a coroutine that awaits nothing but `wait`."""
        task = Task(coroutine)
        self._ready.append((task, None))
        return task

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Call an action at a moment, or as soon as possible if it is past."""
        heapq.heappush(self._timers, (max(moment, self.now), next(self._count), action))

    async def wait(self, owner: Hashable, until: datetime | None, wake: Callable[[], bool]) -> bool:
        """Wait until a moment (None: forever), or until `wake` returns True. Return True for the latter.

        The owner of the coroutine has one wait at a time. `tell` checks `wake` again.
        """
        return True if wake() else await _Wait(owner, until, wake)

    def tell(self, owner: Hashable) -> None:
        wait, task = self._waiting.get(owner, (None, None))
        if wait is not None and task is not None and wait.wake():
            del self._waiting[owner]
            self._ready.append((task, True))

    def run(self, until: datetime | None = None) -> None:
        """Let time pass until no moment is awaited, or `until` a moment, after the actions due then.

        Coroutines that wait forever stay waiting.
        """
        while True:
            while self._ready:
                self._resume(*self._ready.popleft())
            if not self._timers or (until is not None and self._timers[0][0] > until):
                self.now = self.now if until is None else max(self.now, until)
                return
            moment, _, action = heapq.heappop(self._timers)
            self.now = max(self.now, moment)
            action()

    def _resume(self, task: Task[Any], woke: bool | None) -> None:
        try:
            wait: _Wait = task.coroutine.send(woke)
        except StopIteration as over:
            task.done, task.result = True, over.value
            return
        self._waiting[wait.owner] = (wait, task)
        if wait.until is not None:
            self.at(wait.until, lambda: self._over(wait))

    def _over(self, wait: _Wait) -> None:
        waiting, task = self._waiting.get(wait.owner, (None, None))
        if waiting is wait and task is not None:
            del self._waiting[wait.owner]
            self._ready.append((task, False))


@dataclass(frozen=True)
class Record:
    """The outcome of a step. `at` is in the time zone that the contact had at that moment."""

    step: str
    outcome: str
    at: datetime
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None
    way: str | None = None


class VirtualHost:
    """A host of one contact in virtual time.

    `data` has the data of templates and conditions by root, without `now`, `today`, `responses` and `event`. `deliver`
    simulates a delivery, and may let time pass with `wait`. `held` is why the current step is held, or None.
    `send_now` is True if an operator wants the current delivery sent regardless of hours and caps. `fault` is the error
    of the last template that failed, with the data that it saw.
    """

    changes: int = 0
    must_continue = False
    paused = False
    row_override = None

    def __init__(
        self,
        clock: Clock,
        data: Mapping[str, Any],
        zone: tzinfo,
        deliver: Callable[[Any, Send], Awaitable[Delivered | Failed | NotBefore]],
        *,
        event: Mapping[str, Any] | None = None,
        responses: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock, self.zone = clock, zone
        self.memory = Memory(event=None if event is None else dict(event), responses=dict(responses or {}))
        self.kept: list[Event] = []
        self.records: list[Record] = []
        self._data, self._deliver = data, deliver
        self.begin("")

    def begin(self, step: str) -> None:
        if step:
            self.clock.now += _STEP
        self.step, self.began = step, self.clock.now
        self.held: Failed | None = None
        self.send_now = False
        self.fault: tuple[TemplateError, Mapping[str, Any]] | None = None
        self.unread: str | None = None  # the text that was to be a date, and is none
        self.memory.leave_step()
        self.memory.mark = len(self.kept)
        self._event_before = self.memory.event

    def happen(self, event: Event) -> None:
        at = event.at or self.now().isoformat()
        self.kept.append(replace(event, at=at, number=len(self.kept) + 1))
        self.clock.tell(self)

    @property
    def matched_event(self) -> dict[str, Any] | None:
        return None if self.memory.event is self._event_before else self.memory.event

    def data(self) -> dict[str, Any]:
        """Return what templates of a delivery see, except the roots that the delivery itself adds."""
        journey = {**self._data["journey"], "timezone": str(self.zone)}
        data = {**self._data, "journey": journey, "responses": self.memory.responses}
        return data if self.memory.event is None else {**data, "event": self.memory.event}

    def delivery_of(self, row: Send, *, identifier: str, version: str, now: str, root: str) -> Delivery:
        """Return a delivery of the current step.

        `version` is the scenario with its version, `now` the time for templates, ISO 8601, and `root` the run id of the
        journey's first run, which the delivery has if a template uses its callback URL.
        """
        whole = self.data()
        return Delivery(
            id=identifier,
            scenario=version,
            step=self.step,
            contact=str(whole["contact"]["id"]),
            now=now,
            data=pick(whole, row.fields, row.item_fields),
            root=root if row.calls_back else "",
        )

    def local(self, moment: datetime) -> str:
        return moment.astimezone(self.zone).isoformat(timespec="seconds")

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.changes, self.kept, len(self.kept), self.paused, self.send_now)

    def now(self) -> datetime:
        return self.clock.now

    async def answer(self, question: EvaluationRequest) -> EvaluationResult:
        """Evaluate in process. A failure is kept as `fault`, and a text that is no date as `unread`."""
        return self._answer(question)

    def _answer(self, question: EvaluationRequest) -> EvaluationResult:
        try:
            answered = evaluate(question)
        except TemplateError as error:
            self.fault = (error, question.data)
            return EvaluationResult(error=str(error))
        if answered.no_date:
            value = liquid.evaluate_value(question.text, with_trigger(question.data))
            self.unread = None if value is None else str(value)
        return answered

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        del what
        self.stop_if_interrupted()
        woke = await self.clock.wait(self, until, lambda: wake() or self.interrupted)
        self.stop_if_interrupted()
        return woke

    @property
    def interrupted(self) -> bool:
        return False

    def stop_if_interrupted(self) -> None:
        """Stop the current step if it is interrupted. Nothing interrupts this host."""

    def ignore(self, what: str, reason: str) -> None:
        """Forget the failure, since nothing reports it here."""
        self.fault = None

    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        return await self._deliver(self, row)

    def hold(self, failed: Failed) -> None:
        self.held, self.memory.until = failed, None

    async def decided(self) -> Outcome | None:
        return None if self.held is None else ContinueAsNew()

    def record(self, outcome: str, reason: str | None = None, **more: Unpack[Remarks]) -> None:
        at, note = self.now().astimezone(self.zone), (*self.memory.deferrals, more.get("note"))
        more["note"] = "; ".join(filter(None, note)) or None
        self.records.append(Record(self.step, outcome, at, reason, **more))


@dataclass(frozen=True)
class PlaceClaim:
    """A claim under caps; see `runtime.store.claims.CapClaim`."""

    delivery_id: str
    channel: str
    destination: str
    claimed_at: datetime


@dataclass
class Workspace:
    """The policies, suppressions and claims that apply to one contact's messages."""

    policies: Policies = field(default_factory=Policies)
    suppressions: Sequence[Suppression] = ()
    places: list[PlaceClaim] = field(default_factory=list[PlaceClaim])  # the contact's claims under caps

    async def ask(self, host: VirtualHost, scenario: Scenario, step: DeliveryStep, row: Send, delivery: str) -> Ruling:
        destination = row.to if CHANNELS[row.channel].addressed else ""
        message = PlannedMessage(
            delivery=delivery,
            channel=row.channel,
            destination=destination,
            began=host.began,
            zone=host.zone,
            contact=host.data()["contact"],
            at_once=host.send_now,
        )
        rules = rules_of(scenario, step, self.policies, row.channel, destination)
        return await ask(message, rules, _Facts(self, message, host.now()))

    def release(self, delivery: str) -> None:
        self.places = [place for place in self.places if place.delivery_id != delivery]


@dataclass(frozen=True)
class _Facts:
    workspace: Workspace
    message: PlannedMessage
    at: datetime

    def now(self) -> datetime:
        return self.at

    async def suppressions(self) -> Iterable[Suppression]:
        return [found for found in self.workspace.suppressions if found.channel == self.message.channel]

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        places, message = self.workspace.places, self.message
        if not caps or any(place.delivery_id == message.delivery for place in places):
            return None
        found = full(caps, places, self.at, message.zone)
        if found is None:
            places.append(PlaceClaim(message.delivery, message.channel, message.destination, self.at))
        return found
