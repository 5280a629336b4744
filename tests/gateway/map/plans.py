"""Plans of any shape, for maps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from hypothesis import strategies as st

from gateway.preview.draft import draft
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan, dump_plan, load_plan

LONG: Final = "contact.custom.loyalty_programme_of_the_flagship_store != blank and order.total_price > 1000"
LONGEST_NAME: Final = f"x-{'antidisestablishmentarianism-' * 2}y"


@cache
def example(path: Path) -> Plan:
    """The plan of an example."""
    made, findings = draft(path)
    assert made is not None, findings
    return made.plan


def plan_of(steps: list[dict[str, Any]], **keys: Any) -> Plan:
    """The plan of a scenario with these steps, as a store would give it."""
    given = {"scenario": "a", "trigger": "order", "steps": steps, **keys}
    made = Scenario.model_validate(given, by_alias=True, by_name=False)
    return load_plan(dump_plan(compile_plan(made)))


def _leaves() -> st.SearchStrategy[dict[str, Any]]:
    names = st.integers(0, 10**9)
    return st.one_of(
        st.just({"wait": "1d"}),
        st.just({"exit": "the order was sent back, and the money with it, long before the parcel had arrived there"}),
        st.just({"wait": {"until": "{{ reward.expiration_date }}", "offset": "-3d"}}),
        names.map(lambda number: {"sms": f"{LONGEST_NAME}-{number}", "text": "t"}),
        names.map(lambda number: {"webhook": f"n-{number}", "url": "https://hooks.a-very-long-host.example.com/"}),
        st.just({"wait_for": "a"}),
    )


def _forks(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    full = st.lists(inner, min_size=1, max_size=4)
    branch = full | st.just([])
    cases = st.dictionaries(
        st.sampled_from(("fr", "de", "a" * 99, "日本語の長い値です", "<b>", "10")), branch, min_size=1
    )
    return st.one_of(
        st.tuples(full, branch).map(lambda pair: {"if": LONG, "then": pair[0], "else": pair[1]}),
        st.tuples(branch, branch).map(lambda pair: {"wait_for": "b", "for": "1d", "then": pair[0], "else": pair[1]}),
        st.tuples(branch, branch).map(
            lambda pair: {
                "wait_for": {"order.delivered": {"then": pair[0]}, "order.lost": {}},
                "for": "9d",
                "else": pair[1],
            }
        ),
        st.tuples(branch, branch).map(
            lambda pair: {"split": {"a": 50, "b": 45, "none": 5}, "branches": {"a": pair[0], "b": pair[1]}}
        ),
        st.tuples(cases, branch).map(lambda pair: {"switch": "contact.language", "cases": pair[0], "else": pair[1]}),
        full.map(lambda steps: {"repeat": {"every": "7d", "times": 8, "until": "order.a"}, "steps": steps}),
    )


STEPS: Final = st.lists(st.recursive(_leaves(), _forks, max_leaves=25), min_size=1, max_size=6)


def names_in(steps: list[dict[str, Any]]) -> list[str]:
    """The names that steps were given, those of steps in them included."""
    found: list[str] = []
    for step in steps:
        found += [step[kind] for kind in ("sms", "webhook") if kind in step]
        for value in step.values():
            for inner in _lists(value):
                found += names_in(inner)
    return found


def _lists(value: Any) -> list[list[dict[str, Any]]]:
    if isinstance(value, list):
        steps = cast("list[Any]", value)
        return [steps] if steps and isinstance(steps[0], dict) else []
    inside = cast("dict[str, Any]", value).values() if isinstance(value, dict) else ()
    return [found for inner in inside for found in _lists(inner)]


def many(count: int) -> Plan:
    """A plan of so many steps, with forks in forks."""
    chance, left = Random(0), [count]

    def steps(depth: int, most: int) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        while left[0] > 0 and len(made) < most:
            number = left[0]
            left[0] -= 1
            made.append(_one(chance, f"step-{number}", depth, steps))
        return made or [{"wait": "1h"}]

    return plan_of(steps(0, count))


def _one(chance: Random, name: str, depth: int, steps: Any) -> dict[str, Any]:
    if depth >= 5 or chance.random() < 0.65:
        return chance.choice(
            [
                {"email": name, "subject": "s", "text": "t"},
                {"wait": "2d", "id": name},
                {"webhook": name, "to": "crm", "path": "/"},
            ]
        )

    def inner() -> list[dict[str, Any]]:
        return steps(depth + 1, chance.randint(1, 4))

    match chance.randint(0, 4):
        case 0:
            return {"if": "order.total_price > 20", "id": name, "then": inner(), "else": inner()}
        case 1:
            return {"wait_for": "order.delivered", "id": name, "for": "7d", "then": [], "else": inner()}
        case 2:
            return {"split": {"a": 50, "b": 45, "none": 5}, "id": name, "branches": {"a": inner(), "b": inner()}}
        case 3:
            cases = {"fr": inner(), "de": inner(), "it": inner()}
            return {"switch": "contact.language", "id": name, "cases": cases, "else": inner()}
        case _:
            return {"repeat": {"every": "1w", "times": 4, "until": "order.paid"}, "id": name, "steps": inner()}
