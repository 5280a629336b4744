"""The variables `event`, the latest event, and `trigger`, the event or object that started the journey.

`trigger` is put together when templates are evaluated, from data that journeys hold only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scenario.entry.objects import DATA

TRIGGER: Final = "trigger"
OBJECTS: Final = tuple(sorted({root for root, _ in DATA.values()} - {"event"}))
"""Names of trigger data that exist for the whole journey."""
_OF_EVENT: Final = ("name", "time", "properties")


def trigger_root(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of `trigger` that are stored nowhere else: its type and its event.

    Args:
        kind: The trigger's type.
        data: The clean entry's data, by root name.
    """
    event = {name: data["event"][name] for name in _OF_EVENT} if "event" in data else {}
    return {"type": kind, **event}


def with_trigger(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables with `trigger` in place."""
    trigger = {**data.get(TRIGGER, {}), **{name: data[name] for name in OBJECTS if name in data}}
    return {**data, TRIGGER: trigger} if trigger else dict(data)


def handed_as(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path in a journey's data for a path in a template: `trigger.order.…` is `order.…`."""
    return path[1:] if path[:1] == (TRIGGER,) and path[1:2] and path[1] in OBJECTS else path


def event_root(name: str, time: str | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable `event`: properties directly and under `properties`.

    ``event.order_id`` works, and ``event.properties.name`` reaches a property that `name` or `time` would hide.
    """
    return {**properties, "name": name, "time": time, "properties": dict(properties)}
