"""How large a scenario may be: repeated values and files that are used often make a large one of a small file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from scenario.entry.entry import is_too_large
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from scenario.source.report import Report

LARGEST: Final = 8 * 2**20
"""Characters of a scenario as JSON."""


def is_storable(data: Any, report: Report) -> bool:
    """Whether a scenario is small enough for more to be done with it; one that is not is reported.

    Args:
        data: The scenario as it was written, with the texts of other files in place.
        report: Takes the finding.
    """
    if _size(data) <= LARGEST:
        return True
    message = f"with its aliases and files in place the scenario is larger than {LARGEST // 2**20} MB: split it"
    report.add((), "too-large", message)
    return False


def check_plan(made: Scenario, report: Report) -> None:
    """Reports a scenario whose plan no journey could carry.

    Args:
        made: The scenario.
        report: Takes the finding.
    """
    if is_too_large(dump_plan(compile_plan(made)), LARGEST_PLAN):
        message = (
            f"what each journey has to carry is larger than {LARGEST_PLAN // 1000:,} KB: split the scenario, shorten "
            "its conditions, or name less in its templates"
        )
        report.add((), "too-large", message)


def _size(data: Any) -> int:
    """About as many characters as the data has as JSON. No JSON is made: it might not find room."""
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
