"""The variable `event`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def event_root(name: str, time: str | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable `event`: properties directly and under `properties`.

    ``event.order_id`` works, and ``event.properties.name`` reaches a property that `name` or `time` would hide.
    """
    return {**properties, "name": name, "time": time, "properties": dict(properties)}
