"""Which values a condition compares its data with."""

from typing import Any

import pytest

from scenario.liquid import find_compared_values

LINES = ("order", "products")
FEW = {(*LINES, "size"): [1, 2]}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("contact.language == 'fr'", {("contact", "language"): ["fr"]}),
        ("'fr' == contact.language or not contact.vip", {("contact", "language"): ["fr"], ("contact", "vip"): []}),
        ("order.total > 2", {("order", "total"): [1, 2, 3]}),
        ("contact.vip == true and contact.n == 1", {("contact", "vip"): [True], ("contact", "n"): [0, 1, 2]}),
        ("contact.email != blank", {("contact", "email"): [None]}),
        ("event.id == order.id", {("event", "id"): [], ("order", "id"): []}),
        ("order.products.first.category == 'a'", {**FEW, (*LINES, "category"): ["a"]}),
        ("order.products[0].category == 'a'", {**FEW, (*LINES, "category"): ["a"]}),
        ("order.products.size > 1", {(*LINES, "size"): [0, 1, 2]}),
        ("order.products | size > 2", {(*LINES, "size"): [1, 2, 3]}),
        ("order.products | map: 'sku' contains 'a'", {**FEW, (*LINES, "sku"): ["a"]}),
        ("order.products | has: 'sku', 'a'", {**FEW, (*LINES, "sku"): ["a"], LINES: []}),
        ("a | where: 'b', 'c' | sum: 'n' == 5", {("a", "size"): [1, 2], ("a", "b"): ["c"], ("a", "n"): [4, 5, 6]}),
        ("(order.total | minus: 3) == 2", {("order", "total"): [4, "4", 5, "5", 6, "6"]}),
        ("event.score | number == 9", {("event", "score"): [8, "8", 9, "9", 10, "10"]}),
        ("event.sku | downcase | slice: 0, 2 == 'ab'", {("event", "sku"): ["abx", "ABX"]}),
        ("a | append: 'b' == 'ab' or c | prepend: 'b' == 'ba' or d | strip == 'x'", {
            ("a",): ["a"], ("c",): ["a"], ("d",): ["x", " x "],
        }),
        ("a | plus: 2 == 5 or b | divided_by: 2 == 5", {
            ("a",): [2, "2", 3, "3", 4, "4"], ("b",): [8, "8", 10, "10", 12, "12"],
        }),
        ("event[event.key].x == 'a'", {("event",): ["a"]}),
    ],
)  # fmt: skip
def test_the_values_of_a_condition_are_told_by_place(condition: str, values: dict[Any, Any]) -> None:
    assert {
        place: found for place, found in find_compared_values(condition).items() if found or place in values
    } == values


def test_so_are_those_of_a_value() -> None:
    assert find_compared_values("{{ event.lines.first.sku | upcase }}", ["A", 1]) == {
        ("event", "lines", "size"): [1, 2],
        ("event", "lines", "sku"): ["A", "a", 1],
    }
