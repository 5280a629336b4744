"""Everything wrong with a scenario, before it is published."""

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
    """What came of checking a scenario file.

    Attributes:
        findings: All that is wrong with it, in the order of the file.
        scenario: The scenario, its files inlined; None where a finding is an error.
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
    """Checks a scenario file: every mistake in it, at its line and column.

    Args:
        text: The file's content.
        read: Gives the text of a file that the scenario refers to, by its path relative to the scenario file; raises
            OSError or UnicodeDecodeError where there is none. Paths that leave the folder never get here. Without it,
            a reference is a mistake.
        file: How findings name the file.
        destinations: Those that exist; None where they are not known: then any will do, and any secret may go anywhere.
        now: The time, aware: a moment before it is worth a warning. None: no moment is.
        quiet_hours: Those of all scenarios.
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
