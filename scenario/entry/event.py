"""An event as templates and conditions see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def event_root(name: str, time: str | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """An event under the name `event`: its properties both directly and under `properties`.

    So ``event.order_id`` works, and ``event.properties.name`` reaches a property that `name` or `time` would hide.
    """
    return {**properties, "name": name, "time": time, "properties": dict(properties)}
