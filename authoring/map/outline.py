"""The content of a map: a plan as nested blocks of steps, forks and repetitions, and additions to its steps.

A plan is a flat table. The blocks are found by where the ways of a fork meet, so plans of any age can be read. A way
back to an earlier step becomes a `Block.jump`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from scenario.plain_text import plain
from scenario.plan.migration import VersionDifference
from scenario.plan.plan import Plan
from scenario.steps.base import Role, Row
from scenario.time import format_duration

Mark = Literal["added", "changed"]
NUMBERS: Final = ("waiting", "retrying", "held", "paused", "running", "passed", "failed", "skipped")
"""Counts at steps, in their order."""


@dataclass(frozen=True)
class Way:
    """A way out of a step."""

    key: str  # as in `scenario.steps.base.Row.ways`
    label: str  # its label; empty for a single way
    to: str | None  # the next step; None is the end


@dataclass(frozen=True)
class Step:
    """A step of a map."""

    id: str
    kind: str
    role: Role
    what: str
    detail: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class ShownStep:
    """A step with its additions."""

    step: Step
    numbers: Mapping[str, int]  # its counts without zeros
    mark: Mark | None
    changes: tuple[str, ...]
    link: str | None


@dataclass(frozen=True)
class Overlay:
    """Additions to a map."""

    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """Numbers of people at each step: `{"thank-you": {"waiting": 3}}`, with words of `NUMBERS`."""
    marks: Mapping[str, Mark] = field(default_factory=dict[str, Mark])
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Changed keys of steps: `{"thank-you": ("subject", "html")}`."""
    removed: tuple[str, ...] = ()  # steps of the other version only
    link: Callable[[str], str | None] = lambda _: None  # returns a step's URL, or None

    def of(self, step: Step) -> ShownStep:
        found = self.numbers.get(step.id, {})
        numbers = {word: number for word in NUMBERS if (number := found.get(word, 0))}
        return ShownStep(step, numbers, self.marks.get(step.id), self.changes.get(step.id, ()), self.link(step.id))


def since(
    difference: VersionDifference,
    numbers: Mapping[str, Mapping[str, int]] | None = None,
    link: Callable[[str], str | None] = lambda _: None,
) -> Overlay:
    """Return the overlay that marks the differences from another version to the drawn one."""
    marks: dict[str, Mark] = dict.fromkeys(difference.changed, "changed")
    marks |= dict.fromkeys(difference.added, "added")
    return Overlay(numbers or {}, marks, difference.changed, difference.removed, link)


@dataclass(frozen=True)
class Jump:
    """A way to a step elsewhere, or (None) to the end."""

    to: str | None


@dataclass(frozen=True)
class Block:
    """A sequence of steps."""

    items: tuple[OutlineItem, ...]
    goes_on: bool  # True if journeys continue behind the block
    jump: Jump | None = None  # the target of its last step, if it is elsewhere


@dataclass(frozen=True)
class Branch:
    """A way with its own steps."""

    way: Way
    block: Block


@dataclass(frozen=True)
class OutlineItem:
    """A step with its contents."""

    step: Step
    branches: tuple[Branch, ...] = ()  # ways of a fork
    round: Branch | None = None  # the way of a repetition that returns to it


@dataclass(frozen=True)
class Outline:
    """A whole plan."""

    course: Block  # the steps from the first to the end
    aside: tuple[Block, ...]
    notes: tuple[str, ...]  # exit rules and the goal

    @property
    def steps(self) -> list[Step]:
        return [step for block in (self.course, *self.aside) for step in _steps_in(block)]


def _steps_in(block: Block) -> Iterator[Step]:
    for item in block.items:
        yield item.step
        for branch in (*item.branches, *((item.round,) if item.round else ())):
            yield from _steps_in(branch.block)


def outline(plan: Plan) -> Outline:
    reader = _OutlineReader(plan.steps)
    course = reader.block(plan.start, None)
    aside = tuple(reader.block(name, None) for name in plan.steps if name not in reader.seen)
    notes = [
        f"leaves on {rule.event} if {rule.condition}" if rule.condition else f"leaves on {rule.event}"
        for rule in plan.exit
    ]
    if plan.goal is not None:
        notes.append(f"goal: {plan.goal.event} within {format_duration(timedelta(seconds=plan.goal.within))}")
    return Outline(course, aside, tuple(map(_line, notes)))


def _line(text: str) -> str:
    return plain(" ".join(text.split()))


class _OutlineReader:
    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self.seen: set[str] = set()

    def block(self, at: str | None, stop: str | None) -> Block:
        """Return the steps from one on, up to what follows the block."""
        items: list[OutlineItem] = []
        while at != stop:
            if at is None or at in self.seen or at not in self._rows:
                return Block(tuple(items), goes_on=False, jump=Jump(at))
            self.seen.add(at)
            step = _step(at, self._rows[at])
            match step.ways:
                case ():
                    return Block((*items, OutlineItem(step)), goes_on=False)
                case (only,):
                    items.append(OutlineItem(step))
                    at = only.to
                case (one, other) if self._rows[at].again in (one.key, other.key):
                    back, on = (one, other) if self._rows[at].again == one.key else (other, one)
                    items.append(OutlineItem(step, round=Branch(back, self.block(back.to, at))))
                    at = on.to
                case ways:
                    join = self._join(ways, stop)
                    branches = tuple(Branch(way, self.block(way.to, join)) for way in ways)
                    items.append(OutlineItem(step, branches))
                    if not any(branch.block.goes_on for branch in branches):
                        return Block(tuple(items), goes_on=False)
                    at = join
        return Block(tuple(items), goes_on=True)

    def _join(self, ways: Iterable[Way], stop: str | None) -> str | None:
        """Return the step behind a fork: the first one to which two of its ways lead.

        Without such a step, if only one way continues, that way continues behind the fork. If all ways end, the last
        one does.
        """
        reached = [self._reached(way.to, stop) for way in ways]
        counts = Counter(name for found, _ in reached for name in found)
        if common := next((name for name in self._rows if counts[name] > 1), None):
            return common
        targets = [way.to for way in ways]
        on = [target for target, (_, goes_on) in zip(targets, reached, strict=True) if goes_on]
        match on:
            case []:
                order = {name: number for number, name in enumerate(self._rows)}
                return max(targets, key=lambda name: order.get(name or "", -1))
            case [only]:
                return only
            case _:
                return stop

    def _reached(self, at: str | None, stop: str | None) -> tuple[set[str], bool]:
        """Return the steps that are reachable before the end of a block, and True if its end is."""
        found: set[str] = set()
        goes_on, left = False, [at]
        while left:
            name = left.pop()
            if name == stop:
                goes_on = True
            elif name is not None and name in self._rows and name not in found:
                found.add(name)
                ways = self._rows[name].ways
                left += (ways[key] for key in self._rows[name].labels)
        return found, goes_on


def _step(name: str, row: Row) -> Step:
    labels = row.labels
    ways = tuple(Way(key, _line(label) if len(labels) > 1 else "", row.ways[key]) for key, label in labels.items())
    return Step(name, row.kind, row.role, _line(row.describe()), _line(row.detail), ways)
