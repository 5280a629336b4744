"""What a scenario's templates and conditions use of its data: what made-up data must have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.preview.draft import Draft
from gateway.preview.worst import LONG
from scenario import liquid
from scenario.check.templates import templates
from scenario.entry.objects import ALIASES, DATA
from scenario.model.document import document
from scenario.steps.switch import Switch, output_of, values_of

Path = tuple[str, ...]

SIZE: Final = "size"
"""Last part of a path that stands for how many items a list has, or characters a text."""
_LOOP: Final = re.compile(r"(?<![\w.-])([A-Za-z_]\w{0,60})\s+in\s+([A-Za-z_][\w.-]{0,200}\w)", re.ASCII)
_SHORT: Final = ("first", "last", "size")
"""What Liquid knows of every list: no names of fields."""


def _sources(draft: Draft) -> Iterator[tuple[Any, liquid.Kind]]:
    """Every template and condition of a scenario."""
    return ((template.source, template.kind) for template in templates(document(draft.scenario)))


def named(draft: Draft) -> frozenset[Path]:
    """Every path that they name, and of conditions those that lead into lists."""
    paths = {_own(path, draft) for source, kind in _sources(draft) for path in liquid.fields(source, kind=kind)}
    return frozenset(paths | {path[:-1] if path[-1] == SIZE else path for path in literals(draft)})


def literals(draft: Draft) -> dict[Path, list[Any]]:
    """For each path that conditions and switches name, the values that they compare with.

    A path that ends in ``size`` stands for how many items there are.
    """
    found: dict[Path, list[Any]] = {}
    for step in draft.steps.values():
        if isinstance(step, Switch):
            cases = [value for case, _ in step.cases.items() for value in values_of(case)]
            for path in liquid.fields(output_of(step.switch), kind="value"):
                found.setdefault(path, []).extend(cases)
    for source, kind in _sources(draft):
        if kind == "condition":
            for path, values in liquid.compared(source).items():
                found.setdefault(path, []).extend(values)
    own: dict[Path, list[Any]] = {}
    for path, values in found.items():
        own.setdefault(_own(path, draft), []).extend(values)
    for path in [path for path in own if path[-1] == SIZE]:
        value = path[:-1]
        if not any(other[: len(value)] == value and other[len(value) :] not in ((), (SIZE,)) for other in own):
            # Nothing looks into it: it may be a text, whose size is the number of its characters.
            counts = (count for count in own[path] if isinstance(count, int) and 0 <= count < LONG)
            own.setdefault(value, []).extend("x" * count for count in counts)
    return {path: sorted(values, key=repr) for path, values in own.items() if values}


def _own(path: Path, draft: Draft) -> Path:
    """A path by the name that the trigger's data are sent under."""
    root = DATA[draft.scenario.trigger][0] if draft.scenario.trigger in DATA else ""
    if path[0] == "trigger":
        return path[1:] if path[1:2] == (root,) or len(path) < 2 else (root, *path[1:])
    return (root, *path[1:]) if ALIASES.get(path[0]) == root else path


def loops(draft: Draft) -> dict[Path, set[str]]:
    """The paths that they loop over, with the names that they use of each item.

    Read from the words that they are written with, which is good enough for samples.
    """
    found: dict[Path, set[str]] = {}
    for source, _ in _sources(draft):
        text = source if isinstance(source, str) else json.dumps(source)
        for item, path in _LOOP.findall(text):
            used = re.findall(rf"(?<![\w.-]){item}\.(\w+)", text)
            found.setdefault(tuple(path.split(".")), set()).update(name for name in used if name not in _SHORT)
    return found
