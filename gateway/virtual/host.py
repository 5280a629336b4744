"""The virtual host of steps: it reads a virtual clock, evaluates conditions itself, and sends nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Literal

from activities.evaluation import evaluate
from activities.interface import Answer, Question
from gateway.virtual.clock import Clock
from scenario.errors import TemplateError
from scenario.steps.delivery import Send
from scenario.steps.host import MOST_KEPT, ContinueAsNew, Delivered, Event, Failed, NotBefore, Outcome, Rounds
from scenario.steps.switch import output_of


@dataclass(frozen=True, kw_only=True)
class Record:
    """How a step went.

    Attributes:
        at: When, on the contact's clock of that moment.
    """

    step: str
    outcome: str
    at: datetime
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None
    way: str | None = None


class VirtualHost:
    """One contact's way, in virtual time; see `scenario.steps.host.Host`.

    Args:
        clock: The time.
        data: What templates and conditions see, by root; without `now`, `today`, `responses` and `event`.
        zone: The contact's.
        deliver: Makes up what becomes of a delivery of this host. It may let time pass by `wait`.
        event: What templates see as `event`, if something came already.
        responses: Those that were kept, by name.

    Attributes:
        step: The present step.
        began: When it began.
        until: When its wait ends.
        events: What has happened to the contact.
        taken: The event that met the present step, if one did.
        held: Why the present step waits for a person, if it does.
        postponed: What keeps its delivery back, if anything does.
        at_once: Whether an operator wants it to leave whatever the hour.
        rounds: How far the repetition at the present step is.
        fault: The error of the last template that could not be evaluated, and what it saw.
        records: How steps went.
    """

    changes: int = 0
    must_continue = False
    paused = False
    override = None
    override_note = None

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
        self.clock, self.zone, self.event = clock, zone, event
        self.responses = dict(responses or {})
        self.kept: list[Event] = []
        self.records: list[Record] = []
        self._data, self._deliver = data, deliver
        self._rounds: dict[str, Rounds] = {}
        self.begin("")

    def begin(self, step: str) -> None:
        """Comes to a step."""
        self.step, self.began = step, self.clock.now
        self.until: datetime | None = None
        self.taken: Event | None = None
        self.held: Failed | None = None
        self.postponed: NotBefore | None = None
        self.at_once = False
        self._kept: list[str] = []
        self.fault: tuple[TemplateError, Mapping[str, Any]] | None = None
        self._mark = self.counted

    def happen(self, event: Event) -> None:
        """Lets something happen to the contact, now."""
        at = event.at or self.now().isoformat()
        self.kept.append(replace(event, at=at, number=self.counted + 1))
        self.clock.tell(self)

    def data(self) -> dict[str, Any]:
        """What a delivery's templates see, but for what the delivery brings itself."""
        journey = {**self._data["journey"], "timezone": str(self.zone)}
        data = {**self._data, "journey": journey, "responses": self.responses}
        return data if self.event is None else {**data, "event": self.event}

    def asked(self) -> dict[str, Any]:
        """What conditions see."""
        now = self.local(self.now())
        return {**self.data(), "now": now, "today": now[:10]}

    def local(self, moment: datetime) -> str:
        """A moment on the contact's clock, ISO 8601."""
        return moment.astimezone(self.zone).isoformat(timespec="seconds")

    # ---- what steps use

    @property
    def rounds(self) -> Rounds | None:
        """How far the repetition at the present step is."""
        return self._rounds.get(self.step)

    @rounds.setter
    def rounds(self, rounds: Rounds | None) -> None:
        if rounds is None:
            self._rounds.pop(self.step, None)
        else:
            self._rounds[self.step] = rounds

    @property
    def counted(self) -> int:
        """How many events were kept in all."""
        return len(self.kept)

    def missed(self, seen: int) -> bool:
        """Whether more than `seen` events have been kept by now."""
        return self.counted > seen

    def now(self) -> datetime:
        """The time, in UTC."""
        return self.clock.now

    async def ask(self, condition: str, event: Event | None = None) -> Answer:
        """Works out a condition; with an event, it is about that one."""
        return self._evaluate(condition, "condition", {} if event is None else {"event": event.data()})

    async def text(self, template: str) -> Answer:
        """Works out what a template prints, on one line."""
        return self._evaluate(template, "text", {})

    async def choose(self, expression: str, cases: Sequence[str]) -> Answer:
        """Works out a value, and which of the cases it meets."""
        return self._evaluate(output_of(expression), "value", {}, cases=tuple(cases))

    async def date(self, template: str, offset: float) -> datetime:
        """Works out a date, and moves it by so many seconds."""
        return self._evaluate(template, "value", {}, zone=str(self.zone), offset=offset).moment

    def _evaluate(
        self, text: str, kind: Literal["condition", "value", "text"], more: Mapping[str, Any], **asked: Any
    ) -> Answer:
        data = {**self.asked(), **more}
        try:
            return evaluate(Question(text=text, data=data, kind=kind, **asked))
        except TemplateError as error:
            self.fault = (error, data)
            return Answer(error=str(error))

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Waits until a moment (None: forever), or until `wake`; tells whether it woke."""
        del what
        self.stop_if_interrupted()
        woke = await self.clock.wait(self, until, lambda: wake() or self.interrupted)
        self.stop_if_interrupted()
        return woke

    @property
    def interrupted(self) -> bool:
        """Whether the present step is to go no further."""
        return False

    def stop_if_interrupted(self) -> None:
        """Ends the present step where it is to go no further: nobody ends it here."""

    def events(self, name: str, *, since_now: bool) -> Sequence[Event]:
        """The events of a name; only those that came since the step began, or all."""
        first = self._mark if since_now else 0
        return [event for event in self.kept if event.name == name and event.number > first]

    def take(self, event: Event) -> None:
        """Makes an event the one that templates see as `event`."""
        self.taken, self.event = event, event.data()

    def await_event(self, name: str) -> None:
        """Says what the step waits for: nobody asks here."""

    def ignore(self, what: str, reason: str) -> None:
        """Notes that something could not be used: nobody asks here."""
        self.fault = None

    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        """Makes believe to send."""
        return await self._deliver(self, row)

    def postpone(self, until: NotBefore | None) -> None:
        """Keeps the delivery of the step back; None ends that."""
        self.postponed = until
        if until is not None:
            self._kept = [*self._kept[-(MOST_KEPT - 1) :], until.told(self.zone)]

    def hold(self, failed: Failed) -> None:
        """Stops at the step: nobody decides here."""
        self.held, self.until = failed, None

    async def decided(self) -> Outcome | None:
        """A held step stays held."""
        return None if self.held is None else ContinueAsNew()

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
        """Says how the step went."""
        self.records.append(
            Record(
                step=self.step,
                outcome=outcome,
                at=self.now().astimezone(self.zone),
                reason=reason,
                status=status,
                attempts=attempts,
                note="; ".join(filter(None, (*self._kept, note))) or None,
                way=way,
            )
        )
