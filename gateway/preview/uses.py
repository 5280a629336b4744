"""What a scenario's templates and conditions use of its data: what made-up data must have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.preview.draft import Draft
from scenario import liquid
from scenario.check.templates import templates
from scenario.entry.trigger import TRIGGER, handed_as
from scenario.model.document import document

Path = tuple[str, ...]

_LITERAL: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"|(?<![\w.])(-?\d+(?:\.\d+)?|true|false)(?![\w.])")
_LOOP: Final = re.compile(r"(?<![\w.-])([A-Za-z_]\w{0,60})\s+in\s+([A-Za-z_][\w.-]{0,200}\w)", re.ASCII)
_SHORT: Final = ("first", "last", "size")
"""What Liquid knows of every list: no names of fields."""


def _sources(draft: Draft) -> Iterator[tuple[Any, liquid.Kind]]:
    """Every template and condition of a scenario."""
    return ((template.source, template.kind) for template in templates(document(draft.scenario)))


def named(draft: Draft) -> frozenset[Path]:
    """Every path that they name."""
    return frozenset(_where(path) for source, kind in _sources(draft) for path in liquid.fields(source, kind=kind))


def literals(draft: Draft) -> dict[Path, list[Any]]:
    """For each path that conditions and switches name, the values that they compare with."""
    found: dict[Path, list[Any]] = {}
    for step in draft.steps.values():
        if step.compared is not None:
            source, values = step.compared
            for path in liquid.fields(source, kind="value"):
                found.setdefault(path, []).extend(values)
    for source, kind in _sources(draft):
        if kind != "condition":
            continue
        texts = [value for match in _LITERAL.finditer(source) for value in _around(_read(*match.groups()))]
        for path in liquid.fields(source, kind="condition"):
            found.setdefault(_where(path), []).extend(texts)
    return {path: sorted(values, key=repr) for path, values in found.items() if values}


def loops(draft: Draft) -> dict[Path, set[str]]:
    """The paths that they loop over, with the names that they use of each item.

    Read from the words that they are written with, which is good enough for samples.
    """
    found: dict[Path, set[str]] = {}
    for source, _ in _sources(draft):
        text = source if isinstance(source, str) else json.dumps(source)
        for item, path in _LOOP.findall(text):
            used = re.findall(rf"(?<![\w.-]){item}\.(\w+)", text)
            found.setdefault(_where(tuple(path.split("."))), set()).update(name for name in used if name not in _SHORT)
    return found


def _where(path: Path) -> Path:
    """Where what a path names is in an entry's data, which has no `trigger`: an object's own name, or `event`."""
    path = handed_as(path)
    return ("event", *path[1:]) if path[0] == TRIGGER else path


def _read(single: str | None, double: str | None, word: str | None) -> Any:
    if word is None:
        return double if single is None else single
    if word in ("true", "false"):
        return word == "true"
    return float(word) if "." in word else int(word)


def _around(value: Any) -> tuple[Any, ...]:
    """A value that a condition compares with, and where it is a number what lies on either side of it."""
    return (value - 1, value, value + 1) if isinstance(value, int | float) and not isinstance(value, bool) else (value,)
