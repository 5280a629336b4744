"""Published versions in memory, compiled from text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scenario.check.check import check
from scenario.model.document import document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan


@dataclass(frozen=True)
class Version:
    scenario: str
    version: int
    document: Mapping[str, Any]
    plan: Mapping[str, Any]


def version(number: int, *steps: str) -> Version:
    text = "scenario: welcome\ntrigger: segment\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)
    checked = check(text, file="a.yaml").scenario
    assert checked is not None
    return Version("welcome", number, document(checked), dump_plan(compile_plan(checked)))


@dataclass
class Versions:
    known: list[Version]
    opened: list[int] = field(default_factory=list[int])
    asked: int = 0

    async def newest(self, scenario: str) -> int | None:
        self.asked += 1
        return max((one.version for one in self.known if one.scenario == scenario), default=None)

    async def version(self, scenario: str, version: int) -> Version | None:
        self.opened.append(version)
        found = [one for one in self.known if (one.scenario, one.version) == (scenario, version)]
        return found[-1] if found else None
