"""The JSON Schema of a saved response: its mistakes, the shape that templates see, and validation in bounded time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from scenario.liquid.shapes import Anything, ListOf, Object, Tree, Value
from scenario.source.decoding import size_of
from scenario.source.findings import Flaw, Severity, clip, closest, listed
from scenario.type_guards import Path, is_list, is_mapping, list_or_empty, mapping_at

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

ONE: Final = (
    *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED: Final = ("$defs", "definitions", "dependentSchemas", "properties")
"""Keywords whose values are schemas by name."""
REFERENCES: Final = ("$ref", "$dynamicRef")
_HERE: Final = ("allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then")
"""Keywords whose schemas apply to the same value as their parent."""

MAX_SCHEMA: Final = 16 * 1024
"""Maximum bytes of a schema as compact JSON."""
MAX_LOOKS: Final = 2_000
"""Maximum number of schemas that apply to one value: a tenth of the steps of `validation`."""

_NOTES: Final = frozenset(
    {"$anchor", "$comment", "$dynamicAnchor", "$id", "$schema", "$vocabulary", "contentEncoding", "contentMediaType"}
    | {"contentSchema", "default", "deprecated", "description", "examples", "maxContains", "minContains", "readOnly"}
    | {"title", "writeOnly"}
)
"""Keywords that do not restrict values by themselves."""
_LONGEST: Final = 30
"""Maximum length of a keyword for suggestions."""
_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_CALLED: Final[Mapping[str, str]] = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "keys with values",
    "string": "text",
}
_DEEPEST: Final = 20
_MOST: Final = 2_000
"""Maximum number of parts that are turned into shapes: references can make a small schema endless."""
_ANYTHING: Final = Anything()


def _flaw(path: Path, message: str, severity: Severity = "error") -> Flaw:
    return Flaw(path, "schema", message, severity=severity)


def faults_of(schema: Mapping[str, Any]) -> list[Flaw]:
    if size_of(schema) > MAX_SCHEMA:
        return [_flaw((), f"the schema is larger than {MAX_SCHEMA // 1024} KB: say less of the response")]
    faults = list(dict.fromkeys((*_malformed(schema), *_unusable(schema))))
    if any(fault.severity == "error" for fault in faults):
        return faults
    looks = Whole(schema).most_looks()
    if looks is None:
        return [*faults, _flaw((), "the schema refers to itself without end")]
    message = f"more than {MAX_LOOKS:,} schemas look at one value, by references to references: leave out some"
    return faults if looks <= MAX_LOOKS else [*faults, _flaw((), message)]


def _malformed(schema: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield violations of the meta-schema."""
    from jsonschema import Draft202012Validator  # here, not above: most scenarios have no schema, and it loads slowly

    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    for error in validator.iter_errors(schema):  # pyright: ignore[reportUnknownMemberType]
        yield _flaw(tuple(error.absolute_path), _worded(error))


def _worded(error: ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    value = clip(json.dumps(error.instance, ensure_ascii=False)).strip('"')
    if "type" in path[-2:] and error.validator == "anyOf":
        if is_list(error.instance):
            return f"'type' names one or several of {listed(_TYPES)}, each once"
        close = closest(value.lower(), _TYPES, 0.5)
        return f"'{value}' is not a type: " + (f"did you mean '{close}'?" if close else f"write {listed(_TYPES)}")
    name = next((part for part in reversed(path) if not part.isdecimal()), "the schema")
    if error.validator == "type":
        expected = cast("str | list[str]", error.validator_value)
        kinds = [expected] if isinstance(expected, str) else expected
        return f"'{name}' must be {listed(_CALLED.get(kind, kind) for kind in kinds)}"
    return f"'{value}' is not allowed in '{name}'"


def _unusable(schema: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield valid keywords that are not supported."""
    whole = Whole(schema)
    for path, part in parts(schema):
        for key, value in part.items():
            place = (*path, key)
            if key in REFERENCES and isinstance(value, str):
                if not value.startswith("#"):
                    message = f"'{clip(value)}' is elsewhere, and nothing is fetched: write it under '$defs' here"
                    yield _flaw(place, message)
                elif whole.find(value) is None:
                    yield _flaw(place, f"'{clip(value)}' leads nowhere in this schema")
            elif key == "$id" and path:
                yield _flaw(place, "'$id' stands at the top of a schema only")
            elif key == "patternProperties":
                message = "'patternProperties' is not known here: use 'additionalProperties' for names that vary"
                yield _flaw(place, message)
            elif key in UNCHECKED:
                yield _flaw(place, f"'{key}' is not looked at: any value passes here", "warning")
            elif key not in _keywords() and (meant := _meant(key)):
                yield _flaw(place, f"'{clip(key)}' means nothing here: did you mean '{meant}'?", "warning")


@lru_cache(1)
def _keywords() -> tuple[str, ...]:
    from jsonschema import Draft202012Validator

    return (*Draft202012Validator.VALIDATORS, *ONE, *NAMED, *sorted(_NOTES))


@lru_cache(256)
def _meant(key: str) -> str | None:
    return closest(key, _keywords(), 0.8) if len(key) <= _LONGEST else None


# ---- parts of a schema: their paths, references, and how many of them apply to one value


class Whole:
    """A whole schema, right or wrong, in which references are resolved."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.left = _MOST  # number of parts that may still be turned into shapes

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
        each to the next apply two billion times. Return None if a part refers to itself without end (JSON Schema Core
        2020-12, §9.4.1).
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


# ---- the shape that templates see


def tree_of_schema(schema: Mapping[str, Any] | None) -> Tree:
    """Return the shape of values that a schema, right or wrong, accepts, for the linter. None accepts any value.

    An object has the listed properties only, although JSON Schema accepts others, because an author who lists them
    means these. `additionalProperties` allows more.
    """
    return _tree(schema, Whole(schema), 0)


def _tree(part: Any, whole: Whole, depth: int) -> Tree:
    whole.left -= 1
    if not is_mapping(part) or depth > _DEEPEST or whole.left < 0:
        return _ANYTHING
    if isinstance(reference := part.get("$ref"), str):
        return _tree(whole.find(reference), whole, depth + 1) if reference.startswith("#") else _ANYTHING
    choices = [item for key in ("allOf", "anyOf", "oneOf") for item in list_or_empty(part.get(key))]
    choices = [item for item in choices if not (is_mapping(item) and item.get("type") == "null")]
    shapes = [_tree(item, whole, depth + 1) for item in choices]
    if not choices or "properties" in part:
        shapes.append(_own(part, whole, depth))
    return merged(shapes)


def _own(keys: Mapping[str, Any], whole: Whole, depth: int) -> Tree:
    """Return the shape by a schema's own keywords, without those of combined schemas."""
    match _type(keys):
        case "object":
            properties = mapping_at(keys, "properties")
            more = keys.get("additionalProperties", not properties)
            fields = {str(name): _tree(item, whole, depth + 1) for name, item in properties.items()}
            return Object(fields, open=more is not False)
        case "array":
            return ListOf(_tree(keys.get("items"), whole, depth + 1) if "prefixItems" not in keys else _ANYTHING)
        case "string":
            return Value("date" if keys.get("format") in ("date", "date-time") else "text")
        case "integer" | "number":
            return Value("number")
        case "boolean":
            return Value("flag")
        case _:
            return _ANYTHING


def _type(keys: Mapping[str, Any]) -> str | None:
    given = keys.get("type")
    kinds = [kind for kind in given if kind != "null"] if is_list(given) else [given]
    if len(kinds) == 1 and isinstance(kinds[0], str):
        return kinds[0]
    if given is None and "properties" in keys:
        return "object"
    is_text = given is None and all(isinstance(word, str) for word in list_or_empty(keys.get("enum")) or (0,))
    return "string" if is_text else None


def merged(shapes: Sequence[Tree]) -> Tree:
    """Return the shape of a value that has one of several shapes."""
    if len(shapes) == 1 or (shapes and all(shape == shapes[0] for shape in shapes)):
        return shapes[0]
    objects = [shape for shape in shapes if isinstance(shape, Object)]
    if not shapes or len(objects) < len(shapes):
        return _ANYTHING
    names = dict.fromkeys(name for shape in objects for name in shape.fields)
    fields = {name: merged([shape.fields[name] for shape in objects if name in shape.fields]) for name in names}
    return Object(fields, open=any(shape.open for shape in objects))


# ---- validation

UNCHECKED: Final = ("pattern", "uniqueItems")
"""Ignored keywords: a response could make them take hours."""
_STEPS: Final = 20_000
"""Maximum number of keywords applied to one response: about a tenth of a second."""


class _TooMuch(Exception):
    """A schema needs too many steps for a value."""


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return where plain JSON violates a schema without faults, as the end of a sentence, or None if it is valid.

    Keywords in `UNCHECKED` are ignored; nothing is downloaded.
    """
    from referencing import Registry  # here, not above: most journeys have no schema to wait for
    from referencing.exceptions import Unresolvable

    _work.left = _STEPS
    # An empty registry knows of no other schema, and fetches none.
    validator = _kind()(dict(schema), registry=cast("Any", Registry)())
    try:
        error = next(validator.iter_errors(value), None)
    except (_TooMuch, RecursionError, OverflowError, Unresolvable):
        return ", which cannot be applied to it"
    if error is None:
        return None
    # The place in the schema, never a value or a key of the response.
    return f", at '{clip('/'.join(map(str, error.absolute_schema_path)), 200) or 'its top'}'"


class _Work(threading.local):
    """Steps left for the validation in this thread."""

    left = 0


_work: Final = _Work()


def _counted(check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _work.left -= 1
        if _work.left < 0:
            raise _TooMuch
        yield from check(validator, value, instance, schema) or ()

    return keyword


@cache
def _kind() -> Callable[..., Validator]:
    """Return the class of validators that count their steps."""
    from jsonschema import Draft202012Validator, validators

    known = Draft202012Validator.VALIDATORS
    counted = {name: _counted(check) for name, check in known.items() if name not in UNCHECKED}
    made = validators.create(Draft202012Validator.META_SCHEMA, counted)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[..., Validator]", made)
