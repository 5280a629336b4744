"""The step `if`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.liquid.shapes import Kind
from scenario.model.parts import Condition
from scenario.source.findings import clip
from scenario.steps.base import BaseStep, Compiler, Row
from scenario.steps.host import Failed, Host, Next, Outcome, evaluate

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step


@dataclass(frozen=True, kw_only=True)
class IfRow(Row):
    """A fork on a condition."""

    settings = ("condition",)
    question = "condition"
    own_ways = (("then", "then"), ("else", "otherwise"))

    condition: str
    then: str | None = None
    otherwise: str | None = None

    @override
    def describe(self) -> str:
        return f"if {clip(self.condition, 60)}"

    async def perform(self, host: Host) -> Outcome:
        """Choose the way. A condition that cannot be evaluated holds the journey."""
        while True:
            if outcome := await host.decided():
                return outcome
            answer = await evaluate(host, self.on(host).condition, "condition")
            if not answer.error:
                way = "then" if answer.value else "else"
                host.record(way, note=self.note(host))
                return Next(self.ways[way], way)
            host.hold(Failed(reason=f"the condition cannot be evaluated: {answer.error}"))


class If(BaseStep):
    """Goes one way or the other."""

    row = IfRow
    branches: ClassVar[tuple[str, ...]] = ("then", "else")
    templates: ClassVar[Mapping[str, Kind]] = {"if": "condition"}
    synonyms: ClassVar[tuple[str, ...]] = ("when", "condition", "unless")
    together: ClassVar[Mapping[str, Any]] = {"anyOf": [{"required": ["then"]}, {"required": ["else"]}]}

    condition: Condition = Field(alias="if")
    then: list[Step] = Field(default_factory=list["Step"], description="Steps if the condition is true.")
    otherwise: list[Step] = Field(default_factory=list["Step"], alias="else", description="Steps if it is false.")

    @classmethod
    @override
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        if given.isdisjoint(("then", "else")):
            return "if", "an 'if' needs 'then', 'else' or both"
        return None

    @classmethod
    @override
    def implied(cls, keys: Mapping[str, Any]) -> Mapping[str, tuple[Any, bool]]:
        return {"then": (keys.get("if"), True), "else": (keys.get("if"), False)}

    @override
    def compile(self, compiler: Compiler) -> Row:
        return IfRow(
            kind="if",
            condition=self.condition,
            then=compiler.begin(self.then),
            otherwise=compiler.begin(self.otherwise),
        )
