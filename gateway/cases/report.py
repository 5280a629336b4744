"""Results of cases: as text, JSON and JUnit XML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, Final
from xml.etree import ElementTree

from gateway.cases.compare import MISSING, Mismatch
from scenario.source.findings import Finding, Mark
from scenario.source.source import Source

_NOTHING: Final = "nothing"
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


def result(source: Source, name: str, differences: Sequence[Mismatch], seconds: float) -> Result:
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
        return _NOTHING
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
