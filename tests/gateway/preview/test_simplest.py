"""Entries that fail, without what their failing does not need."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.preview.trial import simplest

ENTRY: dict[str, Any] = {
    "scenario": "a",
    "contact": {"id": 1, "firstname": "aaaa'bbbb", "custom": {"x": [1, 2, {"y": "z"}]}, "lists": [{"id": 3}]},
    "trigger": {"type": "order", "order": {"products": [{"name": "plain"}, {"name": 'with "quotes"'}]}},
}


def names(entry: dict[str, Any]) -> list[str]:
    return [row["name"] for row in entry["trigger"].get("order", {}).get("products", ()) if "name" in row]


BARE: dict[str, Any] = {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "order"}}


def anyhow(entry: dict[str, Any]) -> bool:
    return bool(entry)


def quoted(entry: dict[str, Any]) -> bool:
    return "'" in entry["contact"].get("firstname", "")


def listed(entry: dict[str, Any]) -> bool:
    return any('"' in name for name in names(entry))


def named(entry: dict[str, Any]) -> bool:
    return bool(names(entry))


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (anyhow, BARE),
        (quoted, {**BARE, "contact": {"id": 1, "firstname": "'"}}),
        (listed, {**BARE, "trigger": {"type": "order", "order": {"products": [{"name": '"'}]}}}),
        (named, {**BARE, "trigger": {"type": "order", "order": {"products": [{"name": "x"}]}}}),
    ],
)
def test_what_is_not_needed_is_left_out(fails: Callable[[dict[str, Any]], bool], expected: dict[str, Any]) -> None:
    assert simplest(ENTRY, fails, 400) == expected


def test_the_search_has_an_end() -> None:
    looked: list[dict[str, Any]] = []

    def fails(entry: dict[str, Any]) -> bool:
        looked.append(entry)
        return False

    assert simplest(ENTRY, fails, 5) == ENTRY
    assert len(looked) <= 7
