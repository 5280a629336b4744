"""All steps of a scenario in one sequence, as written (right or wrong) or as models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from scenario.steps.base import BaseStep
from scenario.steps.registry import KINDS, kind_of
from scenario.type_guards import Path, is_mapping, list_or_empty

_WORD: Final = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", re.ASCII)
_LONGEST: Final = 40


class WrittenStep(NamedTuple):
    """One step."""

    step: Any
    """Its keys and values, or its model."""
    path: Path
    """Its path, ``("steps", 4, "then", 0)``."""
    kind: str | None
    keys: Mapping[str, Any]
    place: str
    """Its position for generated ids, ``5.then.1``."""

    @property
    def id(self) -> str | None:
        """Its id: `id`, else its name, else one from its position; None if unknown."""
        if self.kind is None:
            return None
        named = KINDS[self.kind].is_message
        for name in (self.keys.get("id"), self.keys.get(self.kind) if named else None):
            if name is not None:
                return name if isinstance(name, str) else None
        return None if named else f"{self.kind}-{self.place}"

    @property
    def model(self) -> type[BaseStep]:
        """The model of its kind, or the base model."""
        return BaseStep if self.kind is None else KINDS[self.kind]


def outline(data: Any) -> Iterator[WrittenStep]:
    """Yield all steps of a scenario, written or as models, in the order of the file, whatever is wrong with it."""
    if is_mapping(data):
        yield from _steps_in(data.get("steps"), ("steps",), "")


def _steps_in(items: Any, path: Path, place: str) -> Iterator[WrittenStep]:
    for index, item in enumerate(list_or_empty(items)):
        keys: Mapping[str, Any]
        if isinstance(item, BaseStep):
            keys = item.keys()
        elif is_mapping(item):
            keys = item
        else:
            continue
        step = WrittenStep(item, (*path, index), kind_of(item), keys, f"{place}{index + 1}")
        yield step
        for way, inner, branch in step.model.lists(keys):
            yield from _steps_in(branch, (*step.path, *inner), f"{step.place}.{spelled(way)}.")


def spelled(way: str) -> str:
    """Return the unique spelling of a branch in step ids.

    A short word does not change, and `.` becomes `--`. Anything else becomes its letters and digits and a digest.
    """
    if _WORD.fullmatch(way) and len(way) <= _LONGEST:
        return way.replace(".", "--")
    plain = "-".join(re.findall(r"[A-Za-z0-9]+", way))[:_LONGEST]
    return f"{plain}__{hashlib.sha256(way.encode()).hexdigest()[:8]}"
