"""Evaluates a journey's templates: conditions, values, and its goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from temporalio import activity

from activities.content import Content, UnknownVersion
from activities.evaluation import answer
from activities.interface import DECIDE, GOAL, GoalEvent, GoalResult
from scenario import liquid
from scenario.entry.entry import journey_root
from scenario.errors import TemplateError
from scenario.model.scenario import Goal, number_of
from scenario.steps.host import EvaluationRequest, EvaluationResult, Event

if TYPE_CHECKING:
    from runtime.store import Store, StoredEntry


@activity.defn(name=DECIDE.name)
async def decide(question: EvaluationRequest) -> EvaluationResult:
    """Evaluate a condition, or the value of a template."""
    return answer(question)


@dataclass(frozen=True)
class GoalActivities:
    """The local activity `goal`."""

    content: Content
    store: Store

    @activity.defn(name=GOAL.name)
    async def goal(self, happened: GoalEvent) -> GoalResult:
        """Count a journey's goal if an event reaches it. Idempotent."""
        entry = await self.store.entry(happened.workflow_id, happened.run_id)
        if entry is None or entry.reached_at is not None:
            return GoalResult(reached=entry is not None)
        return await count(self.store, self.content, entry, happened.event)


async def count(store: Store, content: Content, entry: StoredEntry, event: Event) -> GoalResult:
    """Count the goal of an entry, by the version that admitted the contact, if an event reaches it.

    It counts once, also after the journey's end. The result also states what could not be evaluated.
    """
    try:
        scenario = (await content.open(entry.scenario, entry.entered_by)).scenario
    except UnknownVersion as error:
        return GoalResult(error=str(error))
    goal = scenario.goal
    if goal is None or goal.event != event.name:
        return GoalResult()
    entered = entry.admitted_at.isoformat()
    journey = journey_root(entry.workflow_id, entry.scenario, entry.entered_by, entered)
    data = {"event": event.data(), "journey": {**journey, "timezone": scenario.timezone}}
    try:
        if goal.condition is not None and not liquid.evaluate_condition(goal.condition, data):
            return GoalResult()
    except TemplateError as error:
        return GoalResult(error=str(error))
    value, error = _value(goal, data)
    reached = await store.reach(entry.workflow_id, entry.run_id, datetime.fromisoformat(event.at), value)
    return GoalResult(reached=reached, error=error if reached else "")


def _value(goal: Goal, data: Mapping[str, Any]) -> tuple[Decimal | None, str]:
    """Return the goal's value, and why it is unknown, if so. A goal without a value counts."""
    if goal.value is None:
        return None, ""
    try:
        value = number_of(liquid.evaluate_value(goal.value, data))
    except TemplateError as error:
        return None, str(error)
    return value, "it is not a number" if value is None else ""
