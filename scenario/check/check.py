"""The check of a scenario file: every mistake, before it is published.

References to files are replaced by their texts first: ``html: {file: mails/thank-you.html}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from scenario.check.links import check_links
from scenario.check.rules import check_hours, check_rules
from scenario.check.structure import check_structure
from scenario.check.templates import check_templates, check_unsubscribing
from scenario.check.variables import ways
from scenario.check.webhooks import check_destinations
from scenario.entry.entry import is_too_large
from scenario.errors import ScenarioError
from scenario.extensions import CHECKS, load_extensions
from scenario.http.destinations import KnownDestinations
from scenario.model.scenario import Scenario, outline
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from scenario.policies.policies import Policies
from scenario.source.findings import Finding, clip
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.type_guards import Path, is_list, is_mapping, with_value


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
    policies: Policies | None = None,
) -> CheckedScenario:
    """Check a scenario file.

    Args:
        text: The file's content.
        read: Returns the text of a file that the scenario refers to, by its path relative to the scenario file. Raises
            OSError or UnicodeDecodeError if it cannot be read. Without it, a reference is a mistake.
        file: The file's name in findings.
        destinations: Known destinations. If None, any name is accepted, and secrets may go anywhere.
        now: The time, with a zone, for warnings about past dates. None turns these off.
        policies: The rules for all scenarios, if they are known.
    """
    source = Source(text, file)
    report = Report(source)
    data = None if source.data is None else check_structure(source, report)
    if not is_mapping(data):
        return CheckedScenario(report.findings, None)
    data = inline_files(data, read, report)
    if _size(data) > LARGEST:
        message = f"with its aliases and files in place the scenario is larger than {LARGEST // 2**20} MB: split it"
        report.add((), "too-large", message)
        return CheckedScenario(report.findings, None)
    known = ways(data)
    check_rules(data, known, report, now)
    check_hours(data, destinations, report, policies or Policies())
    if destinations is not None:
        check_destinations(data, destinations, report)
    check_templates(data, known, report, destinations)
    check_unsubscribing(data, report)
    check_links(data, report)
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


MAX_TEXT: Final = 512 * 1024
"""Maximum length of a file's text, in characters."""
_FILE: Final = re.compile(r"[\w./-]+\.(?:html?|txt|liquid|json|mjml|md)")


def inline_files(data: Any, read: Callable[[str], str] | None, report: Report) -> Any:
    """Return the data of a scenario with the texts of files in place of all references that can be read."""
    texts: dict[Path, str] = {}
    # Once for all steps that refer to a file: their texts are one in memory, however many they are.
    read = cache(read) if read is not None else None
    for step in outline(data):
        for key in step.model.texts:
            reference = step.keys.get(key)
            path = (*step.path, key)
            if isinstance(reference, str) and _FILE.fullmatch(reference):
                message = f"this would be sent as it stands: write {{file: {reference}}} for the text of that file"
                report.add(path, "file", message, severity="warning")
            name = reference.get("file") if is_mapping(reference) and set(reference) == {"file"} else None
            if isinstance(name, str) and name:
                try:
                    texts[path] = _read(name, read)
                except ScenarioError as error:
                    report.add((*path, "file"), "file", str(error))
                else:
                    report.inlined(path, name, texts[path])
    for path, text in texts.items():
        data = with_value(data, path, text)
    return data


def _read(name: str, read: Callable[[str], str] | None) -> str:
    """Return the text of a file. Raise ScenarioError if it cannot be used."""
    shown = clip(name, 100)
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        raise ScenarioError(f"'{shown}' leaves the scenario's folder: keep the file beneath it")
    if "\0" in name:
        raise ScenarioError("a file's name cannot contain U+0000")
    if read is None:
        raise ScenarioError(f"'{shown}' cannot be read here: put the text itself in the scenario")
    try:
        text = read(name)
    except UnicodeDecodeError:
        raise ScenarioError(f"'{shown}' is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise ScenarioError(f"'{shown}' cannot be read: {(error.strerror or 'no such file').lower()}") from None
    if len(text) > MAX_TEXT:
        raise ScenarioError(f"'{shown}' is longer than {MAX_TEXT // 1024} KB")
    if not text.strip():
        raise ScenarioError(f"'{shown}' is empty")
    return text
