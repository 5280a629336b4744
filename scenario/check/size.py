"""Limits on the size of a scenario: aliases and files can make a small file large."""

from __future__ import annotations

from typing import Any, Final

from scenario.entry.entry import is_too_large
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from scenario.source.report import Report
from scenario.type_guards import is_list, is_mapping

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
    if isinstance(data, str):
        return len(data) + 3
    if is_mapping(data):
        return 2 + sum(len(key) + 4 + _size(value) for key, value in data.items())
    if is_list(data):
        return 2 + sum(1 + _size(item) for item in data)
    return len(str(data))
