"""Variables known at each step, over all ways that lead to it: saved responses, an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final

from scenario import liquid
from scenario.errors import TemplateError
from scenario.liquid.shapes import Tree
from scenario.model.outline import outline
from scenario.responses import merged, tree_of_schema
from scenario.steps.base import Awaited, BaseStep
from scenario.steps.registry import KINDS, kind_of
from scenario.type_guards import Path, is_mapping, list_or_empty

Known = Mapping[str, Tree]
"""Responses by name, with the shapes that their schemas give."""


@dataclass(frozen=True)
class KnownVariables:
    """Variables known at one place."""

    responses: Known = field(default_factory=dict[str, Tree])
    comes: bool = False
    """True if an event may exist."""
    missed: frozenset[Path] = frozenset({()})
    """Ways without an event: each is the path of the last ``wait_for`` that timed out, or empty if the way has none. An
    empty set means that an event certainly exists."""
    entered: bool = False
    """True if the event may be the trigger's."""
    awaited: Path | None = None
    """Path of a step that awaited the event, or None."""
    asked: frozenset[tuple[str, ...]] = frozenset()
    """Properties that the conditions of such steps use."""
    passed: Path | None = None
    """Path of a step that awaited another event and timed out, or None."""
    events: frozenset[str] = frozenset()
    """Names of the events that it may be; empty if they are unknown."""


_MET: Final[frozenset[Path]] = frozenset()


@dataclass(frozen=True)
class VariableMap:
    """Variables known at the places of a scenario."""

    before: Mapping[Path, KnownVariables]
    """Variables before each step, by the step's path."""
    saves: Mapping[str, Path]
    anywhere: Known
    ends: Set[Path]
    """Paths of steps after which no contact continues."""

    def at(self, path: Path) -> KnownVariables:
        """Return the variables of a template or condition by its path. Exit rules may be evaluated at any time."""
        if path[:1] == ("exit",):
            return KnownVariables(self.anywhere)
        for length in range(len(path), 0, -1):
            if (here := self.before.get(path[:length])) is not None:
                return here
        return KnownVariables()


@dataclass
class _Walk:
    before: dict[Path, KnownVariables] = field(default_factory=dict[Path, KnownVariables])
    saves: dict[str, Path] = field(default_factory=dict[str, Path])
    shapes: dict[str, list[Tree]] = field(default_factory=dict[str, list[Tree]])
    ends: set[Path] = field(default_factory=set[Path])

    def steps(self, items: Any, path: Path, here: KnownVariables) -> tuple[KnownVariables, bool]:
        """Return the variables after a list of steps, and True if a contact can get there."""
        goes_on = True
        for index, item in enumerate(list_or_empty(items)):
            if not is_mapping(item):
                continue
            place = (*path, index)
            self.before[place] = here
            here, passes = self._step(item, place, here)
            if not passes:
                goes_on = False
                self.ends.add(place)
        return here, goes_on

    def _step(self, keys: Mapping[str, Any], place: Path, here: KnownVariables) -> tuple[KnownVariables, bool]:
        kind = kind_of(keys)
        if kind is None:
            return here, True
        step = KINDS[kind]
        if found := _saved(step.saves(keys)):
            name, shape = found
            self.saves.setdefault(name, place)
            self.shapes.setdefault(name, []).append(shape)
            return replace(here, responses={**here.responses, name: shape}), True
        if step.loop is not None:
            here = self.before[place] = _coming_back(step, keys, place, here)
        ways = step.ways(keys)
        if ways is None:
            return here, True
        # All of them: unreachable branches are checked as well.
        ends = {
            way: self.steps(branch, (*place, *inner), _entered(step, keys, way, place, here))
            for way, inner, branch in step.lists(keys)
        }
        taken = [ends[branch] for branch in ways]
        passing = [after for after, passes in taken if passes]
        return joined(passing or [after for after, _ in taken]) if taken else here, bool(passing)


def _entered(
    step: type[BaseStep], keys: Mapping[str, Any], way: str, place: Path, here: KnownVariables
) -> KnownVariables:
    """Return the variables at the start of a branch."""
    opened = {awaited.way: awaited for awaited in step.awaits(keys)}
    if way in opened:
        return replace(_after(opened[way], place, here), missed=_MET)
    if opened and way != step.loop:
        return replace(here, missed=frozenset({place}) if here.missed else _MET, passed=place)
    condition, result = step.implied(keys).get(way, (None, False))
    if here.comes and isinstance(condition, str) and result in liquid.find_certain_outcomes(condition, "event"):
        return replace(here, missed=_MET)
    return here


def _coming_back(step: type[BaseStep], keys: Mapping[str, Any], place: Path, here: KnownVariables) -> KnownVariables:
    """Return the variables at a step to which its last inner step returns."""
    ends = [here]
    for way, path, branch in step.lists(keys):
        for inner in outline({"steps": branch}) if way == step.loop else ():
            if found := _saved(inner.model.saves(inner.keys)):
                ends.append(replace(here, responses=dict([found])))
            for awaited in inner.model.awaits(inner.keys):
                spot = (*place, *path, *inner.path[1:])
                ends.append(_after(awaited, spot, replace(here, responses={})))
    return joined(ends)


def _after(awaited: Awaited, place: Path, here: KnownVariables) -> KnownVariables:
    """Return the variables after an event that a step awaited."""
    events = frozenset({awaited.event}) if isinstance(awaited.event, str) else frozenset[str]()
    asked = _asked(awaited.condition)
    return replace(here, comes=True, entered=False, awaited=place, asked=asked, events=events)


def _asked(condition: Any) -> frozenset[tuple[str, ...]]:
    try:
        named = liquid.find_fields(condition, kind="condition") if isinstance(condition, str) else frozenset[Any]()
    except TemplateError:  # a mistake already
        return frozenset()
    return frozenset(path for path in named if path[0] == "event")


def ways(data: Mapping[str, Any]) -> VariableMap:
    """Return the variables known at all places of a scenario."""
    walk = _Walk()
    # With the trigger event there is one from the beginning.
    is_event = data.get("trigger") == "event"
    start = KnownVariables(comes=True, missed=_MET, entered=True) if is_event else KnownVariables()
    walk.steps(data.get("steps"), ("steps",), start)
    anywhere = {name: merged(shapes) for name, shapes in walk.shapes.items()}
    return VariableMap(walk.before, walk.saves, anywhere, walk.ends)


def joined(ends: Sequence[KnownVariables]) -> KnownVariables:
    """Return the variables known where several ways meet."""
    names = dict.fromkeys(name for end in ends for name in end.responses)
    events = [end.events for end in ends if end.comes]
    return KnownVariables(
        {name: merged([end.responses[name] for end in ends if name in end.responses]) for name in names},
        comes=any(end.comes for end in ends),
        missed=_MET.union(*(end.missed for end in ends)),
        entered=any(end.entered for end in ends),
        awaited=next((end.awaited for end in ends if end.awaited), None),
        asked=frozenset[tuple[str, ...]]().union(*(end.asked for end in ends)),
        passed=next((end.passed for end in ends if end.passed), None),
        events=frozenset[str]().union(*events) if all(events) else frozenset(),
    )


def _saved(save: Any) -> tuple[str, Tree] | None:
    if not is_mapping(save):
        return None
    name, schema = save.get("as"), save.get("schema")
    if not isinstance(name, str):
        return None
    return name, tree_of_schema(schema if is_mapping(schema) else None)
