"""Limits on the size of a scenario: aliases and files can make a small file large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from scenario.entry.entry import is_too_large
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from scenario.source.report import Report

LARGEST: Final = 8 * 2**20
"""Maximum number of characters of a scenario as JSON."""


def is_storable(data: Any, report: Report) -> bool:
    """Report a scenario that is too large. Return True if it is small enough for further checks.

    Args:
        data: The scenario as written, with texts of files in place.
        report: Receives the finding.
    """
    if _size(data) <= LARGEST:
        return True
    message = f"with its aliases and files in place the scenario is larger than {LARGEST // 2**20} MB: split it"
    report.add((), "too-large", message)
    return False


def check_plan(made: Scenario, report: Report) -> None:
    """Report a scenario whose plan is too large for a journey."""
    if is_too_large(dump_plan(compile_plan(made)), LARGEST_PLAN):
        message = (
            f"what each journey has to carry is larger than {LARGEST_PLAN // 1000:,} KB: split the scenario, shorten "
            "its conditions, or name less in its templates"
        )
        report.add((), "too-large", message)


def _size(data: Any) -> int:
    """Return the approximate number of characters of the data as JSON, without creating the JSON."""
    match data:
        case str():
            return len(data) + 3
        case Mapping():
            members = cast("Mapping[str, Any]", data).items()
            return 2 + sum(len(key) + 4 + _size(value) for key, value in members)
        case list():
            return 2 + sum(1 + _size(item) for item in cast("list[Any]", data))
        case _:
            return len(str(data))
