"""The step `repeat`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field, Tag
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import Condition, EventName, Interval, Model, read_span, written_as
from scenario.source.findings import clip
from scenario.steps.base import Awaited, BaseStep, Compiler, Row, TemplateSource
from scenario.steps.host import ContinueAsNew, Failed, Host, Inputs, Next, Outcome, Rounds, evaluate, satisfies
from scenario.time import format_duration, shift, spell
from scenario.type_guards import Path, mapping_at, mapping_or_empty

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

MOST_ROUNDS: Final = 1000
_ROUND: Final = "round"
_END: Final = "end"


@dataclass(frozen=True, kw_only=True)
class RepeatRow(Row):
    """Steps that are performed in rounds. The last of them leads back here."""

    again = _ROUND
    own_ways = ((_ROUND, "first"), (_END, "next"))
    settings = ("every", "times", "until", "event", "condition")

    every: float
    """Seconds between the beginnings of rounds. Whole days are calendar days."""
    times: int
    until: str | None = None
    """The condition that ends the repetition."""
    event: str | None = None
    """The event that ends it, instead."""
    condition: str | None = None
    first: str | None = None
    next: str | None = None

    @property
    @override
    def labels(self) -> Mapping[str, str]:
        return {_ROUND: "each round", _END: "over"}

    @property
    @override
    def most(self) -> int | None:
        return self.times

    @property
    @override
    def awaited(self) -> Mapping[str, str]:
        return {} if self.event is None else {_END: self.event}

    @property
    @override
    def asked(self) -> str | None:
        return self.until or self.condition

    @override
    def describe(self) -> str:
        times = "once" if self.times == 1 else f"{self.times} times at most"
        until = f", until {clip(self.until or self.event or '')}" if self.until or self.event else ""
        return f"repeat every {format_duration(timedelta(seconds=self.every))}, {times}{until}"

    async def perform(self, host: Host) -> Outcome:
        """Begin the next round when it is due. Check before and after the wait whether the repetition is over."""
        if outcome := await host.decided():
            return outcome
        memory = host.memory
        rounds = memory.rounds.setdefault(host.step, Rounds(mark=host.inputs.counted))
        checked = rounds.mark
        due = host.now() if not rounds.number else None
        while True:
            row = self.on(host)
            if row.event is not None:
                memory.awaiting = row.event
                seen = host.inputs
                for event in seen.events:
                    if event.number > checked and event.name == row.event:
                        checked = event.number
                        if await satisfies(host, event, row.condition):
                            memory.event = event.data()
                            return self._over(host, rounds, "event")
                if host.inputs.counted > seen.counted:  # while the condition was evaluated
                    continue
            if rounds.number >= row.times:
                return self._over(host, rounds, "ended")
            if row.until is not None:
                answer = await evaluate(host, row.until, "condition")
                if answer.error:
                    host.hold(Failed(reason=f"the condition cannot be evaluated: {answer.error}"))
                    if outcome := await host.decided():
                        return outcome
                    due, memory.until = due and host.now(), None  # not when it was due: the next would follow directly
                    continue
                if answer.value:
                    return self._over(host, rounds, "until")
            if due is None and memory.until is None:
                began = datetime.fromisoformat(rounds.began)
                memory.until = shift(began, timedelta(seconds=row.every), host.zone).astimezone(UTC)
                due = host.now() if memory.until <= host.now() else None
            if due is not None:
                number = rounds.number + 1
                memory.rounds[host.step] = Rounds(
                    number=number, began=due.astimezone(UTC).isoformat(), mark=rounds.mark
                )
                host.record(_ROUND, f"round {number} of {row.times}", note=self.note(host))
                return Next(self.first, _ROUND)
            before = _relevant(host.inputs, row)
            end = memory.until or host.now()
            what = f"{host.step}: round {rounds.number + 1} of {row.times}, {spell(end, host.zone)}"
            if await host.wait(end, what, lambda row=row, before=before: _relevant(host.inputs, row) != before):
                if host.inputs.changes != before[0]:
                    memory.until = None  # the contact changed: another zone may have another calendar
                if host.must_continue:
                    return ContinueAsNew()
            else:
                due = end  # not the current time: a late worker does not delay later rounds

    def _over(self, host: Host, rounds: Rounds, outcome: str) -> Next:
        del host.memory.rounds[host.step]
        number = f"{rounds.number} {'round' if rounds.number == 1 else 'rounds'}"
        host.record(outcome, f"after {number}", note=self.note(host))
        return Next(self.next, _END)


def _relevant(inputs: Inputs, row: RepeatRow) -> tuple[int, int]:
    """Return the counters that can end the wait for a round."""
    return inputs.changes, 0 if row.event is None else inputs.counted


class Ending(Model):
    """An event that ends a repetition."""

    event: EventName
    condition: Condition | None = Field(default=None, alias="if", description="Condition for `event`.")


class Schedule(Model):
    """How often steps are repeated."""

    every: Interval = Field(description="Time from the start of a round to the start of the next.")
    times: int = Field(
        strict=True, ge=1, le=MOST_ROUNDS, description="Maximum number of rounds, 1 to 1,000; nested at most 10,000."
    )
    until: (
        Annotated[
            Annotated[Condition, Tag("<condition>")] | Annotated[Ending, Tag("<ending>")],
            written_as("<ending>", Ending, other="<condition>"),
        ]
        | None
    ) = Field(default=None, description="Condition or event that ends it: {event: email.clicked, if: …}.")


class Repeat(BaseStep):
    """Performs steps in rounds, until a condition holds or an event comes, so many times at most."""

    row = RepeatRow
    forms: ClassVar[Mapping[str, type[Model]]] = {"repeat": Schedule, "<ending>": Ending}
    synonyms: ClassVar[tuple[str, ...]] = ("loop", "every", "while", "for", "each")
    loop: ClassVar[str | None] = _ROUND

    repeat: Schedule
    steps: list[Step] = Field(min_length=1, description="The steps of a round.")

    @classmethod
    @override
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        yield _ROUND, ("steps",), keys.get("steps")
        yield _END, (_END,), ()

    @classmethod
    @override
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        return (_ROUND,) if mapping_at(keys, "repeat").get("until") is None else (_ROUND, _END)

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        until = mapping_at(keys, "repeat").get("until")
        if isinstance(until, str) and until:
            yield TemplateSource(("repeat", "until"), "condition", until)
        elif isinstance(condition := mapping_or_empty(until).get("if"), str) and condition:
            yield TemplateSource(("repeat", "until", "if"), "condition", condition)

    @classmethod
    @override
    def awaits(cls, keys: Mapping[str, Any]) -> Iterator[Awaited]:
        if ending := mapping_at(mapping_at(keys, "repeat"), "until"):
            place = ("repeat", "until", "event")
            yield Awaited(place, _END, ending.get("event"), ending.get("if"), is_new=True, is_certain=False)

    @classmethod
    @override
    def rounds(cls, keys: Mapping[str, Any]) -> int:
        times = mapping_at(keys, "repeat").get("times")
        return times if isinstance(times, int) else 1

    @classmethod
    @override
    def every(cls, keys: Mapping[str, Any]) -> timedelta | None:
        try:
            return read_span(mapping_at(keys, "repeat").get("every"))
        except ValueError:
            return None

    @classmethod
    @override
    def implied(cls, keys: Mapping[str, Any]) -> Mapping[str, tuple[Any, bool]]:
        return {_END: (mapping_at(keys, "repeat").get("until"), True)}

    @override
    def compile(self, compiler: Compiler) -> Row:
        until = self.repeat.until
        ending = until if isinstance(until, Ending) else None
        return RepeatRow(
            kind="repeat",
            every=self.repeat.every.total_seconds(),
            times=self.repeat.times,
            until=until if isinstance(until, str) else None,
            event=ending and ending.event,
            condition=ending and ending.condition,
            first=compiler.again(self.steps),
            next=compiler.following,
        )
