"""Whether an event reaches the goal of an entry: by the version that let the contact in, once, in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.decision import GoalActivities
from activities.interface import Admission, Departure, GoalEvent, GoalResult
from runtime.store import Store, StoredEntry
from scenario.check.check import check
from scenario.model.document import digest, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from scenario.steps.host import Event

SCENARIO = """
scenario: sale
trigger: segment
entry: {key: "{{ contact.custom.order }}"}
goal: {event: order.placed, if: event.order == journey.key and event.total > 0, within: 14d,
  value: "{{ event.total | times: 2 }}"}
steps: [{exit: a}]
"""
NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)


def event(name: str = "order.placed", at: datetime = NOW, **properties: Any) -> Event:
    return Event(name=name, properties={"order": "A1", "total": 5, **properties}, at=at.isoformat())


@pytest.fixture(autouse=True)
async def admitted(store: Store) -> None:
    scenario = check(SCENARIO).scenario
    assert scenario is not None
    content = document(scenario)
    await store.publish("sale", content, dump_plan(compile_plan(scenario)), digest(content))
    entry = {"scenario": "sale", "contact": {"id": 7, "custom": {"order": "A1"}}, "trigger": {"type": "segment"}}
    admission = Admission(entry=entry, workflow_id="sale/7/A1", run_id="r", now=NOW.isoformat())
    assert not (await AdmissionActivities(Content(store), store, "UTC").admit(admission)).refused


async def ask(store: Store, asked: Event, run_id: str = "r") -> GoalResult:
    happened = GoalEvent(workflow_id="sale/7/A1", run_id=run_id, event=asked)
    return await GoalActivities(Content(store), store).goal(happened)


async def entry(store: Store) -> StoredEntry:
    found = await store.entry("sale/7/A1")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "reached", "value"),
    [
        (event(), True, "10"),
        (event(total=12.5), True, "25"),
        (event(at=NOW + timedelta(days=14)), True, "10"),
        (event(at=NOW + timedelta(days=14, seconds=1)), False, None),
        (event("order.paid"), False, None),
        (event(order="B2"), False, None),
    ],
)
async def test_an_event_reaches_the_goal_or_not(store: Store, asked: Event, reached: bool, value: str | None) -> None:
    assert await ask(store, asked) == GoalResult(reached=reached)
    found = await entry(store)
    assert (found.goal_until, found.goal_value) == (NOW + timedelta(days=14), value)
    assert found.reached_at == (datetime.fromisoformat(asked.at) if reached else None)


async def test_asked_again_it_answers_the_same_and_counts_nothing_more(store: Store) -> None:
    assert await ask(store, event()) == GoalResult(reached=True)
    assert await ask(store, event(total=100)) == GoalResult(reached=True)
    assert (await entry(store)).goal_value == "10"


async def test_a_journey_that_nobody_let_in_reaches_nothing(store: Store) -> None:
    assert await ask(store, event(), "another") == GoalResult()


async def test_what_cannot_be_worked_out_is_said_without_data(store: Store) -> None:
    reached = await ask(store, event(total={"zoe@example.com": 1}))
    assert reached.error
    assert "zoe" not in reached.error
    assert (await entry(store)).goal_value is None


async def test_a_departure_counts_the_first_of_the_events_that_reaches_it(store: Store) -> None:
    events = [event(order="B2"), event(total=3), event(total=100)]
    departure = Departure(
        workflow_id="sale/7/A1", run_id="r", outcome="exited", reason="", now=NOW.isoformat(), events=events
    )
    for _ in range(2):
        await AdmissionActivities(Content(store), store, "UTC").depart(departure)
    found = await entry(store)
    assert (found.outcome, found.goal_value) == ("exited", "6")
