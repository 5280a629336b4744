"""The plan without repetitions, as a journey's history holds it.

Fields are listed once for all steps. A successor that is the next step is left out, and so is the first step's name. A
store may return steps in another order; the plan is then the same, only longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any


def shorten(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan without repetitions.

    Args:
        plan: From `scenario.plan.plan.dump_plan`.
    """
    numbers: dict[tuple[str, tuple[str, ...] | None], int] = {}
    steps: dict[str, dict[str, Any]] = {}
    for (name, row), following in zip_longest(plan["steps"].items(), list(plan["steps"])[1:]):
        short = steps[name] = dict(row)
        if short.setdefault("next", None) == following:
            del short["next"]
        if "fields" in short:
            items = {path: tuple(names) for path, names in short.pop("item_fields", {}).items()}
            named = [(path, items.get(path)) for path in short["fields"]]
            short["fields"] = [numbers.setdefault(one, len(numbers)) for one in named]
    short = {**plan, "steps": steps}
    if short["start"] == next(iter(steps)):
        del short["start"]
    if numbers:
        short["fields"] = [path if names is None else [path, *names] for path, names in numbers]
    return short


def restore(short: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan that `shorten` was given."""
    plan: dict[str, Any] = {"start": next(iter(short["steps"])), **short}
    known: list[tuple[str, list[str] | None]] = [
        (one, None) if isinstance(one, str) else (one[0], one[1:]) for one in plan.pop("fields", ())
    ]
    plan["steps"] = steps = dict[str, dict[str, Any]]()
    for (name, row), following in zip_longest(short["steps"].items(), list(short["steps"])[1:]):
        whole: dict[str, Any] = {"next": following, **row}
        steps[name] = whole
        if whole["next"] is None:
            del whole["next"]
        if "fields" in whole:
            numbers: list[int] = whole["fields"]
            named = [known[number] for number in numbers]
            whole["fields"] = [path for path, _ in named]
            if items := {path: names for path, names in named if names is not None}:
                whole["item_fields"] = items
    return plan
