# ruff: noqa: E501 - a case is a line
"""What a step is handed of a list's items."""

from typing import Any

import pytest

from scenario.plan.inputs import narrowed, pick

LINES: list[Any] = [
    {"name": "a", "brand": {"label": "A", "x": 1}, "options": [{"label": "o", "x": 2}, "text", [{"label": 1}]], "x": 3},
    {"brand": None, "options": {"label": "no list"}},
    {"brand": "A", "options": None},
    "text",
    None,
    [{"name": "b", "x": 1}],
]


CASES: list[tuple[tuple[str, ...], list[Any]]] = [
    ((), [{}, {}, {}]),
    (("name",), [{"name": "a"}, {}, {}]),
    (("brand.label",), [{"brand": {"label": "A"}}, {"brand": None}, {"brand": "A"}]),
    (("brand",), [{"brand": {"label": "A", "x": 1}}, {"brand": None}, {"brand": "A"}]),
    (("options[].label",), [{"options": [{"label": "o"}, "text", [{"label": 1}]]}, {"options": {"label": "no list"}}, {"options": None}]),
    (("options[]",), [{"options": [{}, "text", [{"label": 1}]]}, {"options": {"label": "no list"}}, {"options": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("names", "made"), CASES)
def test_an_object_keeps_the_fields_that_are_named_and_all_else_stays(names: tuple[str, ...], made: list[Any]) -> None:
    assert narrowed(LINES, names) == [*made, *LINES[3:]]


def test_there_are_as_many_items_as_there_were_in_their_order_and_the_data_are_left_alone() -> None:
    lines = [{"n": number, "x": 0} for number in range(50)]
    assert pick({"o": {"l": lines}}, ("o.l",), {"o.l": ("n",)}) == {"o": {"l": [{"n": number} for number in range(50)]}}
    assert lines[0] == {"n": 0, "x": 0}


@pytest.mark.parametrize("value", [{"name": "a", "x": 1}, "text", None, 7])
def test_what_turns_out_to_be_no_list_goes_along_whole(value: Any) -> None:
    assert pick({"o": {"l": value}}, ("o.l",), {"o.l": ("name",)}) == {"o": {"l": value}}


def test_a_list_on_the_way_to_a_field_goes_along_whole() -> None:
    assert pick({"o": {"l": LINES}}, ("o.l.name",), {"o.l": ("name",)}) == {"o": {"l": LINES}}


def test_without_a_word_on_items_a_plan_means_what_it_always_did() -> None:
    data = {"o": {"l": LINES, "l[]": [{"name": "literal", "x": 1}], "x": 1}}
    assert pick(data, ("o.l", "o.l[]", "o.l[].name")) == {"o": {"l": LINES, "l[]": [{"name": "literal", "x": 1}]}}
