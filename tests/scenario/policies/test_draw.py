"""Draws: the contract's formula, shares, independence, and what a change of the shares moves."""

import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenario.policies.draw import WHOLE, Holdout, Lot, apart, drawn, hundredths, percent, u

IDS = [str(number) for number in range(3_000_000, 3_040_000)]
TOP = 2**64 - 1


def sums(parts: int) -> st.SearchStrategy[list[int]]:
    borders = st.lists(st.integers(0, WHOLE), min_size=parts - 1, max_size=parts - 1)
    return borders.map(lambda cuts: [b - a for a, b in zip((0, *sorted(cuts)), (*sorted(cuts), WHOLE), strict=True)])


def test_the_number_of_a_unit_is_the_contracts() -> None:
    digest = hashlib.sha256(b"subject-2026-11\n3028687").digest()
    assert u("subject-2026-11", "3028687") == int.from_bytes(digest[:8], "big")
    # As another program works it out: `printf 'subject-2026-11\n3028687' | sha256sum`.
    assert f"{u('subject-2026-11', '3028687'):016x}" == "25d94e8a23c8744f"


@pytest.mark.parametrize(
    ("number", "name"), [(0, "a"), (2**63 - 1, "a"), (2**63, "b"), (2**64 * 9975 // WHOLE, "none"), (TOP, "few")]
)
def test_a_border_belongs_to_the_branch_that_it_begins(number: int, name: str) -> None:
    assert drawn({"a": 5000, "b": 4500, "none": 475, "nobody": 0, "few": 25}, number) == name


@given(sums(4), st.integers(0, TOP))
def test_the_first_branch_whose_cumulative_share_is_above_the_number_is_drawn(shares: list[int], number: int) -> None:
    named = {str(place): share for place, share in enumerate(shares)}
    place = int(drawn(named, number))
    assert sum(shares[:place]) * 2**64 <= number * WHOLE < sum(shares[: place + 1]) * 2**64


def test_draws_of_two_seeds_know_nothing_of_each_other() -> None:
    """χ² with three degrees of freedom: 16.27 is passed once in a thousand times."""
    half = {"a": 5000, "b": 5000}
    cells = Counter((drawn(half, u("one", unit)), drawn(half, u("two", unit))) for unit in IDS)
    expected = len(IDS) / 4
    assert len(cells) == 4
    assert sum((count - expected) ** 2 / expected for count in cells.values()) < 16.27


@given(sums(3), sums(4), st.integers(1, 5))
def test_how_many_are_moved_is_what_is_counted(before: list[int], after: list[int], first: int) -> None:
    names = [str(place) if place < first else "abcd"[place] for place in range(4)]
    old, new = dict(zip("abc", before, strict=True)), dict(zip(names, after, strict=True))
    counted = sum(drawn(old, place) != drawn(new, place) for place in range(0, 2**64, 2**64 // 500))
    moved = Lot(seed="s", shares=new).moved(Lot(seed="s", shares=old))
    assert moved is not None
    assert abs(moved / WHOLE - counted / 501) < 0.02


def test_another_seed_and_another_unit_draw_all_anew() -> None:
    lot = Lot(seed="s", shares={"a": 5000, "b": 5000})
    assert lot.moved(Lot(seed="t", shares=lot.shares)) is None
    assert lot.moved(Lot(seed="s", shares=lot.shares, by="journey")) is None
    assert lot.moved(lot) == 0


def test_what_was_drawn_is_said_with_its_number() -> None:
    lot = Lot(seed="post-purchase/subject", shares={"a": 5000, "b": 4500, "none": 500}, by="{{ order.external_id }}")
    assert str(lot.draw("CGX0094")) == "a (0.3437 of 1, by order.external_id)"


def test_a_number_just_below_a_border_is_not_said_to_be_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def just_below(seed: str, unit: str) -> int:
        del seed, unit
        return 2**63 - 1

    monkeypatch.setattr("scenario.policies.draw.u", just_below)
    assert str(Lot(seed="s", shares={"a": 5000, "b": 5000}).draw("7")) == "a (0.4999 of 1, by contact)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (50, 5000), (33.33, 3333), (0, 0), (100.0, 10000), (0.01, 1), (16.67, 1667),
        (True, "a share is a number of per cent, such as 50 or 33.33"),
        ("half", "a share is a number of per cent, such as 50 or 33.33"),
        ("50 %", "write the per cent as a number: 50"),
        (100.01, "100.01 is not a share: write per cent from 0 to 100"),
        (-1, "-1 is not a share: write per cent from 0 to 100"),
        (float("nan"), "a share is a number of per cent, such as 50 or 33.33"),
        (33.333, "33.333 has more than two decimals: write 33.33"),
        ({"weight": 1}, "a share is a number of per cent and nothing else, such as 50"),
    ],
)  # fmt: skip
def test_a_share_has_two_decimals_at_most(value: Any, said: int | str) -> None:
    if isinstance(said, int):
        assert hundredths(value) == said
        assert hundredths(percent(said)) == said
        return
    with pytest.raises(ValueError, match=r".") as caught:
        hundredths(value)
    assert str(caught.value) == said


def test_a_holdout_says_its_share_and_its_seed() -> None:
    holdout = Holdout.model_validate({"share": 5, "seed": "2026-q4"})
    assert (holdout.share, holdout.model_dump(mode="json")) == (500, {"share": 5, "seed": "2026-q4"})
    assert apart(holdout.seed, "holdout", holdout.share).shares == {"holdout": 500, "": 9500}
