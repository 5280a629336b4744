"""Conditions mean in Liquid what they meant before: compared with Python's own logic."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario import liquid
from splio.writer import convert

ATOMS = {"$firstname$": "a", '$lastname$ = "x"': "b", '$email$ LIKE "%x%"': "c", '$language$ NOT LIKE "%x%"': "d"}
"""Conditions, by the letter that stands for each in Python."""
conditions = st.recursive(
    st.sampled_from(sorted(ATOMS.items())),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda made: (f"{made[0][0]} {made[1]} {made[2][0]}", f"{made[0][1]} {made[1].lower()} {made[2][1]}")
        ),
        inner.map(lambda made: (f"({made[0]})", f"({made[1]})")),
        inner.map(lambda made: (f"NOT ({made[0]})", f"(not ({made[1]}))")),
    ),
    max_leaves=8,
)
EVERY = list(product([True, False], repeat=4))


def contact(a: bool, b: bool, c: bool, d: bool) -> dict[str, Any]:
    return {"firstname": "x" * a, "lastname": "x" * b, "email": "axb" * c, "language": "fr" if d else "x"}


@given(conditions)
@settings(max_examples=60)
def test_a_condition_means_what_it_meant(made: tuple[str, str]) -> None:
    old, python = made
    converted = convert(f"{{SPLIO IF {old}}}yes{{SPLIO ELSE}}no{{SPLIO ENDIF}}")
    assert converted.unconverted == ()
    meant: Callable[..., bool] = eval(f"lambda a, b, c, d: bool({python})")
    for values in EVERY:
        text = liquid.render_text(converted.text, {"contact": contact(*values)})
        assert text == ("yes" if meant(*values) else "no"), (converted.text, values)


@pytest.mark.parametrize(
    ("old", "value", "holds"),
    [
        ("$c1$ > 9", "12", True), ("$c1$ > 9", 12, True), ("$c1$ > 9", "2", False), ("$c1$ > 9", None, False),
        ("$c1$ > 9", "n/a", False), ("$c1$ < 9.5", "9", True), ("$c1$ = 1", True, True), ("$c1$ = 1", "1", True),
        ("$c1$ = 1", 1, True), ("$c1$ = 1", 2, False), ("$c1$ != 0", False, False), ("$c1$ != 0", True, True),
        ("$c1$ = ''", None, True), ("$c1$ = ''", "", True), ("$c1$ != ''", "x", True), ("$c1$ = 0042", 42, False),
        ("$c1$ = 0042", "0042", True), ('$c1$ > "2024-05-01"', "2024-06-01", True),
        ('$c1$ LIKE "Par%"', "Paris", True), ('$c1$ LIKE "Par%"', None, False), ('$c1$ LIKE "%is"', "Paris", True),
        ('$c1$ LIKE "%Paris"', "is", False), ('$c1$ LIKE "%2%"', 123, True), ('$c1$ LIKE "12"', 12, True),
        ("$c1$ > $c2$", "3", True), ("NOT $c1$ > 9", "2", True), ("$c1$", False, False), ("$c1$", 0, True),
    ],
)  # fmt: skip
def test_custom_fields_compare_whatever_their_type(old: str, value: Any, holds: bool) -> None:
    made = convert(f"{{SPLIO IF {old}}}yes{{SPLIO ENDIF}}")
    assert made.unconverted == ()
    data = {"contact": {"custom": {"c1": value, "c2": 2}}}
    assert (liquid.render_text(made.text, data) == "yes") is holds


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ("($firstname$", "a parenthesis is not closed"),
        ("(" * 30 + "$firstname$" + ")" * 30, "the condition is nested more than 20 levels deep"),
        ("'a' = 'b'", "a condition compares a variable with a value"),
        ("'a' LIKE $email$", "a variable stands before LIKE, and a text after it"),
        ("$email$ LIKE $email$", "LIKE is followed by a text"),
        ("$store.online$ > 1", "'order.store.online' is true or false, and these have no order"),
        ("$email$ = “a'b\"c”", "both kinds of quotes"),
        ("$email$ & 1", "'&' is not supported in a condition"),
        ("$email$ = AND", "a variable, a text or a number is missing before 'AND'"),
    ],
)
def test_what_is_no_condition_is_said_to_be_none(old: str, why: str) -> None:
    made = convert(f"{{SPLIO IF {old}}}a{{SPLIO ENDIF}}")
    assert len(made.unconverted) == 1
    assert why in made.unconverted[0].message
