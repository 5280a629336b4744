"""Blocks are found again in the flat table of a plan."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.map.outline import Block, OutlineItem, outline
from scenario.plan.plan import load_plan, restore
from tests.gateway.map.plans import many, plan_of, plan_of_jumps

HISTORIES = Path(__file__).parents[2] / "replay" / "histories"


def wait(name: str) -> dict[str, Any]:
    return {"wait": "1d", "id": name}


def drawn(block: Block) -> list[Any]:
    """A block in brief: names, and by each way the steps on it."""
    found: list[Any] = [_item(item) for item in block.items]
    if block.jump is not None:
        found.append(f"→ {block.jump.to}")
    return found


def _item(item: OutlineItem) -> Any:
    branches = (*item.branches, *((item.round,) if item.round else ()))
    inside = {branch.way.key: drawn(branch.block) for branch in branches}
    return {item.step.id: inside} if inside else item.step.id


def fork(
    then: list[dict[str, Any]], otherwise: list[dict[str, Any]] | None = None, name: str = "fork"
) -> dict[str, Any]:
    return {"if": "order.a", "id": name, "then": then, **({} if otherwise is None else {"else": otherwise})}


OUT, X, Y = ({"exit": "done", "id": name} for name in ("out", "x", "y"))
INNER = fork([wait("b")], [wait("c")], "inner")
ROUNDS = {"repeat": {"every": "7d", "times": 3}, "id": "poll", "steps": [fork([wait("a")], [OUT]), wait("b")]}
BLOCKS: dict[str, tuple[list[dict[str, Any]], list[Any]]] = {
    "branches end where they come together": (
        [fork([wait("a"), INNER], [wait("d")]), wait("last")],
        [{"fork": {"then": ["a", {"inner": {"then": ["b"], "else": ["c"]}}], "else": ["d"]}}, "last"],
    ),
    "an empty branch leads on": ([fork([wait("a")]), wait("b")], [{"fork": {"then": ["a"], "else": []}}, "b"]),
    "the one way that goes on is no branch": (
        [fork([OUT], [wait("a")]), wait("b")], [{"fork": {"then": ["out"], "else": []}}, "a", "b"],
    ),
    "nor is the last of those that end": ([fork([X], [Y])], [{"fork": {"then": ["x"], "else": []}}, "y"]),
    "the steps of a round lead back": (
        [ROUNDS, wait("last")], [{"poll": {"round": [{"fork": {"then": [], "else": ["out"]}}, "a", "b"]}}, "last"],
    ),
    "a way that nobody goes by itself is none": (
        [{"wait_for": "order.paid", "id": "paid", "then": [wait("a")]}, wait("b")], ["paid", "a", "b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_found_in_a_table(name: str):
    steps, expected = BLOCKS[name]
    assert drawn(outline(plan_of(steps)).course) == expected


def test_what_stands_behind_an_exit_stands_aside_and_a_plan_that_no_file_makes_is_read_too():
    read = outline(plan_of([wait("a"), OUT, wait("b"), wait("c")]))
    assert (drawn(read.course), [drawn(block) for block in read.aside]) == (["a", "out"], [["b", "c"]])
    read = outline(plan_of_jumps())
    assert {step.id for step in read.steps} == {"a", "b", "c", "d"}
    assert drawn(read.course) == [{"a": {"then": ["b", "→ a"], "else": []}}, "c", "→ gone"]


def test_the_labels_are_what_people_read_at_each_way():
    steps = plan_of(
        [
            {"wait_for": {"order.paid": {}, "order.lost": {}}, "for": "7d"},
            {"wait_for": "order.sent", "for": "36h"},
            {"split": {"a": 50, "b": 49.5, "none": 0.5}},
            {"switch": "contact.language", "cases": {"fr": [], "de": []}},
            {"repeat": {"every": "7d", "times": 3}, "steps": [wait("a")]},
        ]
    )
    labels = {step.id: [way.label for way in step.ways] for step in outline(steps).steps}
    assert labels == {
        "wait_for-1": ["order.paid", "order.lost", "after 7d"],
        "wait_for-2": ["it comes", "after 1d12h"],
        "split-3": ["a: 50 %", "b: 49.5 %", "none: 0.5 %"],
        "switch-4": ["fr", "de", "else"],
        "repeat-5": ["each round", "over"],
        "a": [""],
    }


def test_what_is_too_long_for_a_few_words_is_a_detail_and_what_holds_everywhere_is_said_once():
    steps: list[dict[str, Any]] = [
        {"wait": {"until": "{{ order.due }}", "offset": "-3d"}},
        {"wait": {"until": "2026-12-24T09:00", "offset": "1d"}},
        {"wait_for": "order.paid", "if": "event.id ==\n order.id"},
        {"if": "order.a", "then": [{"exit": "it is over"}]},
    ]
    rules = [{"event": "order.returned", "if": "event.a ==\n  order.b"}, {"event": "contact.left"}]
    read = outline(plan_of(steps, exit=rules, goal={"event": "order.placed", "within": "14d"}))
    assert [(step.what, step.detail) for step in read.steps] == [
        ("wait until a date", "3d before {{ order.due }}"),
        ("wait until 1d after 2026-12-24 09:00", ""),
        ("wait for order.paid", "event.id == order.id"),
        ("if order.a", ""),
        ("exit", "it is over"),
    ]
    assert read.notes == (
        "leaves on order.returned if event.a == order.b",
        "leaves on contact.left",
        "goal: order.placed within 14d",
    )


@pytest.mark.parametrize("seed", range(12))
def test_each_step_stands_in_an_outline_once(seed: int):
    plan = many(20, seed)
    read = outline(plan)
    ids = [step.id for step in read.steps]
    assert len(ids) == len(set(ids)) == len(plan.steps)
    assert not jumps(read.course)  # what is written as lists in lists can be read as such


def jumps(block: Block) -> bool:
    branches = [branch for item in block.items for branch in (*item.branches, *((item.round,) if item.round else ()))]
    return block.jump is not None or any(jumps(branch.block) for branch in branches)


def plans_in(value: Any) -> Iterator[dict[str, Any]]:
    """The plans in a saved history, wherever one is."""
    if isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from plans_in(inner)
    elif isinstance(value, dict):
        keys = cast("dict[str, Any]", value)
        if isinstance(steps := keys.get("steps"), dict) and steps:
            yield keys if "start" in keys and "fields" not in keys else restore(keys)
        for key, inner in keys.items():
            if key == "data" and isinstance(inner, str) and (content := base64.b64decode(inner)).startswith(b"{"):
                yield from plans_in(json.loads(content))
            else:
                yield from plans_in(inner)


def test_the_plans_of_all_histories_are_read():
    plans = {
        json.dumps(plan, sort_keys=True): load_plan(plan)
        for path in HISTORIES.glob("*.json")
        for plan in plans_in(json.loads(path.read_text("utf-8")))
    }
    assert len(plans) > 10
    for plan in plans.values():
        read = outline(plan)
        assert sorted(step.id for step in read.steps) == sorted(plan.steps)
        assert not any(jumps(block) for block in (read.course, *read.aside))
