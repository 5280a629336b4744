"""Fields that a scenario's templates and conditions use, which made-up data must have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, Self

from gateway.preview.draft import Draft
from gateway.preview.worst import DATES, LONG
from scenario import liquid
from scenario.check.templates import templates
from scenario.entry.objects import ALIASES, DATA
from scenario.entry.trigger import TRIGGER, handed_as
from scenario.model.document import document

Path = tuple[str, ...]

SIZE: Final = "size"
"""Last part of a path that means the number of items or characters."""
_LOOP: Final = re.compile(r"(?<![\w.-])([A-Za-z_]\w{0,60})\s+in\s+([A-Za-z_][\w.-]{0,200}\w)", re.ASCII)
_OUTPUT: Final = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)")
"""The path at the beginning of an output."""
_DATED: Final = re.compile(
    r"\{\{-?\s*([A-Za-z_][\w.]*)\s*\|\s*(?:date|days_until|next_anniversary|add|subtract)\b", re.ASCII
)
"""The path that an output passes to a date filter."""
_SHORT: Final = ("first", "last", "size")
"""Fields that Liquid gives to every list."""


@dataclass(frozen=True)
class UsedFields:
    """The fields that templates and conditions use."""

    named: frozenset[Path] = frozenset()
    looped: Mapping[Path, Set[str]] = field(default_factory=dict[Path, Set[str]])
    """Paths of loops, with the fields used of each item."""
    literals: Mapping[Path, Sequence[Any]] = field(default_factory=dict[Path, Sequence[Any]])
    """Values that conditions compare, by path."""

    @classmethod
    def of(cls, draft: Draft) -> Self:
        return cls(named(draft), loops(draft), literals(draft))

    def inside(self, *start: str) -> UsedFields:
        """Return the fields in an object, by their paths in it."""
        depth = len(start)
        return UsedFields(
            named=frozenset(path[depth:] for path in self.named if path[:depth] == start and len(path) > depth),
            looped={path[depth:]: names for path, names in self.looped.items() if path[:depth] == start},
            literals={path[depth:]: values for path, values in self.literals.items() if path[:depth] == start},
        )

    def below(self, path: Path) -> list[str]:
        depth = len(path)
        return sorted({name[depth] for name in self.named if len(name) > depth and name[:depth] == path})

    def sizes(self, path: Path, most: int) -> list[int]:
        """Return the numbers of items of a list that conditions distinguish, if any."""
        wanted = self.literals.get((*path, SIZE), ())
        return [min(count, most) for count in wanted if isinstance(count, int) and count >= 0]


def _sources(draft: Draft) -> Iterator[tuple[Any, liquid.Kind]]:
    """Yield every template and condition of a journey. Its goal's are evaluated for later events."""
    written = templates(document(draft.scenario))
    return ((template.source, template.kind) for template in written if template.path[:1] != ("goal",))


def named(draft: Draft) -> frozenset[Path]:
    """Return all used paths, and of conditions those into lists."""
    paths = {_where(path, draft) for source, kind in _sources(draft) for path in liquid.find_fields(source, kind=kind)}
    inside = (path[:-1] if _counts(path, values) else path for path, values in literals(draft).items())
    return frozenset(paths.union(inside))


def literals(draft: Draft) -> dict[Path, list[Any]]:
    """Return the values that conditions and switches compare, by path.

    Paths of waits and date filters have dates. A path that ends in ``size`` has numbers of items.
    """
    compared = [liquid.find_compared_values(source) for source, kind in _sources(draft) if kind == "condition"]
    switches = [step.compared for step in draft.steps.values() if step.compared is not None]
    compared += [liquid.find_compared_values(*switch) for switch in switches]
    found: dict[Path, list[Any]] = {}
    for path, values in (pair for one in compared for pair in one.items()):
        found.setdefault(_where(path, draft), []).extend(values)
    for source, kind in _sources(draft):
        text = source if isinstance(source, str) else json.dumps(source)
        for path in {tuple(name.split(".")) for name in _DATED.findall(text)} - {("now",), ("today",)}:
            found.setdefault(_where(path, draft), []).extend(DATES)
        if kind == "value" and "{{" in source:  # the date of a wait: the value of a switch has no braces
            written = {tuple(name.split(".")) for name in _OUTPUT.findall(source)}
            for path in liquid.find_fields(source, kind=kind) & written:
                found.setdefault(_where(path, draft), []).extend(DATES)
    for path in [path for path, values in found.items() if _counts(path, values)]:
        value = path[:-1]
        if not any(other[: len(value)] == value and other[len(value) :] not in ((), (SIZE,)) for other in found):
            # No part of it is used, so it may be a text: its size is its length.
            found.setdefault(value, []).extend("x" * count for count in found[path] if 0 <= count < LONG)
    return {path: sorted(values, key=repr) for path, values in found.items() if values}


def _counts(path: Path, values: Sequence[Any]) -> bool:
    """Return True if a path means a number of items instead of a field."""
    return path[-1] == SIZE and all(isinstance(value, int) for value in values)


def _where(path: Path, draft: Draft) -> Path:
    """Return the path in an entry's data, which has no `trigger` and no second names."""
    path = handed_as(path)
    if path[0] == TRIGGER:
        return ("event", *path[1:])
    kind = draft.scenario.trigger
    return (DATA[kind][0], *path[1:]) if kind in DATA and ALIASES.get(path[0]) == DATA[kind][0] else path


def loops(draft: Draft) -> dict[Path, set[str]]:
    """Return the paths of loops, with the used fields of each item.

    It reads the source text, which is enough for samples.
    """
    found: dict[Path, set[str]] = {}
    for source, _ in _sources(draft):
        text = source if isinstance(source, str) else json.dumps(source)
        for item, path in _LOOP.findall(text):
            used = re.findall(rf"(?<![\w.-]){item}\.(\w+)", text)
            place = _where(tuple(path.split(".")), draft)
            found.setdefault(place, set()).update(name for name in used if name not in _SHORT)
    return found
