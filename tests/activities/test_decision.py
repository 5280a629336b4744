"""Conditions, values and goals that a journey asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.decision import GoalActivities, decide
from activities.interface import Admission, Departure, GoalEvent, GoalResult
from runtime.store import Store, StoredEntry
from scenario.entry.values import DEFAULT_PLATFORM
from scenario.steps.host import EvaluationRequest, EvaluationResult, Event
from tests.factories import present, publish

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


@pytest.fixture
async def store(store: Store) -> Store:
    await publish(store, SCENARIO)
    entry = {"scenario": "sale", "contact": {"id": 7, "custom": {"order": "A1"}}, "trigger": {"type": "segment"}}
    admission = Admission(entry=entry, workflow_id="sale/7/A1", run_id="r", now=NOW.isoformat())
    assert not (await AdmissionActivities(Content(store), store, DEFAULT_PLATFORM).admit(admission)).refused
    return store


async def ask(store: Store, asked: Event, run_id: str = "r") -> GoalResult:
    happened = GoalEvent(workflow_id="sale/7/A1", run_id=run_id, event=asked)
    return await GoalActivities(Content(store), store).goal(happened)


async def entry(store: Store) -> StoredEntry:
    return present(await store.entry("sale/7/A1"))


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
    assert await ask(store, event(), "another") == GoalResult(), "nobody let that journey in"
    unreadable = await ask(store, event(total={"zoe@example.com": 1}))
    assert unreadable.error
    assert "zoe" not in unreadable.error
    assert (await entry(store)).goal_value is None
    for total in (5, 100):
        assert await ask(store, event(total=total)) == GoalResult(reached=True)
    assert (await entry(store)).goal_value == "10"


async def test_a_departure_counts_the_first_of_the_events_that_reaches_it(store: Store) -> None:
    events = [event(order="B2"), event(total=3), event(total=100)]
    departure = Departure(
        workflow_id="sale/7/A1", run_id="r", outcome="exited", reason="", now=NOW.isoformat(), events=events
    )
    for _ in range(2):
        await AdmissionActivities(Content(store), store, DEFAULT_PLATFORM).depart(departure)
    found = await entry(store)
    assert (found.outcome, found.goal_value) == ("exited", "6")


DATE = "{{ reward.expiration_date }}"
MISSING = "the date to wait for is missing"
UNREADABLE = "a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00"


@pytest.mark.parametrize(
    ("value", "offset", "expected"),
    [
        ("2027-03-29 09:00:00", 0.0, EvaluationResult(end="2027-03-29T07:00:00+00:00")),
        # Three days of the calendar, with a change of the clocks between: 09:00 there, too.
        ("2027-03-29 09:00:00", -3 * 86_400.0, EvaluationResult(end="2027-03-26T08:00:00+00:00")),
        ("2027-03-29T09:00:00+02:00", 60.0, EvaluationResult(end="2027-03-29T07:01:00+00:00")),
        ("0000-00-00 00:00:00", 0.0, EvaluationResult(no_date=MISSING)),
        (None, 0.0, EvaluationResult(no_date=MISSING)),
        ("soon", 0.0, EvaluationResult(no_date=UNREADABLE)),
        ({"a": "x" * 10_000}, 0.0, EvaluationResult(no_date=UNREADABLE)),
    ],
)
async def test_a_date_to_wait_for_comes_with_the_end_of_the_wait(
    value: Any, offset: float, expected: EvaluationResult
) -> None:
    data = {"reward": {"expiration_date": value}}
    question = EvaluationRequest(text=DATE, data=data, kind="value", zone="Europe/Paris", offset=offset)
    assert await decide(question) == expected
