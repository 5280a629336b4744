import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from runtime.store import GoalCount, Store
from tests.factories import NOW, admission_request, present
from tests.runtime.store.conftest import both

HOUR = timedelta(hours=1)
UNTIL = NOW + 24 * HOUR


async def enter(store: Store, contact: str, outcome: str | None = "finished", **other: Any) -> tuple[str, str]:
    given: dict[str, Any] = {"goal_until": UNTIL, **other}
    request = admission_request(contact, **given)
    await store.admit(request)
    if outcome is not None:
        await store.depart(request.workflow_id, request.run_id, outcome, None, request.admitted_at + HOUR)
    return request.workflow_id, request.run_id


@both
async def test_a_goal_counts_once_with_its_first_value(store: Store, another: Store) -> None:
    journey = await enter(store, "7")
    told = [store.reach(*journey, NOW + HOUR, Decimal("49.9")), another.reach(*journey, NOW + HOUR, Decimal("49.9"))]
    assert sorted(await asyncio.gather(*told)) == [False, True]
    assert not await store.reach(*journey, NOW + 2 * HOUR, Decimal(5))
    entry = present(await store.entry(*journey))
    assert (entry.reached_at, entry.goal_value) == (NOW + HOUR, "49.9")


@pytest.mark.parametrize(("late", "counts"), [(timedelta(0), True), (timedelta(microseconds=1), False)])
async def test_a_goal_counts_to_the_end_of_its_time_and_not_after(store: Store, late: timedelta, counts: bool) -> None:
    journey = await enter(store, "7")
    assert await store.reach(*journey, UNTIL + late) is counts
    entry = present(await store.entry(*journey))
    assert (entry.reached_at is not None, entry.goal_value, entry.goal_until) == (counts, None, UNTIL)
    without = await enter(store, "8", goal_until=None)
    assert present(await store.entry(*without)).goal_until is None
    assert [await store.reach(*one, NOW) for one in (without, ("welcome/9", "run-1"))] == [False, False]


async def test_open_goals_are_those_of_journeys_that_are_over_and_in_time(store: Store) -> None:
    await enter(store, "7", outcome=None)
    await enter(store, "7", workflow_id="welcome/7/b", key="b")
    await enter(store, "7", workflow_id="welcome/7/a", key="a", outcome="control", now=NOW - HOUR)
    await enter(store, "7", workflow_id="welcome/7/c", key="c", goal_until=None)
    await enter(store, "7", workflow_id="welcome/7/d", key="d", goal_until=NOW)
    await store.reach(*(await enter(store, "7", workflow_id="welcome/7/e", key="e")), NOW)
    await enter(store, "8")
    assert [entry.key for entry in await store.open_goals("7", NOW + HOUR)] == ["a", "b"]
    assert [entry.key for entry in await store.open_goals("7", UNTIL + HOUR)] == []
    assert await store.open_goals("9", NOW) == []


@both
async def test_a_tally_counts_each_kind_of_entry_apart(store: Store) -> None:
    for number in range(4):
        journey = await enter(store, str(number))
        if number:
            await store.reach(*journey, NOW + HOUR, Decimal("0.1") if number < 3 else None)
    await enter(store, "0", run_id="run-2", now=NOW + 2 * HOUR, version=2, goal_until=UNTIL - 12 * HOUR)
    await store.reach(*(await enter(store, "8", "control")), NOW, Decimal(7))
    await enter(store, "9", "holdout")
    await enter(store, "1", workflow_id="other/1", scenario="other")
    everybody = [
        GoalCount(1, "", {}, 4, 4, 3, 1, Decimal("0.2")),
        GoalCount(1, "control", {}, 1, 1, 1, 0, Decimal(7)),
        GoalCount(1, "holdout", {}, 1, 1, 0, 1, Decimal(0)),
        GoalCount(2, "", {}, 1, 0, 0, 0, Decimal(0)),
    ]

    def ordered(tallies: list[GoalCount]) -> list[GoalCount]:
        return sorted(tallies, key=lambda one: (one.version, one.group))

    now = UNTIL - 6 * HOUR
    assert ordered(await store.goal_counts("welcome", now)) == everybody
    assert ordered(await store.goal_counts("welcome", now, version=1)) == everybody[:3]
    await store.adopt("welcome/2", "run-1", 2)
    await store.adopt("welcome/2", "run-1", 3)
    assert ordered(await store.goal_counts("welcome", now)) == everybody, (
        "who goes on in another version counts for its own"
    )
    assert ordered(await store.goal_counts("welcome", now, version=2)) == [replace(everybody[3], contacts=1)]
    late = await store.goal_counts("welcome", now, since=NOW + HOUR)
    assert late == [replace(everybody[3], contacts=1)]
    assert await store.goal_counts("nobody", now) == []
