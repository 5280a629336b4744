"""The steps of a scenario: as they stand in the file, right or wrong, for checks that must not wait; or as models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from scenario.source.source import Path
from scenario.steps.base import BaseStep
from scenario.steps.registry import KINDS, kind_of

_WORD: Final = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", re.ASCII)
_LONGEST: Final = 40


class Written(NamedTuple):
    """One step as written.

    Attributes:
        step: The step: its keys and values, or its model.
        path: Where it stands, ``("steps", 4, "then", 0)``.
        kind: Its kind, or None where no key of it names one.
        keys: Its keys and values.
        place: Its place as generated ids count it, ``5.then.1``.
    """

    step: Any
    path: Path
    kind: str | None
    keys: Mapping[str, Any]
    place: str

    @property
    def id(self) -> str | None:
        """The id it will have: `id`, else its name, else one made from its place; None where that cannot be known."""
        if self.kind is None:
            return None
        named = KINDS[self.kind].sends
        for name in (self.keys.get("id"), self.keys.get(self.kind) if named else None):
            if name is not None:
                return name if isinstance(name, str) else None
        return None if named else f"{self.kind}-{self.place}"

    @property
    def model(self) -> type[BaseStep]:
        """The model of its kind; of one that has none, what all steps have."""
        return BaseStep if self.kind is None else KINDS[self.kind]


def outline(data: Any) -> Iterator[Written]:
    """Goes through all steps of a scenario in the order of the file, whatever is wrong with it.

    Args:
        data: The scenario as `scenario.source.source.Source` reads it, or its keys and values with steps as models.
    """
    if isinstance(data, Mapping):
        yield from _steps_in(cast("Mapping[str, Any]", data).get("steps"), ("steps",), "")


def _steps_in(items: Any, path: Path, place: str) -> Iterator[Written]:
    """Goes through a list of steps and the lists inside them."""
    for index, item in enumerate(cast("list[Any]", items) if isinstance(items, list) else ()):
        if not isinstance(item, Mapping | BaseStep):
            continue
        keys = item.keys() if isinstance(item, BaseStep) else cast("Mapping[str, Any]", item)
        step = Written(item, (*path, index), kind_of(cast("object", item)), keys, f"{place}{index + 1}")
        yield step
        for way, inner, branch in step.model.lists(keys):
            yield from _steps_in(branch, (*step.path, *inner), f"{step.place}.{spelled(way)}.")


def spelled(way: str) -> str:
    """A way as ids of the steps on it spell it, no two ways the same: a case may be any text, and an id is not.

    A short word stays as it is, and `.` becomes `--`; of anything else the letters and digits stay, and a digest.
    """
    if _WORD.fullmatch(way) and len(way) <= _LONGEST:
        return way.replace(".", "--")
    plain = "-".join(re.findall(r"[A-Za-z0-9]+", way))[:_LONGEST]
    return f"{plain}__{hashlib.sha256(way.encode()).hexdigest()[:8]}"
