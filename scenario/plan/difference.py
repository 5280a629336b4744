"""The difference between two versions of a scenario."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scenario.entry.admission import control_of
from scenario.model.document import document
from scenario.model.outline import WrittenStep, outline
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan
from scenario.policies.draw import CONTACT, CONTROL, UNITS, percent
from scenario.type_guards import Path, mapping_or_empty

_ELSEWHERE: Final = frozenset({"scenario", "description", "steps"})
"""Keys of a scenario that do not affect journeys, or that are compared step by step."""


@dataclass(frozen=True)
class Redrawn:
    """A draw whose results differ."""

    what: str
    """``split subject``, or ``control``."""
    share: int | None
    """Share of changed results, in hundredths of a percent; None if everything is drawn again."""
    whom: str
    """The units: ``contacts``, ``journeys``, or another one."""

    def since(self, version: str) -> str:
        """Return ``split subject: 7 % of contacts would now take another branch than in post-purchase@3``."""
        if self.share is None:
            return f"{self.what}: all {self.whom} are drawn anew: it has another seed or another 'by' than in {version}"
        does = "be in another group" if self.what == CONTROL else "take another branch"
        return f"{self.what}: {percent(self.share)} % of {self.whom} would now {does} than in {version}"


@dataclass(frozen=True)
class VersionDifference:
    """The difference between a version and a later one."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Changes of a step: keys of the file (``subject``, ``wait``), and other successors (``then → sms-2``)."""
    settings: tuple[str, ...] = ()
    """Changed keys of the scenario itself: ``exit``, ``timezone``."""
    redrawn: tuple[Redrawn, ...] = ()

    def __str__(self) -> str:
        parts = [f"added: {', '.join(self.added)}"] if self.added else []
        parts += [f"removed: {', '.join(self.removed)}"] if self.removed else []
        changed = [f"{step} ({', '.join(what)})" for step, what in self.changed.items()]
        parts += [f"changed: {', '.join((*self.settings, *changed))}"] if changed or self.settings else []
        return "; ".join(parts) or "nothing is different for a journey"


def difference(earlier: Scenario, later: Scenario) -> VersionDifference:
    """Compare two versions of a scenario by the ids of their steps."""
    old, new = document(earlier), document(later)
    before, after = _steps(old), _steps(new)
    plans = compile_plan(earlier), compile_plan(later)
    changed: dict[str, tuple[str, ...]] = {}
    for name, step in after.items():
        if name in before:
            what = (*_keys(before[name], step), *_ways(*plans, name))
            if what:
                changed[name] = what
    return VersionDifference(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=changed,
        settings=tuple(key for key in _differing(old, new) if key not in _ELSEWHERE),
        redrawn=tuple(_redrawn(earlier, later, *plans)),
    )


def _redrawn(earlier: Scenario, later: Scenario, old: Plan, new: Plan) -> Iterator[Redrawn]:
    gone = [lot for name, lot in old.lots.items() if name not in new.lots]
    for name, lot in new.lots.items():
        # A generated id changes if a step is inserted before it.
        was = old.lots.get(name) or next((other for other in gone if other.shares.keys() == lot.shares.keys()), None)
        if was is not None and (moved := lot.moved(was)) != 0:
            whom = f"{lot.by}s" if lot.by in UNITS else f"values of {lot.by}"
            yield Redrawn(f"{new.steps[name].kind} {name}", moved, whom)
    if moved := control_of(later).moved(control_of(earlier)):
        yield Redrawn(CONTROL, moved, f"{CONTACT}s")


def _steps(stored: Mapping[str, Any]) -> dict[str, WrittenStep]:
    return {str(written.id): written for written in outline(stored)}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key))


def _keys(before: WrittenStep, after: WrittenStep) -> Iterator[str]:
    """Yield the keys of a step whose values differ, without its inner steps."""
    yield from ["its kind"] if before.kind != after.kind else _differing(_own(before), _own(after))


def _own(step: WrittenStep) -> dict[str, Any]:
    own = {key: copy.deepcopy(value) for key, value in step.keys.items() if key != "id"}
    for _, path, _ in step.model.lists(step.keys):
        _empty(own, path)
    return own


def _empty(data: Any, path: Path) -> None:
    for part in path[:-1]:
        data = mapping_or_empty(data).get(part)
    if isinstance(data, dict) and path[-1] in data:
        data[path[-1]] = None


def _ways(old: Plan, new: Plan, name: str) -> Iterator[str]:
    """Yield successors that differ although both steps exist in both versions: the order has changed."""
    before, after = old.steps[name].ways, new.steps[name].ways
    for key, target in after.items():
        was = before.get(key, target)
        moved = was != target and (was is None or was in new.steps) and (target is None or target in old.steps)
        if moved:
            yield f"{key} → {target or 'the end'}"
