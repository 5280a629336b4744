"""The check of a scenario file: every mistake, before it is published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from scenario.check.files import inline_files
from scenario.check.hours import check_hours
from scenario.check.rules import check_rules
from scenario.check.structure import check_structure
from scenario.check.templates import check_templates, check_unsubscribing
from scenario.check.ways import ways
from scenario.check.webhooks import check_destinations
from scenario.entry.entry import is_too_large
from scenario.extensions import CHECKS, load_extensions
from scenario.http.destinations import KnownDestinations
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from scenario.policies.hours import QuietHours
from scenario.source.findings import Finding
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.type_guards import is_list, is_mapping


@dataclass(frozen=True, slots=True)
class CheckedScenario:
    """All findings, in the order of the file, and the scenario with its files inlined if no finding is an error."""

    findings: tuple[Finding, ...]
    scenario: Scenario | None


def check(
    text: str | bytes,
    *,
    read: Callable[[str], str] | None = None,
    file: str = "scenario.yaml",
    destinations: KnownDestinations | None = None,
    now: datetime | None = None,
    quiet_hours: Sequence[QuietHours] = (),
) -> CheckedScenario:
    """Check a scenario file.

    Args:
        text: The file's content.
        read: Returns the text of a file that the scenario refers to, by its path relative to the scenario file. Raises
            OSError or UnicodeDecodeError if it cannot be read. Without it, a reference is a mistake.
        file: The file's name in findings.
        destinations: Known destinations. If None, any name is accepted, and secrets may go anywhere.
        now: The time, with a zone, for warnings about past dates. None turns these off.
    """
    source = Source(text, file)
    report = Report(source)
    if source.data is None:
        return CheckedScenario(report.findings, None)
    data = check_structure(source, report)
    if not is_mapping(data):
        return CheckedScenario(report.findings, None)
    data = inline_files(data, read, report)
    if _size(data) > LARGEST:
        message = f"with its aliases and files in place the scenario is larger than {LARGEST // 2**20} MB: split it"
        report.add((), "too-large", message)
        return CheckedScenario(report.findings, None)
    known = ways(data)
    check_rules(data, known, report, now)
    check_hours(data, destinations, report, quiet_hours)
    if destinations is not None:
        check_destinations(data, destinations, report)
    check_templates(data, known, report, destinations)
    check_unsubscribing(data, report)
    for check_further in load_extensions(CHECKS).values():
        check_further(data, report)
    if report.has_errors:
        return CheckedScenario(report.findings, None)
    made = Scenario.model_validate(data, by_alias=True, by_name=False)
    check_plan(made, report)
    return CheckedScenario(report.findings, None if report.has_errors else made)


LARGEST: Final = 8 * 2**20
"""Maximum number of characters of a scenario as JSON."""


def check_plan(made: Scenario, report: Report) -> None:
    """Report a scenario whose plan is too large for a journey."""
    if is_too_large(dump_plan(compile_plan(made)), LARGEST_PLAN):
        remedy = "split the scenario, shorten its conditions, or name less in its templates"
        size = f"{LARGEST_PLAN // 1000:,} KB"
        report.add((), "too-large", f"what each journey has to carry is larger than {size}: {remedy}")


def _size(data: Any) -> int:
    """Return the approximate number of characters of the data as JSON, without creating the JSON."""
    if isinstance(data, str):
        return len(data) + 3
    if is_mapping(data):
        return 2 + sum(len(key) + 4 + _size(value) for key, value in data.items())
    if is_list(data):
        return 2 + sum(1 + _size(item) for item in data)
    return len(str(data))
