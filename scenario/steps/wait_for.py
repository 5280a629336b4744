"""The step that waits for an event, or for the first of several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, Tag
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import Condition, Duration, EventName, Model, written_as
from scenario.source.findings import Flaw, clip
from scenario.steps.base import Awaited, BaseStep, Compiler, Row, TemplateSource
from scenario.steps.host import ContinueAsNew, Host, Next, Outcome, satisfies
from scenario.time import format_duration, later, spell
from scenario.type_guards import Path, is_mapping, mapping_at, mapping_or_empty

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

_THEN: Final = "then"
_ELSE: Final = "else"
_TIME: Final = re.compile(r"(?:[0-9]+[smhdw])+")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An event among several that a step waits for: its condition, and the next step."""

    condition: str | None = None
    then: str | None = None


@dataclass(frozen=True, kw_only=True)
class WaitForRow(Row):
    """A wait for an event, or for the first of `events` by name, at most `seconds` long (None: forever)."""

    own_role = "waits"

    event: str = ""
    condition: str | None = None
    seconds: float | None = None
    since: Literal["entry", "now"] = "entry"
    then: str | None = None
    otherwise: str | None = None
    events: dict[str, Choice] = field(default_factory=dict[str, Choice])

    @property
    @override
    def ways(self) -> Mapping[str, str | None]:
        opened = {name: choice.then for name, choice in self.events.items()} or {_THEN: self.then}
        return {**opened, _ELSE: self.otherwise}

    @property
    @override
    def labels(self) -> Mapping[str, str]:
        opened = {name: name for name in self.events} or {_THEN: "it comes"}
        if self.seconds is not None:
            return {**opened, _ELSE: f"after {format_duration(timedelta(seconds=self.seconds))}"}
        return opened if len(opened) > 1 else dict.fromkeys(opened, "")

    @property
    @override
    def awaited(self) -> Mapping[str, str]:
        return {name: name for name in self.events} or {_THEN: self.event}

    @property
    @override
    def asked(self) -> str | None:
        conditions = [choice.condition for choice in self._choices.values()]
        return " or ".join(condition for condition in conditions if condition) or None

    @override
    def describe(self) -> str:
        most = "" if self.seconds is None else f", {format_duration(timedelta(seconds=self.seconds))} at most"
        return f"wait for {self._named}{most}"

    @property
    def _choices(self) -> Mapping[str, Choice]:
        return self.events or {self.event: Choice(condition=self.condition, then=self.then)}

    @property
    def _named(self) -> str:
        return " or ".join(self._choices)

    async def perform(self, host: Host) -> Outcome:
        """Wait. Earlier events of the journey count too, unless the step states ``since: now``."""
        memory = host.memory
        if self.seconds is not None and memory.until is None:
            memory.until = later(host.began, self.seconds).astimezone(UTC)
        until = memory.until
        memory.awaiting = self._named
        checked = memory.mark if self.since == "now" else 0
        while True:
            seen = host.inputs
            for event in seen.events:
                if event.number <= checked or event.name not in self._choices:
                    continue
                checked = event.number
                choice = self._choices[event.name]
                if await satisfies(host, event, choice.condition):
                    memory.event = event.data()
                    host.record("event", way=event.name if self.events else None)
                    return Next(choice.then, event.name if self.events else _THEN)
            if host.inputs.counted > seen.counted:  # while a condition was evaluated
                continue
            if until is not None and until <= host.now():
                host.record("timeout")
                return Next(self.otherwise, _ELSE)
            what = f"{host.step}: wait for {self._named}" + (f" until {spell(until, host.zone)}" if until else "")
            await host.wait(until, what, lambda seen=seen: host.inputs.counted > seen.counted)
            if host.must_continue:
                return ContinueAsNew()


_CONDITION: Final[Any] = Field(
    default=None,
    alias="if",
    description="Condition for `event`; an event for which it cannot be evaluated does not count.",
)


class OneOf(Model):
    """What one of several events leads to."""

    condition: Condition | None = _CONDITION
    then: list[Step] = Field(default_factory=list["Step"], description="Steps if it comes first.")


def _no_form(value: Any) -> Any:
    """Refuse one event written in the form of exit rules: ``{event: order.delivered, for: 7d}``."""
    name = value.get("event") if is_mapping(value) else None
    if isinstance(name, str):
        message = f"write 'wait_for: {clip(name)}', and 'if' and 'for' below it, as keys of the step"
        raise ValueError(message)  # noqa: TRY004 pydantic's way
    return value


class WaitFor(BaseStep):
    """Waits for an event of this contact, or for the first of several; without 'for', until it comes."""

    row = WaitForRow
    forms: ClassVar[Mapping[str, type[Model]]] = {"<several>": OneOf}
    synonyms: ClassVar[tuple[str, ...]] = ("on", "event", "wait_until")
    waits: ClassVar[bool] = True
    together: ClassVar[Mapping[str, Any]] = {
        "dependentRequired": {"else": ["for"]},
        "if": {"properties": {"wait_for": {"type": "object"}}},
        "then": {"not": {"anyOf": [{"required": ["if"]}, {"required": ["then"]}]}},
    }

    wait_for: Annotated[
        Annotated[EventName, Tag("<name>")]
        | Annotated[dict[EventName, OneOf], Field(min_length=1), BeforeValidator(_no_form), Tag("<several>")],
        written_as("<several>", list, other="<name>"),
    ] = Field(description="The event's name; of several, each with its own `if` and `then`.")
    condition: Condition | None = _CONDITION
    timeout: Duration | None = Field(default=None, alias="for", description="Maximum time; by default unlimited.")
    since: Literal["entry", "now"] = Field(
        default="entry", description="now: ignore events that came earlier in the journey."
    )
    then: list[Step] = Field(default_factory=list["Step"], description="Steps after the event.")
    otherwise: list[Step] = Field(default_factory=list["Step"], alias="else", description="Steps after the time.")

    @classmethod
    @override
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        if "else" in given and "for" not in given:
            return "else", "'else' is never reached without 'for'"
        return None

    @classmethod
    @override
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        several = _several(keys)
        for name, choice in several.items():
            if name != _ELSE:
                yield name, ("wait_for", name, _THEN), choice.get(_THEN)
        if not several:
            yield _THEN, (_THEN,), keys.get(_THEN)
        yield _ELSE, (_ELSE,), keys.get(_ELSE)

    @classmethod
    @override
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        ways = tuple(way for way, _, _ in cls.lists(keys))
        return ways if keys.get("for") is not None else ways[:-1]

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        for path, choice in (((), keys), *((("wait_for", name), choice) for name, choice in _several(keys).items())):
            if isinstance(condition := choice.get("if"), str) and condition:
                yield TemplateSource((*path, "if"), "condition", condition)

    @classmethod
    @override
    def awaits(cls, keys: Mapping[str, Any]) -> Iterator[Awaited]:
        is_new, is_certain = keys.get("since") == "now", keys.get("for") is None
        several = _several(keys)
        for name, choice in several.items():
            yield Awaited(("wait_for", name), name, name, choice.get("if"), is_new, is_certain and len(several) == 1)
        if not several:
            yield Awaited(("wait_for",), _THEN, keys.get("wait_for"), keys.get("if"), is_new, is_certain)

    @classmethod
    @override
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        several, name = _several(keys), keys.get("wait_for")
        if isinstance(name, str) and _TIME.fullmatch(name):
            message = f"this waits for an event called '{name}': a time is 'for: {name}', or the step 'wait: {name}'"
            yield Flaw(("wait_for",), "value", message, severity="warning")
        for key in ("if", _THEN) if several else ():
            if keys.get(key):
                message = f"of several events, each has its own '{key}': write it under the event"
                yield Flaw((key,), "misplaced", message, key=True)
        if _ELSE in several:
            yield Flaw(("wait_for", _ELSE), "misplaced", "'else' stands beside 'wait_for', not in it", key=True)

    @override
    def compile(self, compiler: Compiler) -> Row:
        event, several = (self.wait_for, {}) if isinstance(self.wait_for, str) else ("", self.wait_for)
        return WaitForRow(
            kind="wait_for",
            event=event,
            condition=self.condition,
            seconds=None if self.timeout is None else self.timeout.total_seconds(),
            since=self.since,
            then=compiler.begin(self.then),
            events={
                name: Choice(condition=choice.condition, then=compiler.begin(choice.then))
                for name, choice in several.items()
            },
            otherwise=compiler.begin(self.otherwise),
        )


def _several(keys: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the keys of each of several events, by name."""
    return {name: mapping_or_empty(choice) for name, choice in mapping_at(keys, "wait_for").items()}
