"""What came of a goal, by branch and against those who got nothing; and its statistics, against published tables."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from authoring.errors import BadInput
from runtime.store import Store
from runtime.store.schema import entries
from service.results import ResultsView, chi_square_tail, interval, p_of_rates, p_of_shares, results
from tests.factories import publish

NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
GOAL = "goal: {event: order.placed, within: 14d, value: 10}\n"
PLAIN = f"scenario: sale\ntrigger: segment\n{GOAL}steps: [exit: a]\n"
SPLIT = f"scenario: sale\ntrigger: segment\n{GOAL}steps: [{{id: subject, split: {{a: 50, b: 50}}}}]\n"

Fill = Callable[..., None]


@pytest.fixture
def fill(store: Store, tmp_path: Path) -> Iterator[Fill]:
    """Writes so many entries, of which so many reached the goal."""
    numbers = count(1)
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    row: dict[str, Any] = {"scenario": "sale", "version": 1, "run_id": "r", "ordinal": 1, "trigger": "segment"}
    row |= {"branches": {}, "admitted_at": NOW - timedelta(days=20), "goal_until": NOW - timedelta(days=6)}
    goal = {"reached_at": NOW - timedelta(days=19), "goal_value": "10"}

    def write(entered: int, reached: int = 0, **more: Any) -> None:
        rows: list[dict[str, Any]] = []
        for turn, number in zip(range(entered), numbers, strict=False):
            names = {"contact_id": str(number), "workflow_id": f"sale/{number}", "key": str(number)}
            rows.append({**row, **names, **(goal if turn < reached else dict.fromkeys(goal)), **more})
        with engine.begin() as connection:
            connection.execute(entries.insert(), rows)

    yield write
    engine.dispose()


async def look(store: Store, **given: Any) -> ResultsView:
    return await results(store, "sale", NOW, **given)


async def test_all_are_compared_with_the_control_group(store: Store, fill: Fill):
    await publish(store, PLAIN.replace("steps", "control: 10\nsteps"))
    fill(900, 90)
    fill(100, 5, outcome="control")
    fill(50, 1, outcome="holdout", goal_until=NOW + timedelta(days=1))
    found = await look(store)
    assert (found.entered, found.open, found.contacts) == (1050, 49, 1050)
    assert (found.control_mismatch, found.goalless, found.versions) == (None, 0, [1])
    (one,) = found.comparisons
    assert (one.split, one.baseline, one.mismatch) == (None, "control", None)
    assert [arm.name for arm in one.arms] == ["all", "control", "holdout"]
    everybody, control, holdout = one.arms
    assert (everybody.entered, everybody.reached, everybody.value) == (900, 90, Decimal(900))
    assert (everybody.rate, everybody.each) == (0.1, Decimal(1))
    assert [round(end, 4) for end in everybody.interval] == [0.0821, 0.1213]
    assert everybody.uplift == pytest.approx(1.0)
    assert everybody.p == pytest.approx(0.1057, abs=1e-4)  # z = 1.618
    assert (control.uplift, control.p, control.is_too_small) == (None, None, False)
    assert (holdout.p, holdout.is_too_small, holdout.verdict) == (None, True, "too few to tell")
    assert everybody.verdict == "no clear difference from control: 10.00 % against 5.00 %"


async def test_branches_are_compared_with_the_first_where_there_is_no_control(store: Store, fill: Fill):
    await publish(store, SPLIT)
    fill(500, 50, branches={"subject": "a"})
    fill(500, 100, branches={"subject": "b"})
    fill(3)
    (one,) = (await look(store)).comparisons
    assert (one.split, one.baseline, one.undrawn, one.mismatch) == ("subject", "a", 3, None)
    _, b = one.arms
    assert (b.name, b.uplift, b.verdict) == ("b", pytest.approx(1.0), "better than a: 20.00 % against 10.00 %")
    assert (b.p or 1) < 0.001
    fill(700, branches={"subject": "a"})
    fill(500, branches={"subject": "b"})
    assert (await look(store)).comparisons[0].mismatch == pytest.approx(2.0e-5, rel=0.02)  # χ² = 18.18


async def test_shares_that_changed_are_no_mismatch(store: Store, fill: Fill):
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


async def test_a_contact_who_comes_in_again_and_again_is_no_mismatch(store: Store, fill: Fill):
    await publish(store, SPLIT)
    fill(100, branches={"subject": "a"})
    fill(100, branches={"subject": "b"})
    fill(300, branches={"subject": "b"}, contact_id="200")
    found = await look(store)
    assert (found.entered, found.contacts) == (500, 200)
    assert found.comparisons[0].mismatch is None


async def test_a_control_group_out_of_ratio_is_told(store: Store, fill: Fill):
    await publish(store, PLAIN.replace("steps", "control: 10\nsteps"))
    fill(900)
    fill(160, outcome="control")
    fill(500, outcome="holdout")
    assert ((await look(store)).control_mismatch or 1) < 0.001


async def test_a_version_without_a_goal_thins_nothing_out(store: Store, fill: Fill):
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


async def test_only_those_since_a_time_are_counted(store: Store, fill: Fill):
    await publish(store, PLAIN)
    fill(5, 1)
    fill(7, 2, admitted_at=NOW)
    assert [arm.entered for arm in (await look(store, since=NOW)).comparisons[0].arms] == [7]


async def test_where_nobody_came_in_there_is_the_newest_version_and_nothing_to_compare(store: Store):
    await publish(store, PLAIN)
    await publish(store, SPLIT)
    found = await look(store)
    assert (found.versions, found.entered) == ([2], 0)
    arms = [(arm.name, arm.rate, arm.each, arm.is_too_small) for arm in found.comparisons[0].arms]
    assert arms == [("a", None, None, False), ("b", None, None, True)]


async def test_what_is_not_published_is_said(store: Store):
    await publish(store, PLAIN)
    with pytest.raises(BadInput, match=r"^sale has no version 9: the newest is 1$"):
        await look(store, version=9)
    with pytest.raises(BadInput, match=r"^there is no scenario 'slae': did you mean 'sale'\?$"):
        await results(store, "slae", NOW)


@pytest.mark.parametrize(
    ("reached", "entered", "low", "high"),
    [
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),  # what 0 of 29 leaves to 1
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_wilsons(reached: int, entered: int, low: float, high: float):
    assert [round(end, 4) for end in interval(reached, entered)] == [low, high]


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_has_a_mirror_image(counts: tuple[int, int]):
    reached, entered = counts
    low, high = interval(reached, entered)
    assert 0 <= low <= reached / entered <= high <= 1
    assert interval(entered - reached, entered) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        # statsmodels, the example of proportions_ztest: z = -1.408.
        ((5, 83), (12, 99), 0.159),
        # influentialpoints.com, "Two-sample test for independent proportions", prop.test(correct=FALSE): χ² = 6.1026.
        ((94, 214), (39, 128), 0.0135),
        # The Salk vaccine field trial of 1954, 200,745 vaccinated and 201,229 not: z = 6.01.
        ((57, 200_745), (142, 201_229), 1.86e-9),
        ((50, 100), (50, 100), 1.0),
        # Too few: less than 5 of one kind expected on one side.
        ((4, 100), (5, 100), None),
        ((96, 100), (95, 100), None),
        ((40, 4_000), (1, 300), None),
        ((1, 0), (10, 100), None),
        ((10, 100), (0, 0), None),
    ],
)
def test_two_rates_are_compared_as_elsewhere(one: tuple[int, int], other: tuple[int, int], p: float | None):
    found = p_of_rates(one, other)
    assert p_of_rates(other, one) == found
    assert (found is None) == (p is None)
    if found is not None and p is not None:
        assert float(f"{found:.3g}") == p


# Abramowitz and Stegun, table 26.8: percentage points of χ².
POINTS = {
    1: {0.5: 0.454937, 0.05: 3.84146, 0.001: 10.828},
    2: {0.5: 1.38629, 0.05: 5.99147, 0.001: 13.816},
    30: {0.5: 29.3360, 0.05: 43.7729, 0.001: 59.703},
    100: {0.5: 99.3341, 0.05: 124.342, 0.001: 149.449},
}


def test_the_tail_of_chi_square_is_that_of_the_tables():
    for freedom, points in POINTS.items():
        for p, value in points.items():
            assert chi_square_tail(value, freedom) == pytest.approx(p, rel=2e-3 if p == 0.001 else 1e-4)
        assert chi_square_tail(0, freedom) == 1
        assert chi_square_tail(5_000, freedom) == 0
    assert 0.45 < chi_square_tail(2_000, 2_000) < 0.5
    # Fleiss's smokers, as R's help of prop.test has them: χ² = 12.6, df = 3, p = 0.005585.
    assert chi_square_tail(12.6004, 3) == pytest.approx(0.005585, rel=1e-4)


DIE = [(count, 1 / 6) for count in (5, 8, 9, 8, 10, 20)]
BEFORE = [(900, 0.9), (100, 0.1)]
SHARES: list[tuple[list[list[tuple[int, float]]], Any]] = [
    # Thrown 60 times: χ² = 13.4, df = 5, p = 0.020 (Wikipedia, "Pearson's chi-squared test").
    ([DIE], pytest.approx(0.020, abs=5e-4)),
    ([[(5_000, 0.5), (5_000, 0.5)]], 1),
    # Shares that changed are compared each with its own time.
    ([BEFORE, [(500, 0.5), (500, 0.5)]], 1),
    ([BEFORE, [(3, 0.5), (2, 0.5)]], 1),  # of a few, nothing is said
    # Two strata of one degree of freedom each: χ² = 4 + 4, df = 2.
    ([[(1_040, 0.5), (960, 0.5)]] * 2, pytest.approx(chi_square_tail(6.4, 2))),
    ([[(1_000, 1.0), (1, 0.0)]], 0),  # somebody drew a branch without a share
    ([], None),
    ([[]], None),
    ([[(4, 0.5), (5, 0.5)]], None),
    ([[(100, 1.0)]], None),
    ([[(100, 1.0), (0, 0.0)]], None),
]


def test_shares_are_compared_with_those_that_were_drawn_by():
    for drawn, p in SHARES:
        assert p_of_shares(drawn) == p, drawn
    assert (p_of_shares([[(5_200, 0.5), (4_800, 0.5)]]) or inf) < 0.001
