"""The step that ends the journey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.steps.base import BaseStep, Compiler, Row
from scenario.steps.host import Host, Leave, Outcome


@dataclass(frozen=True, kw_only=True)
class ExitRow(Row):
    """The end of a journey."""

    reason: str

    @property
    @override
    def detail(self) -> str:
        return self.reason

    async def perform(self, host: Host) -> Outcome:
        host.record("exited", self.reason)
        return Leave(self.reason)


class Exit(BaseStep):
    """Ends the journey here."""

    row = ExitRow
    synonyms: ClassVar[tuple[str, ...]] = ("end", "stop", "leave", "goal")

    exit: str = Field(min_length=1, max_length=200, description="The reason in the journey's result.")

    @classmethod
    @override
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        return ()

    @override
    def compile(self, compiler: Compiler) -> Row:
        return ExitRow(kind="exit", reason=self.exit)
