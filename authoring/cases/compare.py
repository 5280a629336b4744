"""Compares a case's expectations with its run, and reports the differences: as text, JSON and JUnit XML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, Final
from xml.etree import ElementTree

from activities.channel import RenderedMessage
from authoring.cases.model import Case, Expected, TextPart
from authoring.cases.run import CaseRun, StepRun
from scenario.source.findings import Finding, Mark
from scenario.source.source import Path as Place
from scenario.source.source import Source
from scenario.type_guards import is_list, is_mapping

MISSING: Final = object()
_TEXTS: Final = ("reason", "note", "to", "from", "reply_to", "subject", "text", "html", "method", "url")
_EXACT: Final = ("outcome", "way", "at", "attempts", "status", "characters", "alphabet", "parts")
_MINUTE: Final = len("2026-03-02 09:00")


@dataclass(frozen=True)
class Mismatch:
    """A difference between expectation and run."""

    place: Place  # path in the case file, from the case on
    what: str  # ``subject of email thank-you``
    expected: Any
    got: Any  # the actual value, or `MISSING`
    kind: str = "value"
    """``value`` if `got` can replace `expected`; ``steps`` if the number of steps differs; ``case`` if only a change of
    the case itself helps."""


def compare(case: Case, course: CaseRun) -> list[Mismatch]:
    return list(_compare(case, course))


def _compare(case: Case, course: CaseRun) -> Iterator[Mismatch]:
    if course.failed is not None:
        yield Mismatch((), "the case cannot be run", MISSING, course.failed, "case")
        return
    for place, why in course.rejected.items():
        yield Mismatch(place, "this could not be done", "done", why, "case")
    expect = case.expect
    if expect is None:
        yield Mismatch((), "nothing is expected", "expect: …", MISSING, "steps")
        return
    place: Place = ("expect",)
    if expect.refused is not None or course.refused is not None:
        got = MISSING if course.refused is None else course.refused
        if expect.refused is None:
            yield Mismatch(place, "whether the contact is admitted", "admitted", f"refused: {course.refused}", "steps")
        else:
            yield from _text((*place, "refused"), "why the contact is refused", expect.refused, got)
        return
    if expect.steps is not None:
        yield from _steps((*place, "steps"), expect.steps, course)
    if expect.ends is not None and expect.ends != course.ends:
        why = f": {course.reason}" if course.reason and expect.reason is None else ""
        yield Mismatch((*place, "ends"), f"how the journey ends{why}", expect.ends, course.ends)
    if expect.reason is not None:
        yield from _text((*place, "reason"), "why it ends so", expect.reason, course.reason)
    for index, name in enumerate(expect.never):
        for got in course.steps:
            if name in (got.step, got.kind) and got.passed:
                yield Mismatch((*place, "never", index), f"{name} must not happen", MISSING, label(got), "case")


def label(step: StepRun | Expected) -> str:
    """Return a step as two words."""
    return f"{step.kind} {step.step if isinstance(step, StepRun) else step.id}"


def matches(expected: Sequence[Expected], course: CaseRun) -> dict[int, int]:
    """Return the indices of actual steps by those of the expected steps that they match, in order."""
    met: dict[int, int] = {}
    cursor = 0
    for index, step in enumerate(expected):
        found = next((at for at in range(cursor, len(course.steps)) if course.steps[at].step == step.id), None)
        if found is not None:
            met[found] = index
            cursor = found + 1
    return met


def _steps(place: Place, expected: Sequence[Expected], course: CaseRun) -> Iterator[Mismatch]:
    went = " → ".join(f"{got.step} ({got.outcome})" for got in course.steps) or "nothing"
    met = matches(expected, course)
    places = {found: index for index, found in met.items()}
    for index, step in enumerate(expected):
        if index in places:
            yield from _step((*place, index), step, course.steps[places[index]])
        else:
            yield Mismatch((*place, index), "this step is missing here", label(step), went, "steps")
    for index, got in enumerate(course.steps):
        if got.tried and index not in met:
            yield Mismatch(place, f"{label(got)} is sent and not expected here", MISSING, went, "steps")


def _step(place: Place, expected: Expected, got: StepRun) -> Iterator[Mismatch]:
    wanted = {
        (field.alias or name): getattr(expected, name)
        for name, field in type(expected).model_fields.items()
        if name in expected.model_fields_set
    }
    facts = facts_of(got)
    of = f"of {label(got)}"
    if "at" in wanted:
        facts["at"] = facts["at"][: max(_MINUTE, len(wanted["at"]))]
        wanted["at"] = wanted["at"].replace("T", " ")
    for key in _EXACT:
        if key in wanted and wanted[key] != facts.get(key):
            yield Mismatch((*place, key), f"{key} {of}", wanted[key], MISSING if facts.get(key) is None else facts[key])
    for key in _TEXTS:
        if key in wanted:
            yield from _text((*place, key), f"{key} {of}", wanted[key], facts.get(key, MISSING))
    sent: dict[str, str] = facts.get("headers") or {}
    headers = {name.lower(): value for name, value in sent.items()}
    for name, value in expected.headers.items():
        yield from _text((*place, "headers", name), f"header {name} {of}", value, headers.get(name.lower(), MISSING))
    for key, whole in (("body", False), ("body_is", True)):
        if key in wanted:
            yield from _json((*place, key), f"body {of}", wanted[key], facts.get("body", MISSING), whole=whole)


def facts_of(got: StepRun) -> dict[str, Any]:
    """Return everything known about a step, by the keys of an expected step."""
    at = got.at.strftime("%Y-%m-%d %H:%M:%S")
    facts: dict[str, Any] = {"outcome": got.outcome, "way": got.way, "at": at, "attempts": got.attempts}
    facts |= {"status": got.status, "reason": got.reason or MISSING, "note": got.note or MISSING}
    return facts | (got.message.facts() if isinstance(got.message, RenderedMessage) else {})


def _text(place: Place, what: str, expected: str | TextPart, got: Any) -> Iterator[Mismatch]:
    if isinstance(expected, str):
        if got is MISSING or got.rstrip("\n") != expected.rstrip("\n"):
            yield Mismatch(place, what, expected, got)
        return
    text = "" if got is MISSING else str(got)
    checks: tuple[tuple[str, str | None, Callable[[str], bool]], ...] = (
        ("contains", expected.contains, lambda part: part in text),
        ("lacks", expected.lacks, lambda part: part not in text),
        ("matches", expected.matches, lambda part: re.search(part, text) is not None),
    )
    for key, part, holds in checks:
        if part is not None and not holds(part):
            yield Mismatch((*place, key), f"{what} {key}", part, got, "case")


def _json(place: Place, what: str, expected: Any, got: Any, *, whole: bool) -> Iterator[Mismatch]:
    if is_mapping(expected) and is_mapping(got):
        for key, value in expected.items():
            yield from _json((*place, key), f"{key} in {what}", value, got.get(key, MISSING), whole=whole)
        if whole and (more := {key: value for key, value in got.items() if key not in expected}):
            yield Mismatch(place, f"more in {what}", MISSING, more, "steps")
    elif is_list(expected) and is_list(got):
        if len(expected) != len(got):
            yield Mismatch(place, what, expected, got)
            return
        for index, (item, other) in enumerate(zip(expected, got, strict=True)):
            yield from _json((*place, index), f"item {index + 1} in {what}", item, other, whole=whole)
    elif expected != got or isinstance(expected, bool) is not isinstance(got, bool):
        yield Mismatch(place, what, expected, got)


_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot contain (XML 1.0 §2.2)."""


@dataclass(frozen=True)
class Result:
    """The result of one case."""

    file: str
    name: str
    mark: Mark
    differences: tuple[tuple[Mark, Mismatch], ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.differences


def result(source: Source, name: str, differences: Iterable[Mismatch], seconds: float) -> Result:
    """Return the result of one case, with places of differences in the file."""
    path = ("cases", name)
    placed = [(source.key((*path, *difference.place)), difference) for difference in differences]
    return Result(source.file, name, source.key(path), tuple(sorted(placed, key=lambda pair: pair[0])), seconds)


def unread(file: str, findings: Sequence[Finding]) -> Result:
    """Return the result that stands for the cases of a file with mistakes."""
    told = [(Mark(one.line, one.column), Mismatch((), str(one), MISSING, MISSING, "case")) for one in findings]
    return Result(file, "the file has no mistakes", Mark(1, 1), tuple(told), 0.0)


def shown(value: Any) -> str:
    """Return a value as text, or as JSON if it is no text."""
    if value is MISSING:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lines(one: Result) -> list[str]:
    if one.passed:
        return [f"  ✓ {one.name}"]
    said = [f"  ✗ {one.name}"]
    for mark, difference in one.differences:
        said.append(f"    {one.file}:{mark.line}:{mark.column}: {difference.what}")
        if difference.expected is difference.got is MISSING:
            continue
        expected, got = shown(difference.expected), shown(difference.got)
        both = (difference.expected, difference.got)
        if expected == got and not any(value is MISSING for value in both):  # a number, and a text that spells it
            expected, got = map(repr, both)
        if "\n" in expected or "\n" in got:
            said.append("      - expected, + got")
            compared = ndiff(expected.splitlines(), got.splitlines())
            said += [f"      {line}" for line in compared if not line.startswith("?")]
        else:
            said += [f"      expected: {expected}", f"      got:      {got}"]
    return said


def as_json(one: Result) -> dict[str, Any]:
    return {
        "file": one.file,
        "case": one.name,
        "line": one.mark.line,
        "column": one.mark.column,
        "passed": one.passed,
        "differences": [
            {
                "line": mark.line,
                "column": mark.column,
                "what": difference.what,
                "expected": None if difference.expected is MISSING else difference.expected,
                "got": None if difference.got is MISSING else difference.got,
            }
            for mark, difference in one.differences
        ],
    }


def junit(results: Sequence[Result]) -> str:
    """Return all cases as JUnit XML, with one suite per file."""
    root = ElementTree.Element("testsuites", _counts(results))
    for file in dict.fromkeys(one.file for one in results):
        of_file = [one for one in results if one.file == file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": file, **_counts(of_file)})
        for one in of_file:
            about = {"name": _xml(one.name), "classname": file, "file": file, "line": str(one.mark.line)}
            case = ElementTree.SubElement(suite, "testcase", {**about, "time": f"{one.seconds:.3f}"})
            if not one.passed:
                first = one.differences[0][1].what
                failure = ElementTree.SubElement(case, "failure", {"message": _xml(first), "type": "difference"})
                failure.text = _xml("\n".join(lines(one)[1:]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _counts(results: Sequence[Result]) -> dict[str, str]:
    failed = sum(not one.passed for one in results)
    seconds = sum(one.seconds for one in results)
    return {"tests": str(len(results)), "failures": str(failed), "errors": "0", "time": f"{seconds:.3f}"}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
