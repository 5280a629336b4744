"""Scenarios of tests, written as short as they can be."""

from __future__ import annotations

from collections.abc import Callable

from scenario.check.check import check
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan


def scenario_text(*steps: str, name: str = "s", trigger: str = "order", more: str = "") -> str:
    """Return a scenario file of these steps, each written without its dash. `more` has further keys."""
    written = "".join(f"  - {step}\n" for step in steps)
    return f"scenario: {name}\ntrigger: {trigger}\n{more}steps:\n{written}"


def scenario_of(text: str, read: Callable[[str], str] | None = None) -> Scenario:
    checked = check(text, read=read)
    assert checked.scenario is not None, "\n".join(map(str, checked.findings))
    return checked.scenario


def plan_of(*steps: str, more: str = "") -> Plan:
    return compile_plan(scenario_of(scenario_text(*steps, more=more)))


def findings_of(text: str) -> list[str]:
    """Return the findings about a file, as they are printed behind its name."""
    return [str(finding).removeprefix("scenario.yaml:") for finding in check(text).findings]
