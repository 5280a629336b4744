"""The check of a scenario file: every mistake, before it is published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scenario.check.files import inline_files
from scenario.check.hours import check_hours
from scenario.check.rules import check_rules
from scenario.check.size import check_plan, is_storable
from scenario.check.structure import check_structure
from scenario.check.templates import check_templates
from scenario.check.unsubscribing import check_unsubscribing
from scenario.check.ways import ways
from scenario.check.webhooks import check_destinations
from scenario.extensions import CHECKS, load_extensions
from scenario.http.destinations import Listing
from scenario.model import scenario
from scenario.policies.hours import QuietHours
from scenario.source.findings import Finding
from scenario.source.report import Report
from scenario.source.source import Source


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a scenario file.

    Attributes:
        findings: All findings, in the order of the file.
        scenario: The scenario with its files inlined, or None if a finding is an error.
    """

    findings: tuple[Finding, ...]
    scenario: scenario.Scenario | None


def check(
    text: str | bytes,
    *,
    read: Callable[[str], str] | None = None,
    file: str = "scenario.yaml",
    destinations: Listing | None = None,
    now: datetime | None = None,
    quiet_hours: Sequence[QuietHours] = (),
) -> Checked:
    """Check a scenario file.

    Args:
        text: The file's content.
        read: Returns the text of a file that the scenario refers to, by its path relative to the scenario file. Raises
            OSError or UnicodeDecodeError if it cannot be read. Without it, a reference is a mistake.
        file: The file's name in findings.
        destinations: Known destinations. If None, any name is accepted, and secrets may go anywhere.
        now: The time, with a zone, for warnings about past dates. None turns these off.
        quiet_hours: Quiet hours of all scenarios.
    """
    source = Source(text, file)
    report = Report(source)
    if source.data is None:
        return Checked(report.findings, None)
    data = check_structure(source, report)
    data = inline_files(data, read, report)
    if not is_storable(data, report):
        return Checked(report.findings, None)
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
        return Checked(report.findings, None)
    made = scenario.Scenario.model_validate(data, by_alias=True, by_name=False)
    check_plan(made, report)
    return Checked(report.findings, None if report.has_errors else made)
