"""A plan as people read it: blocks of steps, forks and repetitions with blocks in them.

A plan is a flat table. That its steps were written as lists in lists is found again by where the ways of a fork come
together, so plans of any age are read. What no list can be (a way back to an earlier step) becomes a `Block.jump`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from gateway.terminal import plain
from scenario.plan.plan import Plan
from scenario.steps.base import Role, Row
from scenario.time.duration import format_duration


@dataclass(frozen=True)
class Way:
    """A way out of a step.

    Attributes:
        key: As in `scenario.steps.base.Row.ways`.
        label: What people read at it; empty where there is but one.
        to: The step that it leads to; None is the end.
    """

    key: str
    label: str
    to: str | None


@dataclass(frozen=True)
class Step:
    """A step as it is shown.

    Attributes:
        id: Its id.
        kind: What an author calls it.
        role: What it does in the course of a journey.
        what: It in a few words.
        detail: What these leave out; empty where nothing.
        ways: Those that a journey may take by itself.
    """

    id: str
    kind: str
    role: Role
    what: str
    detail: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Jump:
    """A way on that leads to no neighbour: to a step that stands elsewhere, or (None) to the end."""

    to: str | None


@dataclass(frozen=True)
class Block:
    """Steps one after the other.

    Attributes:
        items: The steps, with what is in them.
        goes_on: Whether journeys come from here to what follows the block.
        jump: Where the last of them leads instead, if it leads somewhere.
    """

    items: tuple[Item, ...]
    goes_on: bool
    jump: Jump | None = None


@dataclass(frozen=True)
class Branch:
    """A way with the steps on it, as far as they are its own."""

    way: Way
    block: Block


@dataclass(frozen=True)
class Item:
    """A step with the steps in it.

    Attributes:
        step: The step.
        branches: Of a fork, its ways.
        round: Of a repetition, the way that leads back to it; its other one leads on.
    """

    step: Step
    branches: tuple[Branch, ...] = ()
    round: Branch | None = None


@dataclass(frozen=True)
class Outline:
    """A whole plan.

    Attributes:
        course: From the first step to the end.
        aside: Steps that no journey comes to.
        notes: What holds wherever a journey is: the rules for leaving, the goal.
    """

    course: Block
    aside: tuple[Block, ...]
    notes: tuple[str, ...]

    @property
    def steps(self) -> list[Step]:
        """All steps, in reading order."""
        return [step for block in (self.course, *self.aside) for step in _steps_in(block)]


def _steps_in(block: Block) -> Iterator[Step]:
    for item in block.items:
        yield item.step
        for branch in (*item.branches, *((item.round,) if item.round else ())):
            yield from _steps_in(branch.block)


def outline(plan: Plan) -> Outline:
    """Finds the blocks of a plan."""
    reader = _Reader(plan.steps)
    course = reader.block(plan.start, None)
    aside = tuple(reader.block(name, None) for name in plan.steps if name not in reader.seen)
    return Outline(course, aside, tuple(_notes(plan)))


def _notes(plan: Plan) -> Iterator[str]:
    for rule in plan.exit:
        yield _line(f"leaves on {rule.event}" + (f" if {rule.condition}" if rule.condition else ""))
    if plan.goal is not None:
        yield _line(f"goal: {plan.goal.event} within {format_duration(timedelta(seconds=plan.goal.within))}")


def _line(text: str) -> str:
    """An author's words on one line."""
    return plain(" ".join(text.split()))


class _Reader:
    """Reads blocks off the table.

    Attributes:
        seen: The steps that stand in one already.
    """

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self.seen: set[str] = set()

    def block(self, at: str | None, stop: str | None) -> Block:
        """The steps from one on, up to what follows the block."""
        items: list[Item] = []
        while at != stop:
            if at is None or at in self.seen or at not in self._rows:
                return Block(tuple(items), goes_on=False, jump=Jump(at))
            self.seen.add(at)
            step = _step(at, self._rows[at])
            match step.ways:
                case ():
                    return Block((*items, Item(step)), goes_on=False)
                case (only,):
                    items.append(Item(step))
                    at = only.to
                case (one, other) if self._rows[at].again in (one.key, other.key):
                    back, on = (one, other) if self._rows[at].again == one.key else (other, one)
                    items.append(Item(step, round=Branch(back, self.block(back.to, at))))
                    at = on.to
                case ways:
                    join = self._join(ways, stop)
                    branches = tuple(Branch(way, self.block(way.to, join)) for way in ways)
                    items.append(Item(step, branches))
                    if not any(branch.block.goes_on for branch in branches):
                        return Block(tuple(items), goes_on=False)
                    at = join
        return Block(tuple(items), goes_on=True)

    def _join(self, ways: Iterable[Way], stop: str | None) -> str | None:
        """What follows a fork: the first step that two of its ways lead to.

        Where there is none, and one way alone does not end in its branch, that one goes on rather than be a branch. Of
        ways that all end, it is the one whose steps stand last.
        """
        reached = [self._reached(way.to, stop) for way in ways]
        counts: dict[str, int] = {}
        for name in (name for found, _ in reached for name in found):
            counts[name] = counts.get(name, 0) + 1
        if common := next((name for name in self._rows if counts.get(name, 0) > 1), None):
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
        """The steps that can be come to before what follows a block; and whether that can."""
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
