"""Reads case files and reports their mistakes with line and column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from activities.channel import adapter
from authoring.cases import model
from authoring.cases.model import Case, CaseFile
from authoring.errors import BadInput
from authoring.preview.draft import Draft, draft
from authoring.publishing import CASES, read_source
from scenario.model.mistakes import empty, tell
from scenario.policies.policies import Policies
from scenario.source.decoding import NotJson, TooDeep, read_json
from scenario.source.findings import Finding, clip, listed, near
from scenario.source.report import Report
from scenario.source.source import Path as Place
from scenario.source.source import Source
from scenario.source.yaml import MAX_NODES
from scenario.steps.delivery import Send
from scenario.steps.registry import suppressible_channels, suppression_sources
from scenario.type_guards import is_list, is_mapping, members

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations

_WORDS: Final[Mapping[str, str]] = {
    "empty": "the file is empty: begin with 'cases:'",
    "values": f"more than {MAX_NODES:,} values: spread the cases over several files",
    "single document": "there is content after '---': put all cases under one 'cases:'",
}
_JSON: Final = frozenset({"entry", "with", "body", "body_is", "properties", "contact"})
"""Keys whose values are JSON and may contain null."""


@dataclass(frozen=True)
class DefaultFiles:
    """Files that are used if a case file names none."""

    destinations: Path | None = None
    policies: Path | None = None


@dataclass(frozen=True)
class Cases:
    """A case file that can be run."""

    path: Path
    source: Source  # the places of its content
    file: CaseFile
    draft: Draft
    book: Destinations | None
    entries: Mapping[str, dict[str, Any]]
    policies: Policies
    beside: DefaultFiles


def case_files(path: Path) -> list[Path]:
    """Return the case files for a path: a case file, the one beside a scenario, or those in a folder.

    Raise BadInput if there is none.
    """
    if path.is_dir():
        found = sorted(path.rglob(f"*{CASES}"))
    elif path.name.endswith(CASES):
        return [path]
    else:
        found = [beside] if (beside := path.with_name(path.stem + CASES)).exists() else []
    if not found:
        what = f"no file in it ends in '{CASES}'" if path.is_dir() else f"write them in {path.stem}{CASES} beside it"
        raise BadInput(f"{path} has no cases: {what}")
    return found


def read(path: Path, beside: DefaultFiles = DefaultFiles()) -> tuple[Cases | None, tuple[Finding, ...]]:
    """Read a case file, its scenario and its entries; files `beside` are used if it names none.

    Return the cases, or None if there is a mistake, and all findings, including the scenario's. Raise BadInput if the
    file cannot be read, or UnusableFile if destinations or policies cannot.
    """
    return parsed(read_source(path), path, beside)


def parsed(
    text: str | bytes, path: Path, beside: DefaultFiles = DefaultFiles()
) -> tuple[Cases | None, tuple[Finding, ...]]:
    """Read the text of a case file; see `read`."""
    from activities.webhook.destinations.reading import read as read_destinations
    from runtime.watched_file import read_policies

    source = Source(text, str(path), _WORDS)
    report = Report(source)
    if source.data is None:
        return None, report.findings
    try:
        file = CaseFile.model_validate(source.data, by_alias=True, by_name=False)
    except ValidationError as error:
        tell(error, source.data, CaseFile, "a case file", report)
        return None, report.findings
    named = file.scenario or path.name.removesuffix(CASES) + ".yaml"
    try:
        destinations = _named(path, file.destinations, beside.destinations, "destinations")
        book = None if destinations is None else read_destinations(destinations)
        rules = _named(path, file.policies, beside.policies, "policies")
        policies = Policies() if rules is None else read_policies(rules)
        made, findings = draft(path.parent / named, book and book.listing, policies)
    except BadInput as error:
        report.add(("scenario",), "missing-file", str(error), key=True)
        return None, report.findings
    if made is None:
        return None, (*report.findings, *findings)
    _empty(source.data, (), report)
    found = {name: _entry(path, file, name, case, report) for name, case in file.cases.items()}
    entries = {name: entry for name, entry in found.items() if entry is not None}
    for name, case in file.cases.items():
        _check(made, ("cases", name), case, report)
    for step, answers in file.answers.items():
        _check_answers(made, ("answers", step), step, answers, report)
    if report.has_errors:
        return None, report.findings
    return Cases(path, source, file, made, book, entries, policies, beside), report.findings


def _named(path: Path, own: str | None, given: Path | None, what: str) -> Path | None:
    named = path.parent / own if own else given
    if named is None or named == Path():  # an empty variable is one not set
        return None
    if not named.is_file():
        raise BadInput(f"{named} cannot be read: name the {what}' file under '{what}'")
    return named


def _empty(data: Any, path: Place, report: Report) -> None:
    """Report keys without a value, unless JSON's null is meant."""
    if path and path[-1] in _JSON:
        return
    for key, value in members(data):
        if value is None and is_mapping(data) and key not in _JSON:
            report.add((*path, key), *empty(f"'{clip(str(key))}'"), key=True)
        _empty(value, (*path, key), report)


def _entry(path: Path, file: CaseFile, name: str, case: Case, report: Report) -> dict[str, Any] | None:
    given = file.entry if case.entry is None else case.entry
    place: Place = ("entry",) if case.entry is None else ("cases", name, "entry")
    if given is None:
        report.add(("cases", name), "missing", "'entry' is missing, here or at the top of the file", key=True)
        return None
    if not (case.at or file.at):
        report.add(("cases", name), "missing", "'at' is missing, here or at the top of the file", key=True)
    if isinstance(given, str):
        try:
            given = read_json((path.parent / given).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError):
            report.add(place, "missing-file", f"'{clip(given)}' cannot be read: give the path from this file's folder")
            return None
        except (NotJson, TooDeep):
            report.add(place, "entry", f"'{clip(given)}' is not an entry in JSON")
            return None
    if not isinstance(given, dict) or not given:
        report.add(place, "entry", "an entry is an object with 'scenario', 'contact' and 'trigger'")
        return None
    return patched(given, case.changed)


def patched(value: Any, patch: Any) -> Any:
    """Return JSON data with changes (RFC 7396). A list of custom fields is changed by their names."""
    if not is_mapping(patch):
        return patch
    if is_list(value):
        value = {field["name"]: field.get("value") for field in value if is_mapping(field) and "name" in field}
    made: dict[str, Any] = dict(value) if is_mapping(value) else {}
    for key, change in patch.items():
        if change is None:
            made.pop(key, None)
        else:
            made[key] = patched(made.get(key), change)
    return made


def _check(made: Draft, place: Place, case: Case, report: Report) -> None:
    rows = made.plan.steps
    for step, answers in case.answers.items():
        _check_answers(made, (*place, "answers", step), step, answers, report)
    for index, event in enumerate(case.events):
        if event.name not in made.plan.events:
            told = f"no step and no exit rule waits for '{event.name}'"
            _unknown((*place, "events", index, "name"), told, event.name, made.plan.events, report)
    for index, operation in enumerate(case.operations):
        if operation.verb in ("retry", "skip") and operation.says not in rows:
            _no_step((*place, "operations", index, operation.verb), operation.says, rows, report)
    for channel, source in case.suppressed.items():
        known = suppression_sources(channel)
        if not known:
            told = f"'{clip(channel)}' is not a channel that writes to addresses"
            _unknown((*place, "suppressed", channel), told, channel, suppressible_channels(), report, key=True)
        elif source not in known:
            told = f"'{clip(source)}' is not why an address of {channel} is suppressed"
            _unknown((*place, "suppressed", channel), told, source, known, report)
    expect = case.expect
    if expect is None:
        return
    for index, step in enumerate(expect.steps or ()):
        path = (*place, "expect", "steps", index, step.kind)
        if step.id not in rows:
            _no_step(path, step.id, rows, report)
        elif rows[step.id].kind != step.kind:
            kind = rows[step.id].kind
            report.add(path, "kind", f"step '{step.id}' is of the kind '{kind}': write '{kind}: {step.id}'", key=True)
    kinds = {row.kind for row in rows.values()}
    for index, name in enumerate(expect.never):
        if name not in rows and name not in kinds:
            told = f"the scenario has no step and no kind of step '{clip(name)}'"
            _unknown((*place, "expect", "never", index), told, name, {*rows, *kinds}, report)


def _check_answers(made: Draft, place: Place, step: str, answers: list[model.ScriptedAnswer], report: Report) -> None:
    row = made.plan.steps.get(step)
    if not isinstance(row, Send):
        sending = [name for name, row in made.plan.steps.items() if isinstance(row, Send)]
        _no_step(place, step, sending, report, key=True)
        return
    for index, answer in enumerate(answers):
        words = adapter(row.channel).errors
        if answer.error is not None and answer.error not in words:
            told = f"'{clip(answer.error)}' is not an error of the channel {row.channel}"
            guess = near(answer.error, words)
            hint = f"did you mean '{guess}'?" if guess else f"write {listed(sorted(words))}"
            report.add((*place, index, "error"), "value", f"{told}: {hint}")


def _no_step(path: Place, name: str, known: Collection[str], report: Report, *, key: bool = False) -> None:
    told = f"no step '{clip(name)}' sends anything" if key else f"there is no step '{clip(name)}'"
    _unknown(path, told, name, known, report, key=key)


def _unknown(path: Place, told: str, name: str, known: Collection[str], report: Report, *, key: bool = False) -> None:
    spelt = {word.replace("-", "_").lower(): word for word in known}
    guess = near(name, spelt)
    hint = f"did you mean '{spelt[guess]}'?" if guess else f"there is {listed(sorted(known), 'and')}" if known else ""
    report.add(path, "unknown", f"{told}: {hint}" if hint else told, key=key)
