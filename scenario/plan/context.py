"""The part of a journey's data that a step gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from scenario.plan.plan import PATH_SEPARATOR
from scenario.plan.projection import narrowed
from scenario.type_guards import is_list, is_mapping

NO_ITEMS: Final[Mapping[str, Iterable[str]]] = MappingProxyType({})
"""No knowledge about items of lists."""


def pick(
    data: Mapping[str, Any], fields: Iterable[str], items: Mapping[str, Iterable[str]] = NO_ITEMS
) -> dict[str, Any]:
    """Return the part of the data that some fields need, in its own structure.

    Args:
        data: Data by root name.
        fields: Dotted paths, as in `scenario.plan.inputs`. A path through a list, or beyond the data, picks as much as
            it reached.
        items: For some of the fields, the parts needed of each item if the field is a list; see
            `scenario.plan.projection`. The number and order of items stay the same.
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
            if index == len(segments) - 1 or not is_mapping(value):
                narrow = index == len(segments) - 1 and path in items and is_list(value)
                target[segment] = narrowed(value, items[path]) if narrow else value
                break
            source = value
            target = target.setdefault(segment, {})
    return picked
