"""What is different between two versions of a scenario, for those who publish one or put journeys into it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from scenario.entry.admission import control_of
from scenario.model.document import document
from scenario.model.outline import Written, outline
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan
from scenario.policies.draw import CONTACT, CONTROL, UNITS, percent
from scenario.steps.base import Path

_ELSEWHERE: Final = frozenset({"scenario", "description", "steps"})
"""Keys of a scenario that change nothing for a journey, or that are told step by step."""


@dataclass(frozen=True)
class Redrawn:
    """A draw by which not everybody gets what they got before.

    Attributes:
        what: ``split subject``, or ``control``.
        share: How many get something else, in hundredths of a per cent; None where all are drawn anew.
        whom: Of what: ``contacts``, ``journeys``, or what else they are drawn by.
    """

    what: str
    share: int | None
    whom: str

    def since(self, version: str) -> str:
        """``split subject: 7 % of contacts would now take another branch than in post-purchase@3``."""
        if self.share is None:
            return f"{self.what}: all {self.whom} are drawn anew: it has another seed or another 'by' than in {version}"
        does = "be in another group" if self.what == CONTROL else "take another branch"
        return f"{self.what}: {percent(self.share)} % of {self.whom} would now {does} than in {version}"


@dataclass(frozen=True)
class Difference:
    """What is different between a version and a later one.

    Attributes:
        added: Steps that only the later one has.
        removed: Steps that only the earlier one has.
        changed: What changed of a step: keys of the file (``subject``, ``wait``), and ways that lead elsewhere
            (``then → sms-2``).
        settings: Keys of the scenario itself that changed: ``exit``, ``timezone``.
        redrawn: Draws that give another result to some.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    settings: tuple[str, ...] = ()
    redrawn: tuple[Redrawn, ...] = ()

    def __str__(self) -> str:
        """``added: sms-2; removed: wait-2; changed: thank-you (subject, html)``."""
        parts = [f"added: {', '.join(self.added)}"] if self.added else []
        parts += [f"removed: {', '.join(self.removed)}"] if self.removed else []
        changed = [f"{step} ({', '.join(what)})" for step, what in self.changed.items()]
        parts += [f"changed: {', '.join((*self.settings, *changed))}"] if changed or self.settings else []
        return "; ".join(parts) or "nothing is different for a journey"


def difference(earlier: Scenario, later: Scenario) -> Difference:
    """Compares two versions of a scenario, step by step, by the ids of steps."""
    old, new = document(earlier), document(later)
    before, after = _steps(old), _steps(new)
    plans = compile_plan(earlier), compile_plan(later)
    changed: dict[str, tuple[str, ...]] = {}
    for name, step in after.items():
        if name in before:
            what = (*_keys(before[name], step), *_ways(*plans, name))
            if what:
                changed[name] = what
    return Difference(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=changed,
        settings=tuple(key for key in _differing(old, new) if key not in _ELSEWHERE),
        redrawn=tuple(_redrawn(earlier, later, *plans)),
    )


def _redrawn(earlier: Scenario, later: Scenario, old: Plan, new: Plan) -> Iterator[Redrawn]:
    gone = [lot for name, lot in old.lots.items() if name not in new.lots]
    for name, lot in new.lots.items():
        # One without an id of its own has another one where a step was added before it.
        was = old.lots.get(name) or next((other for other in gone if other.shares.keys() == lot.shares.keys()), None)
        if was is not None and (moved := lot.moved(was)) != 0:
            whom = f"{lot.by}s" if lot.by in UNITS else f"values of {lot.by}"
            yield Redrawn(f"{new.steps[name].kind} {name}", moved, whom)
    if moved := control_of(later).moved(control_of(earlier)):
        yield Redrawn(CONTROL, moved, f"{CONTACT}s")


def _steps(stored: Mapping[str, Any]) -> dict[str, Written]:
    """The steps of a document, by their ids."""
    return {str(written.id): written for written in outline(stored)}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The keys whose values differ."""
    yield from (key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key))


def _keys(before: Written, after: Written) -> Iterator[str]:
    """The keys of a step whose values differ, whatever steps stand under them."""
    yield from ["its kind"] if before.kind != after.kind else _differing(_own(before), _own(after))


def _own(step: Written) -> dict[str, Any]:
    """A step as it is stored, without the steps in it and its id."""
    own = {key: copy.deepcopy(value) for key, value in step.keys.items() if key != "id"}
    for _, path, _ in step.model.lists(step.keys):
        _empty(own, path)
    return own


def _empty(data: Any, path: Path) -> None:
    for part in path[:-1]:
        data = cast("Any", data).get(part, {}) if isinstance(data, Mapping) else {}
    if isinstance(data, dict) and path[-1] in data:
        data[path[-1]] = None


def _ways(old: Plan, new: Plan, name: str) -> Iterator[str]:
    """Ways that lead to another step although both are in both versions: steps have changed their order."""
    before, after = old.steps[name].ways, new.steps[name].ways
    for key, target in after.items():
        was = before.get(key, target)
        moved = was != target and (was is None or was in new.steps) and (target is None or target in old.steps)
        if moved:
            yield f"{key} → {target or 'the end'}"
