"""Compares a case's expectations with its run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from activities.channel import RenderedMessage
from gateway.cases.model import Case, Expected, TextPart
from gateway.cases.run import CaseRun, StepRun
from scenario.source.source import Path as Place
from scenario.type_guards import is_list, is_mapping

MISSING: Final = object()
_TEXTS: Final = ("reason", "note", "to", "from", "reply_to", "subject", "text", "html", "method", "url")
_EXACT: Final = ("outcome", "way", "at", "attempts", "status")
_MINUTE: Final = len("2026-03-02 09:00")


@dataclass(frozen=True)
class Mismatch:
    """A difference between expectation and run."""

    place: Place
    """Path in the case file, from the case on."""
    what: str
    """``subject of email thank-you``."""
    expected: Any
    got: Any
    """The actual value, or `MISSING`."""
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
        if key in wanted and wanted[key] != facts[key]:
            yield Mismatch((*place, key), f"{key} {of}", wanted[key], MISSING if facts[key] is None else facts[key])
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
