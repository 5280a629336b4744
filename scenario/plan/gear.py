"""The gear in which a campaign works on its lines."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from scenario.plan.plan import Plan
from scenario.steps.delivery import Send

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
