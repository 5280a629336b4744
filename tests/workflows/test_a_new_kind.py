"""A kind of step that is known by the registry alone: checked, compiled, previewed, published and run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from authoring.preview.contact import PreviewInputs, preview, report
from authoring.preview.draft import draft
from authoring.preview.rendering import TemplateLocator
from authoring.publishing import ScenarioFile
from scenario.check.check import check
from scenario.model.json_schema import schema
from scenario.steps import registry
from scenario.steps.base import BaseStep, Compiler, Row
from scenario.steps.base import Path as Place
from scenario.steps.host import Host, Next, Outcome, evaluate
from tests.stage import Stage

if TYPE_CHECKING:
    from scenario.liquid import Kind
    from scenario.steps.base import BaseStep as Step

TOSSES = """\
scenario: tosses
trigger: order
timezone: Europe/Paris
steps:
  - toss: "{{ order.external_id }}"
    after: 2h
    sides:
      heads:
        - sms: won
          text: "Heads, {{ contact.firstname }}"
      tails: []
      edge:
        - exit: it stands
  - sms: thanks
    text: "{{ now }}"
"""
ORDER: dict[str, Any] = {"type": "order", "order": {"external_id": "heads"}}


@dataclass(frozen=True, kw_only=True)
class TossRow(Row):
    """A wait, then a way that a template names; the last one where it names none."""

    template: str
    seconds: float
    sides: dict[str, str | None]

    @property
    def ways(self) -> Mapping[str, str | None]:
        return self.sides

    @property
    def asked(self) -> str | None:
        return f"'x' == '{self.template}'"

    def describe(self) -> str:
        return f"toss of {len(self.sides)} sides"

    async def perform(self, host: Host) -> Outcome:
        memory = host.memory
        memory.until = memory.until or host.began + timedelta(seconds=self.seconds)
        await host.wait(memory.until, f"{host.step}: in the air", lambda: False)
        for side in self.sides:
            answer = await evaluate(host, f"{self.template.strip('{} ')} == '{side}'", "condition")
            if answer.value:
                break
        else:
            side = list(self.sides)[-1]
        host.record(side)
        return Next(self.sides[side], side)


class Toss(BaseStep):
    """Tosses a coin."""

    row = TossRow
    synonyms: ClassVar[tuple[str, ...]] = ("flip",)
    templates: ClassVar[Mapping[str, Kind]] = {"toss": "text"}

    toss: str
    after: str
    sides: dict[str, list[Step]] = Field(description="Steps by side.")

    @classmethod
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Place, Any]]:
        sides = keys.get("sides")
        for side, steps in cast("Mapping[str, Any]", sides).items() if isinstance(sides, Mapping) else ():
            yield side, ("sides", side), steps

    def compile(self, compiler: Compiler) -> Row:
        sides = {side: compiler.begin(steps) for side, steps in self.sides.items()}
        return TossRow(kind="toss", template=self.toss, seconds=7200.0, sides=sides)


@pytest.fixture(autouse=True)
def toss() -> Iterator[None]:
    registry.add("toss", Toss)
    yield
    registry.remove("toss")


def messages(text: str) -> list[tuple[int, int, str]]:
    return [(found.line, found.column, found.message) for found in check(text).findings]


def test_it_is_in_the_schema_and_mistakes_in_its_branches_are_found() -> None:
    assert {"$ref": "#/$defs/Toss"} in schema()["$defs"]["Step"]["oneOf"]
    assert messages(TOSSES) == []
    broken = TOSSES.replace('text: "Heads', 'txt: "Heads').replace(
        "- exit: it stands", "- exit: ''\n        - wiat: 2d"
    )
    assert [message for *_, message in messages(broken)] == [
        "unknown key 'txt': did you mean 'text'?",
        "'exit' is empty: give it a value, or remove it",
        "unknown step 'wiat': did you mean 'wait'?",
        "this step is never reached: it comes after an exit",
    ]
    assert messages(TOSSES.replace("contact.firstname", "contact.fristname"))[0][:2] == (10, 36)
    assert messages(TOSSES.replace("- toss:", "- flip:"))[0][2] == "unknown step 'flip': did you mean 'toss'?"


def test_it_is_previewed(tmp_path: Path) -> None:
    file = tmp_path / "tosses.yaml"
    file.write_text(TOSSES, "utf-8")
    drafted, findings = draft(file)
    assert drafted is not None, findings
    entry = {"scenario": "tosses", "contact": {"id": 7, "cellphone": "+33612345678"}, "trigger": ORDER}
    given = PreviewInputs(at=datetime.fromisoformat("2026-03-03T09:00:00+01:00"))
    steps = report(preview(drafted, entry, given), TemplateLocator(ScenarioFile.at(file)))["steps"]
    assert [(step["id"], step["what"], step["outcome"], step["taken"], step["branch"]) for step in steps] == [
        ("toss-1", "toss of 3 sides", "heads", True, []),
        ("won", "sms", "sent", True, [{"of": "toss-1", "way": "heads"}]),
        ("exit-1.edge.1", "exit", "exited", False, [{"of": "toss-1", "way": "edge"}]),
        ("thanks", "sms", "sent", True, []),
    ]
    assert steps[-1]["message"]["text"] == "2026-03-03T11:00:00+01:00"


async def test_it_is_published_and_run(stage: Stage) -> None:
    await stage.publish(TOSSES)
    result = await stage.run("tosses", ORDER)
    assert [(step["id"], step["kind"], step["outcome"]) for step in result["steps"]] == [
        ("toss-1", "toss", "heads"),
        ("won", "sms", "delivered"),
        ("thanks", "sms", "delivered"),
    ]
    [won] = stage.channels.of("won")
    assert won.delivery.data["contact"]["firstname"] is None
