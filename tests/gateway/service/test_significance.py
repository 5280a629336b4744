"""Statistics, against published examples and tables."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.service.results import chi_square_tail, interval, p_of_rates, p_of_shares


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
def test_the_interval_is_wilsons(reached: int, entered: int, low: float, high: float) -> None:
    assert [round(end, 4) for end in interval(reached, entered)] == [low, high]


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_has_a_mirror_image(counts: tuple[int, int]) -> None:
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
def test_two_rates_are_compared_as_elsewhere(one: tuple[int, int], other: tuple[int, int], p: float | None) -> None:
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


def test_the_tail_of_chi_square_is_that_of_the_tables() -> None:
    for freedom, points in POINTS.items():
        for p, value in points.items():
            assert chi_square_tail(value, freedom) == pytest.approx(p, rel=2e-3 if p == 0.001 else 1e-4)
        assert chi_square_tail(0, freedom) == 1
        assert chi_square_tail(5_000, freedom) == 0
    assert 0.45 < chi_square_tail(2_000, 2_000) < 0.5


def test_shares_are_compared_with_those_that_were_drawn_by() -> None:
    # Fleiss's smokers, as R's help of prop.test has them: χ² = 12.6, df = 3, p = 0.005585.
    assert chi_square_tail(12.6004, 3) == pytest.approx(0.005585, rel=1e-4)
    # A die thrown 60 times: χ² = 13.4, df = 5, p = 0.020 (Wikipedia, "Pearson's chi-squared test").
    die = [(count, 1 / 6) for count in (5, 8, 9, 8, 10, 20)]
    assert p_of_shares([die]) == pytest.approx(0.020, abs=5e-4)
    assert p_of_shares([[(5_000, 0.5), (5_000, 0.5)]]) == 1
    assert (p_of_shares([[(5_200, 0.5), (4_800, 0.5)]]) or inf) < 0.001


def test_shares_that_changed_are_compared_each_with_its_own_time() -> None:
    before, after = [(900, 0.9), (100, 0.1)], [(500, 0.5), (500, 0.5)]
    assert p_of_shares([before, after]) == 1
    assert p_of_shares([before, [(3, 0.5), (2, 0.5)]]) == 1, "of a few, nothing is said"
    # Two strata of one degree of freedom each: χ² = 4 + 4, df = 2.
    assert p_of_shares([[(1_040, 0.5), (960, 0.5)]] * 2) == pytest.approx(chi_square_tail(6.4, 2))


@pytest.mark.parametrize("drawn", [[], [[]], [[(4, 0.5), (5, 0.5)]], [[(100, 1.0)]], [[(100, 1.0), (0, 0.0)]]])
def test_too_few_shares_say_nothing(drawn: list[list[tuple[int, float]]]) -> None:
    assert p_of_shares(drawn) is None


def test_a_branch_without_a_share_that_somebody_drew_is_out_of_ratio() -> None:
    assert p_of_shares([[(1_000, 1.0), (1, 0.0)]]) == 0
