"""Texts fit into what is kept for them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.map.typesetting import clipped, width_of, wrapped


@given(st.text(max_size=200), st.integers(30, 300), st.integers(1, 4), st.booleans())
@settings(max_examples=50)
def test_lines_are_no_wider_than_they_may_be(text: str, width: int, lines: int, bold: bool) -> None:
    made = wrapped(text, width, 13, lines, bold=bold)
    assert len(made) <= lines
    assert all(width_of(line, 13, bold=bold) <= width for line in made)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("wait 2d", ["wait 2d"]),
        ("wait until mon tue wed thu fri 10:00", ["wait until mon tue", "wed thu fri 10:00"]),
        ("wait for optin.confirmed, 2d", ["wait for", "optin.confirmed,", "2d"]),
        ("if reward.expiration_date != blank", ["if reward.", "expiration_date !=", "blank"]),
        ("a" * 50, ["a" * 15, "a" * 15, "a" * 13 + "…"]),
        ("", []),
    ],
)
def test_a_text_is_broken_between_words(text: str, lines: list[str]) -> None:
    assert wrapped(text, 130, 13, 3) == lines


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    assert clipped("order.delivered", 200, 11) == "order.delivered"
    assert clipped("order.delivered", 60, 11) == "order.d…"


def test_letters_of_other_scripts_are_taken_for_wide_ones() -> None:
    assert width_of("é", 10) == width_of("e", 10)
    assert width_of("日", 10) > width_of("W", 10)
    assert width_of("e\u0301", 10) == width_of("e", 10)
