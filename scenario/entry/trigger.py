"""`trigger`: what admitted the contact, under one name, whatever event was awaited since.

An order, a cart or a reward is there under a name of its own already. It is neither handed on nor kept twice: `trigger`
is put together where templates and conditions are worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scenario.entry.objects import DATA

TRIGGER: Final = "trigger"
OBJECTS: Final = tuple(sorted({root for root, _ in DATA.values()} - {"event"}))
"""The names under which what a trigger brings is there for as long as a journey runs."""
_OF_EVENT: Final = ("name", "time", "properties")


def trigger_root(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What `trigger` has that is nowhere else: its type, and the event, which another one may follow.

    Args:
        kind: The trigger's type.
        data: The clean entry's, by root name.
    """
    event = {name: data["event"][name] for name in _OF_EVENT} if "event" in data else {}
    return {"type": kind, **event}


def with_trigger(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data as templates and conditions see them: with what is below `trigger` in its place.

    Args:
        data: By root name; all of a journey's, or what a step is handed of it.
    """
    trigger = {**data.get(TRIGGER, {}), **{name: data[name] for name in OBJECTS if name in data}}
    return {**data, TRIGGER: trigger} if trigger else dict(data)


def handed_as(path: tuple[str, ...]) -> tuple[str, ...]:
    """Where in a journey's data is what a template names by a path: of `trigger.order.…` it is `order.…`."""
    return path[1:] if path[:1] == (TRIGGER,) and path[1:2] and path[1] in OBJECTS else path
