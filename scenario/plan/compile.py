"""Compiles a scenario into the plan that journeys run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from scenario.model.outline import outline
from scenario.model.scenario import Scenario
from scenario.plan.inputs import handed, item_fields
from scenario.plan.plan import Plan, PlannedExit, PlannedGoal
from scenario.steps.base import BaseStep, Compiler, Row
from scenario.words import MARKETING


def named_steps(scenario: Scenario) -> Iterator[tuple[str, BaseStep]]:
    """Yield all steps in the order of the file with their ids: ``id:``, else the name, else one from the position.

    Positions count from 1 and name the branch: ``wait-2``, ``webhook-5.then.1``.
    """
    for written in outline({"steps": scenario.steps}):
        yield str(written.id), written.step


def compile_plan(scenario: Scenario, *, follows: bool = False) -> Plan:
    """Compile a checked scenario; `follows` if its journeys follow newer versions. Raise TemplateError if malformed."""
    ids = {id(step): name for name, step in named_steps(scenario)}
    asked = (scenario.subscription or {}) if scenario.purpose == MARKETING else {}
    consents = {channel: needs.fields for channel, needs in asked.items()}
    table: dict[str, Row] = {}

    def begin(steps: Sequence[BaseStep], after: str | None) -> str | None:
        """Add a list of steps to the table. Return the first step's id, or `after` if the list is empty."""
        for index, step in enumerate(steps):
            following = ids[id(steps[index + 1])] if index + 1 < len(steps) else after
            name = ids[id(step)]
            table[name] = Row(kind="")  # the table keeps the order of the file, branches after their fork
            compiler = Compiler(
                following,
                next((ids[id(later)] for later in steps[index + 1 :] if later.waits), after),
                partial(begin, after=following),
                partial(begin, after=name),
                handed,
                item_fields,
                f"{scenario.scenario}/{name}",
                consents,
            )
            table[name] = step.compile(compiler)
        return ids[id(steps[0])] if steps else after

    start = begin(scenario.steps, None)
    assert start is not None  # noqa: S101 the model asks for at least one step
    goal = scenario.goal
    return Plan(
        start=start,
        steps=table,
        exit=tuple(PlannedExit(event=rule.event, condition=rule.condition) for rule in scenario.exit),
        zone=scenario.timezone,
        goal=goal and PlannedGoal(event=goal.event, within=goal.within.total_seconds()),
        purpose=scenario.purpose,
        follows=follows,
    )
