"""What a scenario may not do although its keys and values are right."""

from __future__ import annotations

from typing import Any

from scenario.outline import outline
from scenario.report import Report


def check_rules(data: Any, report: Report) -> None:
    """Reports steps of the same id."""
    seen: dict[str, int] = {}
    for step in outline(data):
        if step.id is None:
            continue
        if step.id in seen:
            report.add(step.path, "duplicate-id", f"two steps are called '{step.id}': give each a name of its own")
        seen.setdefault(step.id, 1)
