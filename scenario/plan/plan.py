"""A scenario compiled for running: a flat table of steps with their successors.

A journey carries the plan: kinds, successors, waits, conditions, retry policies and the fields that templates use.
Template bodies stay in the store. The JSON leaves out default values: **the defaults below are part of the format and
never change**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from itertools import zip_longest
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter
from pydantic.dataclasses import dataclass

from scenario.policies.draw import Lot
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from scenario.steps.registry import dump_row, read_row
from scenario.words import MARKETING

_CONFIG = ConfigDict(extra="ignore")


Step = Annotated[Row, PlainValidator(read_row), PlainSerializer(dump_row)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PlannedExit:
    """An event that ends the journey."""

    event: str
    condition: str | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PlannedGoal:
    """The event that a scenario aims at, within seconds from admission. Its condition and value stay in the store."""

    event: str
    within: float


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Plan:
    """Everything that a journey needs to find its way."""

    start: str
    steps: dict[str, Step]
    """Steps by id. A successor of None is the end."""
    exit: tuple[PlannedExit, ...] = ()
    zone: str = "UTC"
    """IANA zone of contacts without a zone."""
    goal: PlannedGoal | None = None
    purpose: str = MARKETING
    follows: bool = False
    """True if its journeys follow newer versions."""
    events: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    def __post_init__(self) -> None:
        waited = (event for step in self.steps.values() for event in step.awaited.values())
        counted = () if self.goal is None else (self.goal.event,)
        object.__setattr__(self, "events", frozenset((*waited, *(rule.event for rule in self.exit), *counted)))

    @property
    def lots(self) -> dict[str, Lot]:
        return {name: step.lot for name, step in self.steps.items() if step.lot is not None}

    def ahead(self, start: str) -> list[str]:
        """Return the steps that may come after one, in the plan's order."""
        return self._reached(self.steps[start].successors)

    def loops(self, step: str) -> list[str]:
        """Return the repetitions that contain a step, in the plan's order."""
        found = [(name, row.ways[row.again]) for name, row in self.steps.items() if row.again is not None]
        return [name for name, first in found if name != step and step in self._reached((first,), but=name)]

    def _reached(self, open_ends: Sequence[str | None], but: str | None = None) -> list[str]:
        """Return the steps that can be reached from some steps, without passing through `but`."""
        reached: set[str] = set()
        left = [*open_ends]
        while left:
            name = left.pop()
            if name is not None and name != but and name not in reached:
                reached.add(name)
                left += self.steps[name].successors
        return [name for name in self.steps if name in reached]


_PLAN: Final = TypeAdapter(Plan)
PATH_SEPARATOR: Final = "."
"""Separator of a field's path, as in ``contact.custom.vip``."""
EACH: Final = "[]"
"""Suffix of a list's name for each of its items, as in ``options[].label``, in `Send.item_fields` only."""

LARGEST_PLAN: Final = 1_500_000
"""Maximum bytes of a plan as JSON. The activity result that contains it must stay below Temporal's 2 MB."""


def dump_plan(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON data without default values."""
    return _PLAN.dump_python(plan, mode="json", exclude_defaults=True, exclude={"events"})


def load_plan(data: Mapping[str, Any]) -> Plan:
    """Read a plan. Unknown keys are ignored."""
    return _PLAN.validate_python(data)


def shorten(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `dump_plan` returns without repetitions.

    Fields are listed once for all steps. A successor that is the next step is left out, and so is the first step's
    name. A store may return steps in another order; the plan is then the same, only longer.
    """
    numbers: dict[tuple[str, tuple[str, ...] | None], int] = {}
    steps: dict[str, dict[str, Any]] = {}
    for (name, row), following in zip_longest(plan["steps"].items(), list(plan["steps"])[1:]):
        short = steps[name] = dict(row)
        if short.setdefault("next", None) == following:
            del short["next"]
        if "fields" in short:
            items = {path: tuple(names) for path, names in short.pop("item_fields", {}).items()}
            named = [(path, items.get(path)) for path in short["fields"]]
            short["fields"] = [numbers.setdefault(one, len(numbers)) for one in named]
    short = {**plan, "steps": steps}
    if short["start"] == next(iter(steps)):
        del short["start"]
    if numbers:
        short["fields"] = [path if names is None else [path, *names] for path, names in numbers]
    return short


def restore(short: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan that `shorten` was given."""
    plan: dict[str, Any] = {"start": next(iter(short["steps"])), **short}
    known: list[tuple[str, list[str] | None]] = [
        (one, None) if isinstance(one, str) else (one[0], one[1:]) for one in plan.pop("fields", ())
    ]
    plan["steps"] = steps = dict[str, dict[str, Any]]()
    for (name, row), following in zip_longest(short["steps"].items(), list(short["steps"])[1:]):
        whole: dict[str, Any] = {"next": following, **row}
        steps[name] = whole
        if whole["next"] is None:
            del whole["next"]
        if "fields" in whole:
            numbers: list[int] = whole["fields"]
            named = [known[number] for number in numbers]
            whole["fields"] = [path for path, _ in named]
            if items := {path: names for path, names in named if names is not None}:
                whole["item_fields"] = items
    return plan


GearName = Literal["blast", "enter"]
_INSTANT: Final = ("divides", "ends")
"""Roles of steps that take no time."""


class Gear(NamedTuple):
    """A gear, and the reason for it."""

    name: GearName
    """``blast``: a worker sends the message of each line, and only contacts that must wait become journeys. ``enter``:
    each line starts a journey."""
    reason: str
    """A clause: ``its journeys wait at wait-1``."""
    channel: str = ""
    """The channel of the message, in the gear blast."""
    destination: str = ""
    """Its destination or host, if it has one."""


def gear_of(plan: Plan) -> Gear:
    """Return the fastest gear for a scenario."""
    sending = [name for name, row in plan.steps.items() if row.own_role == "sends"]
    if len(sending) != 1:
        return Gear("enter", f"it has {len(sending) or 'no'} sending steps")
    row = plan.steps[sending[0]]
    if type(row) is not Send or row.batch is not None:
        return Gear("enter", f"{sending[0]} sends nothing at once")
    for name, other in plan.steps.items():
        if name != sending[0] and other.role not in _INSTANT:
            return Gear("enter", f"its journeys may wait at {name}")
    if plan.exit:
        return Gear("enter", "events may end its journeys")
    if row.calls_back:
        return Gear("enter", f"{sending[0]} names journey.callback_url")
    return Gear("blast", "it sends one message, without a wait", row.channel, row.to)
