"""The step that waits for an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.scalars import Condition, Duration, EventName
from scenario.steps.base import Awaited, BaseStep, Compiler, Row
from scenario.steps.host import ContinueAsNew, Host, Next, Outcome
from scenario.time.duration import format_duration
from scenario.time.timing import later, spell

if TYPE_CHECKING:
    from scenario.liquid import Kind
    from scenario.steps.base import BaseStep as Step


@dataclass(frozen=True, kw_only=True)
class WaitForRow(Row):
    """A wait for an event, at most `seconds` long (None: forever)."""

    event: str
    condition: str | None = None
    seconds: float | None = None
    since: Literal["entry", "now"] = "entry"
    then: str | None = None
    otherwise: str | None = None

    @property
    @override
    def ways(self) -> Mapping[str, str | None]:
        return {"then": self.then, "else": self.otherwise}

    @property
    @override
    def awaited(self) -> Mapping[str, str]:
        return {"then": self.event}

    @property
    @override
    def asked(self) -> str | None:
        return self.condition

    @override
    def describe(self) -> str:
        most = "" if self.seconds is None else f", {format_duration(timedelta(seconds=self.seconds))} at most"
        return f"wait for {self.event}{most}"

    async def perform(self, host: Host) -> Outcome:
        """Waits; an event that came earlier in the journey counts too, unless the step says ``since: now``."""
        if self.seconds is not None and host.until is None:
            host.until = later(host.began, self.seconds).astimezone(UTC)
        until = host.until
        host.await_event(self.event)
        checked = 0
        while True:
            for event in host.events(self.event, since_now=self.since == "now"):
                if event.number <= checked:
                    continue
                checked = event.number
                if await host.satisfies(event, self.condition):
                    host.take(event)
                    host.record("event")
                    return Next(self.then, "then")
            if until is not None and until <= host.now():
                host.record("timeout")
                return Next(self.otherwise, "else")
            what = f"{host.step}: wait for {self.event}" + (f" until {spell(until, host.zone)}" if until else "")
            seen = host.counted
            await host.wait(until, what, lambda seen=seen: host.counted > seen)
            if host.must_continue:
                return ContinueAsNew()


class WaitFor(BaseStep):
    """Waits for an event of this contact; without 'for', until it comes."""

    row = WaitForRow
    branches: ClassVar[tuple[str, ...]] = ("then", "else")
    templates: ClassVar[Mapping[str, Kind]] = {"if": "condition"}
    synonyms: ClassVar[tuple[str, ...]] = ("on", "event", "wait_until")
    together: ClassVar[Mapping[str, Any]] = {"dependentRequired": {"else": ["for"]}}

    wait_for: EventName
    condition: Condition | None = Field(default=None, alias="if", description="Which of these events; it is `event`.")
    timeout: Duration | None = Field(default=None, alias="for", description="How long at most; without it, forever.")
    since: Literal["entry", "now"] = Field(default="entry", description="now: events that came earlier do not count.")
    then: list[Step] = Field(default_factory=list["Step"], description="Steps to take when the event has come.")
    otherwise: list[Step] = Field(
        default_factory=list["Step"], alias="else", description="Steps to take when the time is over."
    )

    @classmethod
    @override
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        if "else" in given and "for" not in given:
            return "else", "'else' is never reached without 'for'"
        return None

    @classmethod
    @override
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Without an end to the wait nobody goes the other way."""
        return cls.branches if keys.get("for") is not None else ("then",)

    @classmethod
    @override
    def awaits(cls, keys: Mapping[str, Any]) -> Iterator[Awaited]:
        is_new, is_certain = keys.get("since") == "now", keys.get("for") is None
        yield Awaited(("wait_for",), "then", keys.get("wait_for"), keys.get("if"), is_new, is_certain)

    @override
    def compile(self, compiler: Compiler) -> Row:
        return WaitForRow(
            kind="wait_for",
            event=self.wait_for,
            condition=self.condition,
            seconds=None if self.timeout is None else self.timeout.total_seconds(),
            since=self.since,
            then=compiler.begin(self.then),
            otherwise=compiler.begin(self.otherwise),
        )
