"""A scenario as it would be after publishing, without a store, and the fields that its templates and conditions use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from authoring.errors import BadInput
from authoring.preview.worst import DATES, LONG
from authoring.publishing import ScenarioFile, check_file
from scenario import liquid
from scenario.check.templates import templates
from scenario.entry.objects import ALIASES, DATA, TRIGGER, handed_as
from scenario.http.destinations import KnownDestinations
from scenario.model.scenario import Scenario, document, load
from scenario.plan.compile import compile_plan, named_steps
from scenario.plan.plan import Plan, dump_plan, load_plan
from scenario.policies.policies import Policies
from scenario.source.findings import Finding, listed, near
from scenario.steps.base import BaseStep as Step

VERSION = 1  # the version in `journey.version` if the entry pins none

_OF_PUBLISHING: Final = frozenset({"secret", "no-unsubscribe"})  # findings that do not affect a preview


@dataclass(frozen=True)
class Draft:
    """A checked and compiled scenario."""

    file: ScenarioFile
    scenario: Scenario  # the scenario as it would be read back after publishing
    plan: Plan
    steps: Mapping[str, Step]  # steps by id, in the order of the file
    warnings: tuple[Finding, ...] = ()

    def require(self, step: str | None) -> None:
        if step is None or step in self.steps:
            return
        guess = near(step, self.steps) or near(step, [name.replace("-", "_") for name in self.steps])
        hint = f"did you mean '{guess}'?" if guess in self.steps else f"there are {listed(self.steps, 'and')}"
        raise BadInput(f"there is no step '{step}': {hint}")


def draft(
    file: ScenarioFile | Path, destinations: KnownDestinations | None = None, policies: Policies | None = None
) -> tuple[Draft | None, tuple[Finding, ...]]:
    """Check and compile a scenario file. Return the draft, or None if it has a mistake, and the check's findings.

    Raise BadInput if the file cannot be read.
    """
    file = file if isinstance(file, ScenarioFile) else ScenarioFile.at(file)
    checked = check_file(file, destinations, policies)
    if checked.scenario is None:
        return None, checked.findings
    # By way of the stored form, in case that changes anything.
    scenario = load(json.loads(json.dumps(document(checked.scenario))))
    plan = load_plan(dump_plan(compile_plan(scenario)))
    steps = dict(named_steps(scenario))
    findings = tuple(finding for finding in checked.findings if finding.code not in _OF_PUBLISHING)
    return Draft(file, scenario, plan, steps, findings), findings


def published(version: str, stored: Mapping[str, Any], plan: Mapping[str, Any]) -> Draft:
    """Return a published version as a draft, with places in its document as JSON, since the file is not stored.

    Raise ScenarioError if a newer program has stored it.
    """
    scenario = load(stored)
    written = json.dumps(document(scenario), ensure_ascii=False, indent=2)
    return Draft(ScenarioFile.sent(written, name=version), scenario, load_plan(plan), dict(named_steps(scenario)))


FieldPath = tuple[str, ...]

SIZE: Final = "size"  # last part of a path that means the number of items or characters
_LOOP: Final = re.compile(r"(?<![\w.-])([A-Za-z_]\w{0,60})\s+in\s+([A-Za-z_][\w.-]{0,200}\w)", re.ASCII)
_OUTPUT: Final = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)")  # the path at the beginning of an output
_DATED: Final = re.compile(  # the path that an output passes to a date filter
    r"\{\{-?\s*([A-Za-z_][\w.]*)\s*\|\s*(?:date|days_until|next_anniversary|add|subtract)\b", re.ASCII
)
_SHORT: Final = ("first", "last", "size")  # fields that Liquid gives to every list


@dataclass(frozen=True)
class UsedFields:
    """The fields that templates and conditions use."""

    named: frozenset[FieldPath] = frozenset()
    looped: Mapping[FieldPath, Set[str]] = field(default_factory=dict[FieldPath, Set[str]])
    """Paths of loops, with the fields used of each item."""
    literals: Mapping[FieldPath, Sequence[Any]] = field(default_factory=dict[FieldPath, Sequence[Any]])
    """Values that conditions compare, by path."""

    @classmethod
    def of(cls, draft: Draft) -> Self:
        return cls(named(draft), loops(draft), literals(draft))

    def inside(self, *start: str) -> UsedFields:
        depth = len(start)
        return UsedFields(
            named=frozenset(path[depth:] for path in self.named if path[:depth] == start and len(path) > depth),
            looped={path[depth:]: names for path, names in self.looped.items() if path[:depth] == start},
            literals={path[depth:]: values for path, values in self.literals.items() if path[:depth] == start},
        )

    def below(self, path: FieldPath) -> list[str]:
        depth = len(path)
        return sorted({name[depth] for name in self.named if len(name) > depth and name[:depth] == path})

    def sizes(self, path: FieldPath, most: int) -> list[int]:
        """Return the numbers of items of a list that conditions distinguish, if any."""
        wanted = self.literals.get((*path, SIZE), ())
        return [min(count, most) for count in wanted if isinstance(count, int) and count >= 0]


def _sources(draft: Draft) -> Iterator[tuple[Any, liquid.Kind]]:
    """Yield every template and condition of a journey. Its goal's are evaluated for later events."""
    written = templates(document(draft.scenario))
    return ((template.source, template.kind) for template in written if template.path[:1] != ("goal",))


def named(draft: Draft) -> frozenset[FieldPath]:
    """Return all used paths, and of conditions those into lists."""
    paths = {_where(path, draft) for source, kind in _sources(draft) for path in liquid.find_fields(source, kind=kind)}
    inside = (path[:-1] if _counts(path, values) else path for path, values in literals(draft).items())
    return frozenset(paths.union(inside))


def literals(draft: Draft) -> dict[FieldPath, list[Any]]:
    """Return the values that conditions and switches compare, by path.

    Paths of waits and date filters have dates. A path that ends in ``size`` has numbers of items.
    """
    compared = [liquid.find_compared_values(source) for source, kind in _sources(draft) if kind == "condition"]
    switches = [step.compared for step in draft.steps.values() if step.compared is not None]
    compared += [liquid.find_compared_values(*switch) for switch in switches]
    found: dict[FieldPath, list[Any]] = {}
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


def _counts(path: FieldPath, values: Sequence[Any]) -> bool:
    """Return True if a path means a number of items instead of a field."""
    return path[-1] == SIZE and all(isinstance(value, int) for value in values)


def _where(path: FieldPath, draft: Draft) -> FieldPath:
    """Return the path in an entry's data, which has no `trigger` and no second names."""
    path = handed_as(path)
    if path[0] == TRIGGER:
        return ("event", *path[1:])
    kind = draft.scenario.trigger
    return (DATA[kind][0], *path[1:]) if kind in DATA and ALIASES.get(path[0]) == DATA[kind][0] else path


def loops(draft: Draft) -> dict[FieldPath, set[str]]:
    """Return the paths of loops, with the used fields of each item, as the source text has them."""
    found: dict[FieldPath, set[str]] = {}
    for source, _ in _sources(draft):
        text = source if isinstance(source, str) else json.dumps(source)
        for item, path in _LOOP.findall(text):
            used = re.findall(rf"(?<![\w.-]){item}\.(\w+)", text)
            place = _where(tuple(path.split(".")), draft)
            found.setdefault(place, set()).update(name for name in used if name not in _SHORT)
    return found
