"""Parts of a JSON Schema: their paths, references, and how many of them apply to one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from scenario.type_guards import Path, is_list, is_mapping, list_or_empty, mapping_at

ONE: Final = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED: Final = ("$defs", "definitions", "dependentSchemas", "properties")
"""Keywords whose values are schemas by name."""
REFERENCES: Final = ("$ref", "$dynamicRef")
_HERE: Final = ("allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then")
"""Keywords whose schemas apply to the same value as their parent."""


class Whole:
    """A whole schema, in which references are resolved.

    Args:
        schema: A schema, right or wrong.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    @cached_property
    def _anchors(self) -> dict[Any, Mapping[str, Any]]:
        named = ("$anchor", "$dynamicAnchor")
        found = ((part.get(key), part) for _, part in parts(self._schema) for key in named)
        return {name: part for name, part in found if isinstance(name, str)}

    def find(self, reference: str) -> Any:
        """Return the target of a reference, a pointer (RFC 6901) or an anchor, or None."""
        name = unquote(reference.removeprefix("#"))
        if name and not name.startswith("/"):
            return self._anchors.get(name)
        found = self._schema
        for segment in name.split("/")[1:]:
            found = _below(found, segment.replace("~1", "/").replace("~0", "~"))
        return found

    def most_looks(self) -> int | None:
        """Return the maximum number of schemas that apply to one value, without those for its parts.

        A part counts as often as references lead to it, and is computed once. Thirty definitions with two references
        each to the next apply two billion times.

        Returns:
            The number, or None if a part refers to itself without end (JSON Schema Core 2020-12, §9.4.1).
        """
        looks: dict[int, int] = {}
        for _, part in parts(self._schema):
            if not self._count(part, looks):
                return None
        return max(looks.values(), default=1)

    def _count(self, start: Mapping[str, Any], looks: dict[int, int]) -> bool:
        """Count the applications of a part and everything it refers to. Return False if that has no end.

        It uses its own stack, because a chain of references may exceed Python's recursion limit.
        """
        under_way: set[int] = set()
        stack = [(start, False)]
        while stack:
            part, done = stack.pop()
            if id(part) in looks:
                continue
            following = list(self._here(part))
            if done:
                under_way.discard(id(part))
                looks[id(part)] = 1 + sum(looks[id(other)] for other in following)
                continue
            if id(part) in under_way:
                return False
            under_way.add(id(part))
            stack.append((part, True))
            stack.extend((other, False) for other in following)
        return True

    def _here(self, part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the schemas beside a part that apply to the same value."""
        led = [self.find(name) for key in REFERENCES if isinstance(name := part.get(key), str)]
        for inner in (*led, *(item for key in _HERE for item in _schemas(part.get(key), key))):
            if is_mapping(inner):
                yield inner


def _schemas(value: Any, key: str) -> Iterator[Any]:
    if key in ONE:
        yield value
    elif is_list(value):
        yield from value
    elif is_mapping(value):
        yield from value.values()


def parts(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield a schema and all schemas in it with their paths."""
    if not is_mapping(schema):
        return
    yield path, schema
    for key in ONE:
        yield from parts(schema.get(key), (*path, key))
    for key in LISTED:
        for index, item in enumerate(list_or_empty(schema.get(key))):
            yield from parts(item, (*path, key, index))
    for key in NAMED:
        for name, item in mapping_at(schema, key).items():
            yield from parts(item, (*path, key, name))


def _below(part: Any, key: str) -> Any:
    if is_list(part):
        return part[int(key)] if key.isdecimal() and int(key) < len(part) else None
    return part.get(key) if is_mapping(part) else None
