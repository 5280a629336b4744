"""The local activities that decide for journeys: conditions, values, the goal, and versions to continue in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from temporalio import activity

from activities.content import Content, LoadedVersion, UnknownVersion
from activities.evaluation import answer
from activities.interface import (
    ADOPT,
    AMEND,
    DECIDE,
    GOAL,
    RENEW,
    Adoption,
    GoalEvent,
    GoalResult,
    Renewal,
    Renewed,
    StepVersion,
    StepVersionRequest,
)
from scenario import liquid
from scenario.entry.entry import is_too_large, journey_root
from scenario.errors import TemplateError
from scenario.model.scenario import Goal, number_of
from scenario.plan.migration import MigrationError, followed, migrated, unknown
from scenario.plan.plan import LARGEST_PLAN, load_plan
from scenario.steps.host import EvaluationRequest, EvaluationResult, Event

if TYPE_CHECKING:  # `tests/replay/test_pythons.py` replays journeys without the packages of the store
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


class Renewals:
    """Finds the version in which a journey, or only a step that is tried again, can continue."""

    def __init__(self, content: Content, store: Store) -> None:
        self._content, self._store = content, store

    @activity.defn(name=AMEND.name)
    async def amend(self, request: StepVersionRequest) -> StepVersion:
        """Return the step's row in the plan of a version, by default the newest, or a sentence if it cannot be used."""
        try:
            opened = await self._content.open(request.scenario, request.version)
        except UnknownVersion as error:
            return StepVersion(error=f"{error}: publish it first")
        name = f"{opened.name}@{opened.version}"
        row: dict[str, Any] | None = opened.plan["steps"].get(request.step)
        if row is None:
            return StepVersion(error=f"{name} has no step '{request.step}': name a version that has it")
        if row["kind"] != request.kind:
            return StepVersion(error=f"'{request.step}' is of kind {row['kind']} in {name}, not {request.kind}")
        try:
            load_plan({"start": request.step, "steps": {request.step: row}})
        except ValidationError:  # said here, since the journey would fail over it again and again
            return StepVersion(error=f"'{request.step}' of {name} is not for this version of the workers: update them")
        return StepVersion(version=opened.version, step=row)

    @activity.defn(name=RENEW.name)
    async def renew(self, renewal: Renewal) -> Renewed:
        """Return a journey's position in a version, by default the newest, or a sentence if it cannot continue there.

        For a following journey without a newer version, this is one index look-up.
        """
        try:
            opened = await self._content.open(renewal.scenario, renewal.to)
            if renewal.follows and opened.version <= renewal.version:
                return Renewed()
            old = await self._content.open(renewal.scenario, renewal.version)
        except UnknownVersion as error:
            return Renewed(error=f"{error}: publish it first")
        name = f"{opened.name}@{opened.version}"
        if opened.version == renewal.version:
            return Renewed(error=f"the journey follows {name} already")
        try:
            found = _found(old, opened, renewal)
        except MigrationError as error:
            return Renewed(version=opened.version, error=f"{name}: {error}")
        except ValidationError:  # said here, since the journey would fail over it again and again
            return Renewed(version=opened.version, error=f"{name} is not for this version of the workers: update them")
        if opened.version < renewal.version:  # before it is ordered: events from then on may be for that version
            await self._store.expect_earlier(renewal.workflow_id, renewal.run_id)
        return found

    @activity.defn(name=ADOPT.name)
    async def adopt(self, adoption: Adoption) -> None:
        await self._store.adopt(adoption.workflow_id, adoption.run_id, adoption.version)


def _found(old: LoadedVersion, opened: LoadedVersion, renewal: Renewal) -> Renewed:
    """Return a journey's position in a version. Raise MigrationError if it cannot continue there."""
    new, place = opened.table, renewal.place
    at = followed(old.table, new, place) if renewal.follows else migrated(old.table, new, place, renewal.names)
    if at is None:  # nothing more is to come there either
        return Renewed()
    missing = tuple(unknown(new, opened.steps, at, place))
    if missing and renewal.follows:
        raise MigrationError(f"its steps read {' and '.join(missing)}, which the journey does not have")
    if is_too_large(opened.plan, LARGEST_PLAN):
        raise MigrationError("it is too large to be performed: split it, or name less in its templates")
    return Renewed(version=opened.version, plan=opened.plan, at=at, unknown=missing)
