"""What came of a goal: by branch, against those who got nothing, with what has to be known before believing it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from gateway.errors import BadInput
from gateway.service.results import Arm, Comparison, ResultsView, results
from runtime.store import Store
from runtime.store.schema import entries
from tests.factories import publish

NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
GOAL = "goal: {event: order.placed, within: 14d, value: 10}\n"
PLAIN = f"scenario: sale\ntrigger: segment\n{GOAL}steps: [exit: a]\n"
SPLIT = f"scenario: sale\ntrigger: segment\n{GOAL}steps: [{{id: subject, split: {{a: 50, b: 50}}}}]\n"

Fill = Callable[..., None]


@pytest.fixture
def fill(store: Store, tmp_path: Path) -> Fill:
    """Writes so many entries, of which so many reached the goal."""
    numbers = count(1)
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")

    def write(entered: int, reached: int = 0, **more: Any) -> None:
        row: dict[str, Any] = {
            "scenario": "sale",
            "version": 1,
            "run_id": "r",
            "ordinal": 1,
            "trigger": "segment",
            "branches": {},
        }
        row |= {"admitted_at": NOW - timedelta(days=20), "goal_until": NOW - timedelta(days=6)}
        goal = {"reached_at": NOW - timedelta(days=19), "goal_value": "10"}
        rows: list[dict[str, Any]] = [
            {
                **row,
                "contact_id": str(number := next(numbers)),
                "workflow_id": f"sale/{number}",
                "key": str(number),
                **(goal if turn < reached else dict.fromkeys(goal)),
                **more,
            }
            for turn in range(entered)
        ]
        with engine.begin() as connection:
            connection.execute(entries.insert(), rows)

    return write


async def look(store: Store, **given: Any) -> ResultsView:
    return await results(store, "sale", NOW, **given)


def named(found: Comparison) -> dict[str, Arm]:
    return {arm.name: arm for arm in found.arms}


async def test_all_are_compared_with_the_control_group(store: Store, fill: Fill) -> None:
    await publish(store, PLAIN.replace("steps", "control: 10\nsteps"))
    fill(900, 90)
    fill(100, 5, outcome="control")
    fill(50, 1, outcome="holdout", goal_until=NOW + timedelta(days=1))
    found = await look(store)
    assert (found.entered, found.open, found.contacts) == (1050, 49, 1050)
    assert (found.control_mismatch, found.goalless, found.versions) == (None, 0, [1])
    (one,) = found.comparisons
    assert (one.split, one.baseline, one.mismatch) == (None, "control", None)
    assert list(named(one)) == ["all", "control", "holdout"]
    everybody, control, holdout = one.arms
    assert (everybody.entered, everybody.reached, everybody.value) == (900, 90, Decimal(900))
    assert (everybody.rate, everybody.each) == (0.1, Decimal(1))
    assert [round(end, 4) for end in everybody.interval] == [0.0821, 0.1213]
    assert everybody.uplift == pytest.approx(1.0)
    assert everybody.p == pytest.approx(0.1057, abs=1e-4)  # z = 1.618
    assert (control.uplift, control.p, control.is_too_small) == (None, None, False)
    assert (holdout.p, holdout.is_too_small, holdout.verdict) == (None, True, "too few to tell")
    assert everybody.verdict == "no clear difference from control: 10.00 % against 5.00 %"


async def test_branches_are_compared_with_the_first_where_there_is_no_control(store: Store, fill: Fill) -> None:
    await publish(store, SPLIT)
    fill(500, 50, branches={"subject": "a"})
    fill(500, 100, branches={"subject": "b"})
    fill(3)
    (one,) = (await look(store)).comparisons
    assert (one.split, one.baseline, one.undrawn, one.mismatch) == ("subject", "a", 3, None)
    assert named(one)["b"].uplift == pytest.approx(1.0)
    assert (named(one)["b"].p or 1) < 0.001
    assert named(one)["b"].verdict == "better than a: 20.00 % against 10.00 %"


async def test_a_split_out_of_ratio_is_told(store: Store, fill: Fill) -> None:
    await publish(store, SPLIT)
    fill(1200, branches={"subject": "a"})
    fill(1000, branches={"subject": "b"})
    mismatch = (await look(store)).comparisons[0].mismatch
    assert mismatch is not None
    assert mismatch == pytest.approx(2.0e-5, rel=0.02)  # χ² = 18.18


async def test_shares_that_changed_are_no_mismatch(store: Store, fill: Fill) -> None:
    await publish(store, SPLIT)
    await publish(store, SPLIT.replace("a: 50, b: 50", "a: 90, b: 10"))
    for version, a, b in ((1, 500, 500), (2, 900, 100)):
        fill(a, branches={"subject": "a"}, version=version)
        fill(b, branches={"subject": "b"}, version=version)
    found = await look(store)
    assert (found.versions, found.comparisons[0].mismatch) == ([1, 2], None)
    assert [arm.entered for arm in found.comparisons[0].arms] == [1400, 600]
    late = await look(store, version=2)
    assert (late.versions, [arm.entered for arm in late.comparisons[0].arms]) == ([2], [900, 100])


async def test_a_contact_who_comes_in_again_and_again_is_no_mismatch(store: Store, fill: Fill) -> None:
    await publish(store, SPLIT)
    fill(100, branches={"subject": "a"})
    fill(100, branches={"subject": "b"})
    fill(300, branches={"subject": "b"}, contact_id="200")
    found = await look(store)
    assert (found.entered, found.contacts) == (500, 200)
    assert found.comparisons[0].mismatch is None


async def test_a_control_group_out_of_ratio_is_told(store: Store, fill: Fill) -> None:
    await publish(store, PLAIN.replace("steps", "control: 10\nsteps"))
    fill(900)
    fill(160, outcome="control")
    fill(500, outcome="holdout")
    assert ((await look(store)).control_mismatch or 1) < 0.001


async def test_a_version_without_a_goal_thins_nothing_out(store: Store, fill: Fill) -> None:
    await publish(store, PLAIN.replace(GOAL, ""))
    await publish(store, PLAIN)
    await publish(store, PLAIN.replace("14d", "7d"))
    fill(70, goal_until=None)
    fill(20, 10, version=2)
    fill(20, 10, version=3)
    found = await look(store)
    assert (found.goalless, found.entered, found.versions, found.is_same_goal) == (70, 40, [2, 3], False)
    assert found.goal is not None
    assert found.goal.within == timedelta(days=7)
    first = await look(store, version=1)
    assert (first.goal, first.entered, first.goalless, first.is_same_goal) == (None, 70, 0, True)


async def test_only_those_since_a_time_are_counted(store: Store, fill: Fill) -> None:
    await publish(store, PLAIN)
    fill(5, 1)
    fill(7, 2, admitted_at=NOW)
    assert [arm.entered for arm in (await look(store, since=NOW)).comparisons[0].arms] == [7]


async def test_where_nobody_came_in_there_is_the_newest_version_and_nothing_to_compare(store: Store) -> None:
    await publish(store, PLAIN)
    await publish(store, SPLIT)
    found = await look(store)
    assert (found.versions, found.entered) == ([2], 0)
    assert [(arm.name, arm.rate, arm.each, arm.is_too_small) for arm in found.comparisons[0].arms] == [
        ("a", None, None, False),
        ("b", None, None, True),
    ]


async def test_what_is_not_published_is_said(store: Store) -> None:
    await publish(store, PLAIN)
    with pytest.raises(BadInput, match=r"^sale has no version 9: the newest is 1$"):
        await look(store, version=9)
    with pytest.raises(BadInput, match=r"^there is no scenario 'slae': did you mean 'sale'\?$"):
        await results(store, "slae", NOW)
