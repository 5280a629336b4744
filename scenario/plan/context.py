"""A journey's data as templates and conditions see it, and the part of it that a step is handed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from scenario.plan.plan import PATH_SEPARATOR
from scenario.plan.projection import narrowed

NO_ITEMS: Final[Mapping[str, Iterable[str]]] = MappingProxyType({})
"""Nothing is known of any list's items."""


def pick(
    data: Mapping[str, Any], fields: Iterable[str], items: Mapping[str, Iterable[str]] = NO_ITEMS
) -> dict[str, Any]:
    """The part of `data` that some fields need, in the shape that it has.

    Args:
        data: By root name.
        fields: Dotted paths, as `scenario.plan.inputs` lists them. A path that leads through a list, or through
            something that is not there, takes along what it got to.
        items: Of some of the fields, what is needed of each item where the field is a list; see
            `scenario.plan.projection`. As many items are picked as there are, in the same order.
    """
    picked: dict[str, Any] = {}
    for path in fields:
        source: Any = data
        target: dict[str, Any] = picked
        segments = path.split(PATH_SEPARATOR)
        for index, segment in enumerate(segments):
            if segment not in source:
                break
            value: Any = source[segment]
            if index == len(segments) - 1 or not isinstance(value, Mapping):
                narrow = index == len(segments) - 1 and path in items and isinstance(value, list)
                target[segment] = narrowed(cast("list[Any]", value), items[path]) if narrow else value
                break
            source = cast("Mapping[str, Any]", value)
            target = target.setdefault(segment, {})
    return picked
