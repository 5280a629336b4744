"""The step `switch`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import Expression
from scenario.source.findings import Flaw, clip
from scenario.steps.base import BaseStep, Compiler, Row, TemplateSource
from scenario.steps.host import Failed, Host, Next, Outcome, evaluate
from scenario.type_guards import Path, mapping_at

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

_ELSE: Final = "else"
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?")
_COMPARED: Final = re.compile(r"(?:[=!<>]=|[<>])\s*[\d'\"]")
_ODD_NUMBER: Final = re.compile(r"\+[0-9.]+|0x[0-9a-fA-F]+|0o[0-7]+|-?\.[0-9]+|[0-9]+\.|[-+]?[0-9.]+[eE][-+]?[0-9]+")
"""Numbers as YAML writes them and JSON, or people, do not."""
_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOTHING: Final = ("", "null", "Null", "NULL", "~")
_PATH: Final = re.compile(r"\w+(\.\w+)*")


_OPENED: Final = "{{ "


def output_of(expression: str) -> str:
    """Return an expression as the template that outputs it."""
    return f"{_OPENED}{expression} }}}}"


def case_met(value: object, cases: Sequence[str]) -> str | None:
    """Return the case that a value matches, or None.

    A case matches its own text. A case written as a number or as true or false matches that value too, and 1 is 1.0.
    Null, lists and objects match no case.
    """
    match value:
        case str():
            return value if value in cases else None
        case bool():
            return next((case for case in cases if _FLAGS.get(case) is value), None)
        case int() | float() | Decimal():
            number = Decimal(str(value))
            return next((case for case in cases if _NUMBER.fullmatch(case) and Decimal(case) == number), None)
        case _:
            return None


def values_of(case: str) -> list[str | int | float | bool]:
    if case in _FLAGS:
        return [case, _FLAGS[case]]
    if _NUMBER.fullmatch(case):
        return [case, float(case) if "." in case else int(case)]
    return [case]


@dataclass(frozen=True, kw_only=True)
class SwitchRow(Row):
    """A fork with a way for each of some values, and one for all others."""

    settings = ("value",)
    question = "value"

    value: str
    cases: dict[str, str | None]
    otherwise: str | None = None

    @property
    @override
    def ways(self) -> Mapping[str, str | None]:
        return {**self.cases, _ELSE: self.otherwise}

    @override
    def describe(self) -> str:
        return f"switch: {clip(self.value)}"

    async def perform(self, host: Host) -> Outcome:
        """Choose the way. A value that cannot be evaluated holds the journey."""
        while True:
            if outcome := await host.decided():
                return outcome
            answer = await evaluate(host, output_of(self.on(host).value), "value", cases=tuple(self.cases))
            if not answer.error:
                case: str | None = answer.value
                host.record("case" if case is not None else _ELSE, note=self.note(host), way=case)
                way = _ELSE if case is None else case
                return Next(self.ways[way], way)
            host.hold(Failed(reason=f"the value cannot be worked out: {answer.error}"))


Case = Annotated[str, Field(max_length=100)]
"""A value as written: text, a number, true or false. The reader of the file returns keys as text."""


class Switch(BaseStep):
    """Goes the way of a value: one of several, or another one for all others."""

    row = SwitchRow
    synonyms: ClassVar[tuple[str, ...]] = ("case", "match", "select", "choose")

    switch: Expression
    cases: dict[Case, list[Step]] = Field(min_length=1, description="Steps by value: fr, 10, true.")
    otherwise: list[Step] = Field(default_factory=list["Step"], alias="else", description="Steps if no case matches.")

    @classmethod
    @override
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        for case, steps in _cases(keys).items():
            if case != _ELSE:
                yield case, ("cases", case), steps
        yield _ELSE, (_ELSE,), keys.get(_ELSE)

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        value = keys.get("switch")
        if isinstance(value, str) and value.strip() and not _has_braces(value):
            met = [
                (("cases", case), [f"{value} == {_literal(one)}" for one in values_of(case)])
                for case in _cases(keys)
                if case not in (_ELSE, *_NOTHING) and not _ODD_NUMBER.fullmatch(case) and not {"'", '"'} <= set(case)
            ]
            yield TemplateSource(("switch",), "value", output_of(value), len(_OPENED), met)

    @classmethod
    @override
    def implied(cls, keys: Mapping[str, Any]) -> Mapping[str, tuple[Any, bool]]:
        value = keys.get("switch")
        is_path = isinstance(value, str) and _PATH.fullmatch(value)
        return dict.fromkeys(_cases(keys), (f"{value} != blank", True)) if is_path else {}

    @classmethod
    @override
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        value = keys.get("switch")
        if isinstance(value, str) and _has_braces(value):
            yield Flaw(("switch",), "syntax", "a value is written without braces: contact.language")
        same: dict[object, str] = {}
        for case in _cases(keys):
            place: Path = ("cases", case)
            if case == _ELSE:
                yield Flaw(place, "case", "'else' stands beside 'cases', not among them", key=True)
            elif case in _NOTHING:
                message = "no value meets this case: where there is none, the way is 'else'"
                yield Flaw(place, "case", message, key=True)
            elif case == "default":
                message = "'default' is a case like any other: steps for all other values stand in 'else'"
                yield Flaw(place, "case", message, key=True, severity="warning")
            elif _COMPARED.match(case):
                message = f"a case is one value, and '{clip(case)}' a comparison: write an 'if'"
                yield Flaw(place, "case", message, key=True)
            elif _ODD_NUMBER.fullmatch(case):
                message = f"'{clip(case)}' is taken for text: write a number with its digits alone, such as 10 or -1.5"
                yield Flaw(place, "case", message, key=True)
            meant = Decimal(case) if _NUMBER.fullmatch(case) else _FLAGS.get(case, case)
            first = same.setdefault((isinstance(meant, bool), meant), case)
            if first != case:
                yield Flaw(place, "case", f"'{clip(case)}' is the same value as '{clip(first)}': remove one", key=True)

    @property
    @override
    def compared(self) -> tuple[str, Sequence[Any]] | None:
        return output_of(self.switch), [value for case in self.cases for value in values_of(case)]

    @override
    def compile(self, compiler: Compiler) -> Row:
        return SwitchRow(
            kind="switch",
            value=self.switch,
            cases={case: compiler.begin(steps) for case, steps in self.cases.items()},
            otherwise=compiler.begin(self.otherwise),
        )


def _cases(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping_at(keys, "cases")


def _literal(value: str | int | float | bool) -> str:
    """Return a value as conditions write it. A text contains at most one kind of quotes."""
    if isinstance(value, str):
        quote = '"' if "'" in value else "'"
        return f"{quote}{value}{quote}"
    return str(value).lower()


def _has_braces(value: str) -> bool:
    return any(brace in value for brace in ("{{", "}}", "{%", "%}"))
