"""The step that waits for a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Tag, model_validator
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.errors import EntryError
from scenario.model.parts import Duration, Model, Offset, OnFailure, Weekday, read_clock, read_span, written_as
from scenario.source.findings import clip
from scenario.steps.base import BaseStep, Compiler, Row, TemplateSource
from scenario.steps.host import ContinueAsNew, Failed, Host, Leave, Next, Outcome, evaluate
from scenario.time import LAST, format_duration, later, next_local, spell
from scenario.type_guards import Path, mapping_at

_LITERAL: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[-+]\d\d:\d\d)?)?", re.ASCII)
"""A moment as an author writes it. Without an offset it is local time of the contact."""
_DATE_LIKE: Final = re.compile(r"\d{4}-|\d+[-/.]\d+[-/.]\d{4}")
_WHEN: Final = re.compile(
    r"""(?:\d{4}-\d\d-\d\d
    |\{\{-?\s*(?:(?:\w+\.)*(?!now\b|(?:\w*_)?(?:at|time)\b)\w+|[\w.]+\s*\|\s*date:\s*(['"])%Y-%m-%d\1)\s*-?\}\})?
    [T\ ]?(?:(?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d)?)?""",
    re.ASCII | re.VERBOSE,
)
"""A text that states a time of day: a date, or a template not named like a moment, and a time."""


Past = Literal["continue", "skip", "exit"]
_PAST: Final = "past"
"""The outcome of a wait for a past date, and the key of the way that skips the following steps."""


def _moment(value: str) -> str:
    if _is_template(value) or _is_literal(value):
        return value
    if _DATE_LIKE.match(value):
        raise ValueError(f"'{clip(value)}' is not a date: write 2026-12-24, or 2026-12-24T09:00 with a time")
    return read_clock(value)


def _is_literal(text: str) -> bool:
    try:
        return bool(_LITERAL.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


class Until(Model):
    """A moment to wait for: a local time of day, or a date, written here or carried by the contact or the trigger."""

    until: Annotated[str, AfterValidator(_moment)] = Field(
        description='The contact\'s local time, "10:00", or a date, "{{ reward.expiration_date }}", 2026-12-24T09:00.'
    )
    on: Annotated[list[Weekday], Field(min_length=1)] | None = Field(
        default=None, description="Days of the week on which that time counts; without it, every day."
    )
    offset: Offset = Field(default=timedelta(0), description="Time before (-3d) or after (3d) the date.")
    past: Past = Field(
        default="continue",
        exclude_if=lambda past: past == "continue",
        description="Where the date with its offset is past: go on, skip the steps up to the next wait of this list, "
        "or leave.",
    )

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Until:
        if self.is_date and self.on is not None:
            raise ValueError("'on' goes with a time of day, not with a date")
        if not self.is_date and self.offset:
            raise ValueError("'offset' goes with a date, not with a time of day")
        if not self.is_date and "past" in self.model_fields_set:
            raise ValueError("'past' goes with a date, not with a time of day, which always comes")
        return self

    @property
    def is_date(self) -> bool:
        """True if `until` is a date, or a template that returns one, instead of a time of day."""
        return _is_template(self.until) or _is_literal(self.until)


@dataclass(frozen=True, kw_only=True)
class WaitRow(Row):
    """A wait: for `seconds`, until the local time `clock` on one of `days`, or until `date` (a template) plus `offset`.

    Attributes:
        offset: Seconds. Whole days are calendar days, which keep the local time of day.
        past: What happens if the date is past.
        resume: The next step if `past` is ``skip``; None is the end.
    """

    own_role = "waits"
    question = "date"
    settings = ("seconds", "clock", "days", "date", "offset", "on_failure")

    next: str | None = None
    seconds: float | None = None
    clock: str | None = None
    days: tuple[Weekday, ...] = ()
    date: str | None = None
    offset: float = 0.0
    on_failure: OnFailure = "hold"
    past: Past = "continue"
    resume: str | None = None

    @property
    @override
    def ways(self) -> Mapping[str, str | None]:
        return {"next": self.next, **({_PAST: self.resume} if self.past == "skip" else {})}

    @property
    @override
    def labels(self) -> Mapping[str, str]:
        return {"next": "in time", _PAST: "is past"} if self.past == "skip" else {"next": ""}

    @property
    @override
    def skipped_to(self) -> str | None:
        return self.next

    @override
    def describe(self) -> str:
        if self.seconds is not None:
            return f"wait {format_duration(timedelta(seconds=self.seconds))}"
        if self.clock is not None:
            return f"wait until {' '.join((*self.days, self.clock))}"
        if self.date is None or _is_template(self.date):
            return "wait until a date"
        return f"wait until {self._shift}{self.date.replace('T', ' ')}"

    @property
    @override
    def detail(self) -> str:
        return f"{self._shift}{self.date}" if self.date is not None and _is_template(self.date) else ""

    @property
    def _shift(self) -> str:
        shifted = format_duration(timedelta(seconds=abs(self.offset)))
        return f"{shifted} {'before' if self.offset < 0 else 'after'} " if self.offset else ""

    async def perform(self, host: Host) -> Outcome:
        """Wait. A change of the contact (its zone, the date) changes the end of the wait."""
        memory = host.memory
        while True:
            if outcome := await host.decided():
                return outcome
            if memory.until is None:
                row = self.on(host)
                try:
                    memory.until = (await row.end(host)).astimezone(UTC)
                except EntryError as error:
                    if row.on_failure == "hold":
                        host.hold(Failed(reason=str(error)))
                        continue
                    host.record("failed", str(error), note=self.note(host))
                    return Next(row.next) if row.on_failure == "continue" else Leave(f"step {host.step} failed")
                if row.date is not None and memory.until < host.now():
                    return row._is_past(host, memory.until)
            if memory.until <= host.now():
                host.record("waited", note=self.note(host))
                return Next(self.next)
            changes = host.inputs.changes
            what = f"{host.step}: wait until {spell(memory.until, host.zone)}"
            if await host.wait(memory.until, what, lambda changes=changes: host.inputs.changes != changes):
                if self.seconds is None and host.inputs.changes != changes:
                    memory.until = None  # the contact changed: work it out again
                if host.must_continue:
                    return ContinueAsNew()
            else:
                # The clock is not compared again. The end may differ in a replay if a newer tz database moved the zone.
                host.record("waited", note=self.note(host))
                return Next(self.next)

    def _is_past(self, host: Host, end: datetime) -> Outcome:
        reason = f"is past: {spell(end, host.zone)}"
        if self.past == "continue":
            host.record("waited", reason, note=self.note(host))
            return Next(self.next)
        host.record(_PAST, reason, note=self.note(host))
        return Next(self.resume, _PAST) if self.past == "skip" else Leave(f"the date of step {host.step} is past")

    async def end(self, host: Host) -> datetime:
        """Return the end of the wait, perhaps in the past. Raise EntryError if the date is missing or is none."""
        if self.seconds is not None:
            return later(host.began, self.seconds)
        if self.clock is not None:
            try:
                return next_local(host.began, self.clock, self.days, host.zone)
            except OverflowError:
                return LAST
        while True:
            changes = host.inputs.changes
            answer = await evaluate(host, self.date or "", "value", offset=self.offset)
            moment = answer.moment
            if host.inputs.changes == changes:  # else the contact may have moved to another zone meanwhile
                return moment


def _no_date(value: object) -> object:
    if isinstance(value, str) and _is_literal(value):
        raise ValueError(f"a date stands behind 'until': write {{until: {value}}}")
    return value


def _minutes(at: int, length: timedelta) -> int:
    return (at + int(length.total_seconds() // 60)) % (24 * 60)


class Wait(BaseStep):
    """Waits for a length of time, until a local time, or until a date."""

    row = WaitRow
    forms: ClassVar[Mapping[str, type[Model]]] = {"<until>": Until}
    synonyms: ClassVar[tuple[str, ...]] = ("delay", "sleep", "pause")
    waits: ClassVar[bool] = True

    wait: Annotated[
        Annotated[Duration, BeforeValidator(_no_date), Tag("<duration>")] | Annotated[Until, Tag("<until>")],
        written_as("<until>", Until, other="<duration>"),
    ]
    on_failure: OnFailure = Field(
        default="hold", description="If the date is missing or unreadable: hold, continue or exit."
    )

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        until = mapping_at(keys, "wait").get("until")
        if isinstance(until, str) and "{" in until:
            yield TemplateSource(("wait", "until"), "value", until)

    @classmethod
    @override
    def moment(cls, keys: Mapping[str, Any]) -> tuple[Path, str] | None:
        wait = mapping_at(keys, "wait")
        until, is_meant = wait.get("until"), not wait.keys().isdisjoint(("offset", "past"))
        return (("wait", "until"), until) if isinstance(until, str) and _is_literal(until) and not is_meant else None

    @classmethod
    @override
    def leaves(cls, keys: Mapping[str, Any], at: int | None) -> int | None:
        wait = keys.get("wait")
        try:
            if not isinstance(wait, Mapping):
                return None if at is None else _minutes(at, read_span(wait))
            until = Until.model_validate(wait, by_alias=True, by_name=False)
        except ValueError:
            return None  # a mistake already
        found = _WHEN.fullmatch(until.until.strip())  # a day alone means its midnight
        return _minutes(int(found["hour"] or 0) * 60 + int(found["minute"] or 0), until.offset) if found else None

    @classmethod
    @override
    def lasts(cls, keys: Mapping[str, Any]) -> timedelta:
        try:
            return read_span(keys.get("wait"))
        except ValueError:  # until a moment, or a mistake
            return timedelta(0)

    @override
    def compile(self, compiler: Compiler) -> Row:
        match self.wait:
            case Until() as until if until.is_date:
                return WaitRow(
                    kind="wait",
                    next=compiler.following,
                    date=until.until,
                    offset=until.offset.total_seconds(),
                    on_failure=self.on_failure,
                    past=until.past,
                    resume=compiler.resume if until.past == "skip" else None,
                )
            case Until() as until:
                return WaitRow(kind="wait", next=compiler.following, clock=until.until, days=tuple(until.on or ()))
            case duration:
                return WaitRow(kind="wait", next=compiler.following, seconds=duration.total_seconds())
