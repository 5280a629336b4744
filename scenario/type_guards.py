"""Type guards for plain data, such as parsed JSON and YAML, and access that tolerates other types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from typing_extensions import TypeIs

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the top, such as ``("steps", 4, "then", 1)``."""


def is_mapping(value: object) -> TypeIs[Mapping[Any, Any]]:
    return isinstance(value, dict | Mapping)  # a dict is recognized without the slow check of an abstract class


def is_list(value: object) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def is_sequence(value: object) -> TypeIs[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def list_or_empty(value: object) -> list[Any]:
    """Return a list, or an empty one in place of any other value."""
    return value if is_list(value) else []


def mapping_or_empty(value: object) -> Mapping[Any, Any]:
    """Return a mapping, or an empty one in place of any other value."""
    return value if is_mapping(value) else {}


def mapping_at(keys: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the mapping under a key, or an empty one in place of any other value."""
    return mapping_or_empty(keys.get(key))


def members(value: object) -> Iterator[tuple[str | int, Any]]:
    """Yield the members of a mapping or the items of a list, with their keys or indexes; none for any other value."""
    if is_mapping(value):
        yield from value.items()
    elif is_list(value):
        yield from enumerate(value)


def walk(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield a value and all values in it, with their paths."""
    yield path, value
    for key, inner in members(value):
        yield from walk(inner, (*path, key))


def value_at(data: Any, path: Path) -> Any:
    """Return the value at a path. Raise LookupError if there is none."""
    for part in path:
        data = data[part]
    return data


def with_value(data: Any, path: Path, value: Any) -> Any:
    """Return a copy of the data with another value at a path that exists."""
    if not path:
        return value
    changed = with_value(data[path[0]], path[1:], value)
    if is_mapping(data):
        return {**data, path[0]: changed}
    return [changed if index == path[0] else item for index, item in enumerate(data)]
