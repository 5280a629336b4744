"""Replaces expectations in a case file by the actual values.

A differing value is replaced in place, so comments and order stay. If the number of steps differs, the list of steps is
written again, without its comments.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from yaml.reader import Reader

from authoring.cases.compare import MISSING, Mismatch, compare, facts_of, matches
from authoring.cases.file import Cases, parsed
from authoring.cases.run import CaseRun, Circumstances, StepRun, run
from scenario.source.source import Path as Place
from scenario.type_guards import is_list, is_mapping, value_at

_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w .@/+()!?'-]|:(?=\S))*(?<! )")
"""Text that is a plain scalar of YAML everywhere."""
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_NEW: Final = ("outcome", "reason", "way", "at", "attempts", "to", "subject", "method", "url", "text", "body")
"""Keys that are written for an unexpected step."""
Edit = tuple[int, int, str]


def updated(cases: Cases, names: Collection[str], circumstances: Circumstances) -> Cases | None:
    """Return the cases with actual values, or None if nothing can be changed."""
    edits: set[Edit] = set()
    for name in names:
        edits |= set(_edits(cases, name, run(cases, name, circumstances)))
    # What several cases share by an alias can be only one thing.
    apart = [one for one in edits if not any(_meet(one, other) for other in edits if other != one)]
    if not apart:
        return None
    text = cases.source.text
    for start, end, written in sorted(apart, reverse=True):
        text = text[:start] + written + text[end:]
    return parsed(text, cases.path, cases.beside)[0]


def _meet(one: Edit, other: Edit) -> bool:
    return one[:2] == other[:2] or (one[0] < other[1] and other[0] < one[1])


def _edits(cases: Cases, name: str, course: CaseRun) -> list[Edit]:
    if course.failed is not None:
        return []
    case, source = cases.file.cases[name], cases.source
    place: Place = ("cases", name)
    found = [one for one in compare(case, course) if one.kind != "case"]
    if case.expect is None:
        column = source.at(place).column - 1
        start, end = source.span(place)
        made = {"expect": _expectation(course)}
        if source.text[start] == "{":
            comma = ", " if value_at(source.data, place) else ""
            return [(end - 1, end - 1, comma + _in_line(made)[1:-1])]
        written = _block(made)
        return [(end, end, "".join(f"\n{' ' * column}{line}" for line in written))]
    if (case.expect.refused is None) is not (course.refused is None):
        return [_anew(cases, (*place, "expect"), _expectation(course))]
    steps: Place = ("expect", "steps")
    anew = [one for one in found if one.place[:2] == steps and (one.kind == "steps" or one.got is MISSING)]
    edits = [
        _replaced(cases, (*place, *one.place), one.got)
        for one in found
        if one.got is not MISSING and not (anew and one.place[:2] == steps)
    ]
    if anew:
        listed: list[dict[str, Any]] = copy.deepcopy(value_at(source.data, (*place, *steps)))
        edits.append(_anew(cases, (*place, *steps), _steps(listed, found, case.expect.steps or (), course)))
    return edits


def _expectation(course: CaseRun) -> dict[str, Any]:
    if course.refused is not None:
        return {"refused": course.refused}
    made: dict[str, Any] = {"steps": [_new(got) for got in course.steps], "ends": course.ends}
    return {**made, "reason": course.reason} if course.reason else made


def _steps(
    written: list[dict[str, Any]], found: Sequence[Mismatch], expected: Sequence[Any], course: CaseRun
) -> list[dict[str, Any]]:
    """Return the list of steps: the expected ones with actual values, and others that send."""
    for one in found:
        match one.place:
            case ("expect", "steps", int(), _, *_) if one.kind == "value":
                around = value_at(written, one.place[2:-1])
                if one.got is MISSING:
                    del around[one.place[-1]]
                else:
                    around[one.place[-1]] = one.got
            case ("expect", "steps", int(), _, *_):  # more than the whole body
                value_at(written, one.place[2:]).update(one.got)
            case _:
                pass
    met = matches(expected, course)
    return [
        written[met[index]] if index in met else _new(got)
        for index, got in enumerate(course.steps)
        if index in met or got.tried
    ]


def _new(got: StepRun) -> dict[str, Any]:
    facts = {key: value for key, value in facts_of(got).items() if value is not None and value is not MISSING}
    made: dict[str, Any] = {got.kind: got.step}
    for key in _NEW:
        usual = (key == "attempts" and facts.get(key) == 1) or (key == "text" and "subject" in facts)
        if key in facts and not usual:
            made[key] = facts[key].removesuffix(":00") if key == "at" else facts[key]
    return made


def _replaced(cases: Cases, path: Place, value: Any) -> Edit:
    start, end = cases.source.span(path)
    mark, key = cases.source.at(path), cases.source.key(path)
    if cases.source.text[start : start + 1] in ("|", ">") and isinstance(value, str) and _is_literal(value):
        indent = " " * (key.column + 1)
        lines = value.rstrip("\n").split("\n")
        return start, end, "\n".join(["|", *(f"{indent}{line}" if line else "" for line in lines)])
    # Behind the ':' of a key without a value, and where a list stood that was no further in than its key.
    apart = " " if start == end else "  " if mark.line > key.line and mark.column == key.column else ""
    return start, end, apart + _scalar(value)


def _anew(cases: Cases, path: Place, value: Any) -> Edit:
    """Replace a value by a block, at its place or below its key."""
    start, end = cases.source.span(path)
    mark, key = cases.source.at(path), cases.source.key(path)
    if not value or cases.source.text[cases.source.span(path[:-1])[0]] in "{[":
        return start, end, _in_line(value)
    under = mark.line == key.line
    line = f"\n{' ' * (key.column + 1 if under else mark.column - 1)}"
    text = line.join(_block(value))
    return (len(cases.source.text[:start].rstrip(" ")), end, line + text) if under else (start, end, text)


def _block(value: Any) -> list[str]:
    lines: list[str] = []
    if is_mapping(value):
        for key, inner in value.items():
            lines += _member(f"{_scalar(key)}:", inner)
        return lines
    for item in value:
        inner = _block(item) if (is_mapping(item) or is_list(item)) and item else [_scalar(item)]
        lines += [f"- {inner[0]}", *(f"  {line}" if line else "" for line in inner[1:])]
    return lines


def _member(key: str, value: Any) -> list[str]:
    if (is_mapping(value) or is_list(value)) and value:
        return [key, *(f"  {line}" if line else "" for line in _block(value))]
    if isinstance(value, str) and "\n" in value.rstrip("\n") and _is_literal(value):
        return [f"{key} |", *(f"  {line}" if line else "" for line in value.rstrip("\n").split("\n"))]
    return [f"{key} {_scalar(value)}"]


def _is_literal(text: str) -> bool:
    lines = text.rstrip("\n").split("\n")
    return bool(lines[0].strip()) and not lines[0].startswith(" ") and all(line.isprintable() for line in lines)


def _scalar(value: Any) -> str:
    """Return a value on one line: plain if it cannot be misread, else as JSON, which YAML includes."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        if is_plain or _MOMENT.fullmatch(value):
            return value
    return _in_line(value)


def _in_line(value: Any) -> str:
    """Return a value as JSON, with escapes for characters that YAML rejects."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if Reader.NON_PRINTABLE.search(text) else text
