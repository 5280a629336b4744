"""A scenario compiled for running: a flat table of steps, each naming its successors.

The plan is what a journey carries: kinds, successors, waits, conditions as text, retry policies and which fields each
step's templates name. Template bodies stay in the store. A journey's history holds its plan once, so its JSON leaves
out everything that has its default value: **the defaults below are part of the format and never change**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Final

from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter
from pydantic.dataclasses import dataclass

from scenario.policies.draw import Lot
from scenario.policies.purpose import MARKETING
from scenario.steps.base import Row
from scenario.steps.registry import dump_row, read_row

_CONFIG = ConfigDict(extra="ignore")


Step = Annotated[Row, PlainValidator(read_row), PlainSerializer(dump_row)]
"""A step of any kind that is registered."""


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PlannedExit:
    """An event that ends the journey, wherever it is."""

    event: str
    condition: str | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PlannedGoal:
    """The event that is counted once an entry. Its condition and its value stay in the store, where it is counted.

    Attributes:
        event: Its name.
        within: Seconds from the admission; later ones do not count.
    """

    event: str
    within: float


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Plan:
    """All that a journey needs to find its way.

    Attributes:
        start: The id of the first step.
        steps: Steps by id. A successor of None is the end.
        exit: Rules for leaving early.
        zone: IANA zone of contacts that have none.
        goal: What is counted, if anything.
        purpose: The scenario's.
        follows: Whether its journeys go on in a newer version as soon as they can, rather than stay with this one.
    """

    start: str
    steps: dict[str, Step]
    exit: tuple[PlannedExit, ...] = ()
    zone: str = "UTC"
    goal: PlannedGoal | None = None
    purpose: str = MARKETING
    follows: bool = False
    events: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    def __post_init__(self) -> None:
        waited = (event for step in self.steps.values() for event in step.awaited.values())
        counted = () if self.goal is None else (self.goal.event,)
        object.__setattr__(self, "events", frozenset((*waited, *(rule.event for rule in self.exit), *counted)))

    @property
    def lots(self) -> dict[str, Lot]:
        """What is drawn at steps, by their ids."""
        return {name: step.lot for name, step in self.steps.items() if step.lot is not None}

    def ahead(self, start: str) -> list[str]:
        """The steps that may still come after one, in the plan's order."""
        return self._reached(self.steps[start].successors)

    def loops(self, step: str) -> list[str]:
        """The repetitions among whose steps one stands, in the plan's order."""
        found = [(name, row.ways[row.again]) for name, row in self.steps.items() if row.again is not None]
        return [name for name, first in found if name != step and step in self._reached((first,), but=name)]

    def _reached(self, open_ends: Sequence[str | None], but: str | None = None) -> list[str]:
        """The steps that can be come to from some, themselves among them; not by way of `but`."""
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
"""Between the segments of a field's path, as in ``contact.custom.vip``."""
EACH: Final = "[]"
"""Behind a list's name, for each of its items, as in ``options[].label``: in `Send.item_fields` alone. In `Send.fields`
it is a part of a name like any other."""

LARGEST_PLAN: Final = 1_500_000
"""Bytes of a plan as JSON: the answer that it goes along in has to stay below Temporal's 2 MB."""


def dump_plan(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON data, without what has its default value."""
    return _PLAN.dump_python(plan, mode="json", exclude_defaults=True, exclude={"events"})


def load_plan(data: Mapping[str, Any]) -> Plan:
    """Reads what `dump_plan` wrote. Keys that a newer version added are ignored."""
    return _PLAN.validate_python(data)
