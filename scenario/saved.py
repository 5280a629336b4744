"""Which responses are kept by the time that a step is performed, on the ways that lead to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from scenario import model
from scenario.expectations import merged, tree_of_schema
from scenario.liquid.shapes import Tree
from scenario.outline import BRANCHES
from scenario.source import Path

Known = Mapping[str, Tree]
"""Responses by name, with the shape that their schemas give them."""


@dataclass(frozen=True)
class Saved:
    """The responses that a scenario keeps.

    Attributes:
        before: Those that may be there when a step is performed, by the step's path. One that is kept on some way to a
            step may be missing where the contact came another way, or where the response was not kept.
        places: Where each is kept first, by its name: the path of the step.
        anywhere: All of them, whichever way.
    """

    before: Mapping[Path, Known]
    places: Mapping[str, Path]
    anywhere: Known

    def at(self, path: Path) -> Known:
        """Those that something in the file may name.

        Args:
            path: Of the template or condition. An exit rule is asked at any time; who comes in has no response yet.
        """
        if path[:1] == ("exit",):
            return self.anywhere
        for length in range(len(path), 0, -1):
            if (known := self.before.get(path[:length])) is not None:
                return known
        return {}


@dataclass
class _Walk:
    before: dict[Path, Known] = field(default_factory=dict[Path, Known])
    places: dict[str, Path] = field(default_factory=dict[str, Path])
    shapes: dict[str, list[Tree]] = field(default_factory=dict[str, list[Tree]])

    def steps(self, items: Any, path: Path, known: Known) -> tuple[Known, bool]:
        """Goes through a list of steps.

        Returns:
            What is known behind it, and whether anybody gets there.
        """
        goes_on = True
        for index, item in enumerate(cast("list[Any]", items) if isinstance(items, list) else ()):
            if not isinstance(item, Mapping):
                continue
            place = (*path, index)
            self.before[place] = known
            known, passes = self._step(cast("Mapping[str, Any]", item), place, known)
            goes_on = goes_on and passes
        return known, goes_on

    def _step(self, keys: Mapping[str, Any], place: Path, known: Known) -> tuple[Known, bool]:
        kind = (model.kind_of(keys) or "").strip("<>")
        if kind == "webhook" and (found := _saved(keys.get("save"))):
            name, shape = found
            self.places.setdefault(name, place)
            self.shapes.setdefault(name, []).append(shape)
            return {**known, name: shape}, True
        ways = model.KINDS[kind].ways(keys) if kind else None
        if ways is None:
            return known, True
        # All of them, since what stands in a branch by which nobody comes is checked as well.
        ends = {branch: self.steps(keys.get(branch), (*place, branch), known) for branch in BRANCHES[kind]}
        taken = [ends[branch] for branch in ways]
        passing = [after for after, passes in taken if passes]
        return joined(passing or [after for after, _ in taken]) if taken else known, bool(passing)


def saved(data: Any) -> Saved:
    """The responses that a scenario keeps.

    Args:
        data: The scenario as it was written, see `scenario.outline`.
    """
    walk = _Walk()
    if isinstance(data, Mapping):
        walk.steps(cast("Mapping[str, Any]", data).get("steps"), ("steps",), {})
    return Saved(walk.before, walk.places, {name: merged(shapes) for name, shapes in walk.shapes.items()})


def joined(ways: Sequence[Known]) -> Known:
    """What is known where several ways meet."""
    names = dict.fromkeys(name for way in ways for name in way)
    return {name: merged([way[name] for way in ways if name in way]) for name in names}


def _saved(save: Any) -> tuple[str, Tree] | None:
    """A response's name and shape, if that is what it says."""
    if not isinstance(save, Mapping):
        return None
    keys = cast("Mapping[str, Any]", save)
    name, schema = keys.get("as"), keys.get("schema")
    if not isinstance(name, str):
        return None
    return name, tree_of_schema(cast("Mapping[str, Any]", schema) if isinstance(schema, Mapping) else None)
