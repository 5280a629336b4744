"""Made-up responses to the webhooks of a scenario, by their JSON Schemas."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from activities.redaction import KnownSecrets
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import SavedResponse, save_response
from authoring.preview import worst
from authoring.preview.draft import Draft, FieldPath, UsedFields
from scenario.model.parts import Save
from scenario.responses import REFERENCES, Whole, misfit
from scenario.type_guards import is_mapping, list_or_empty

_DEEPEST: Final = 12  # maximum nesting of a made-up value, for schemas that refer to themselves
_PARTS: Final = 400  # Maximum number of values in it. A response of 16 KB has few more.
_MANY: Final = 40
_ROWS: Final = (0, 1, 2, 3)
_BOUNDS: Final = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
_LEAF: Final = ("type", "maxLength", "minLength", *_BOUNDS)  # keywords that decide on values without parts
_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {  # keywords that imply a type
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties", "propertyNames"),
    "array": ("items", "prefixItems", "contains", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": _BOUNDS,
}


class Unmade(Exception):
    """No value was found. Another try may succeed."""


class MadeUpAnswer:
    """Makes up one response.

    Its mode is ``ordinary``, ``empty`` (as little as possible) or ``mixed`` (anything).
    """

    def __init__(self, chance: random.Random, schema: Mapping[str, Any] | None, used: UsedFields, mode: str) -> None:
        self._chance, self._schema, self._used, self._mode = chance, schema, used, mode
        self._whole = Whole(schema)
        self._left = _PARTS

    def value(self) -> Any:
        """Return a response. Not all of them match the schema. Raise Unmade if none was found."""
        if self._schema is not None:
            return self._by(self._schema, (), 0)
        if self._mode == "mixed" and self._chance.random() < 0.25:
            return self._chance.choice(worst.WHOLES)
        return self._object({}, (), 0)

    def _by(self, schema: Any, path: FieldPath, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise Unmade
        flat = self._flat(schema)
        if "const" in flat:
            return flat["const"]
        if choices := list_or_empty(flat.get("enum")):
            return self._chance.choice(choices)
        match self._kind(flat):
            case "object":
                return self._object(flat, path, depth)
            case "array":
                return self._list(flat, path, depth)
            case "null":
                return None
            case None:
                return self._free(path, depth)
            case kind:
                return self._leaf({**flat, "type": kind}, path)

    def _flat(self, schema: Any) -> dict[str, Any]:
        """Return a schema with one choice of each alternative, and with its references resolved."""
        if schema is False:
            raise Unmade
        if not is_mapping(schema):
            return {}
        others = [self._whole.find(name) for key in REFERENCES if isinstance(name := schema.get(key), str)]
        others += list_or_empty(schema.get("allOf"))
        others += [
            self._chance.choice(items) for key in ("anyOf", "oneOf") if (items := list_or_empty(schema.get(key)))
        ]
        if "if" in schema:
            held = self._chance.random() < 0.5
            others += [schema["if"], schema.get("then")] if held else [schema.get("else")]
        flat: dict[str, Any] = dict(schema)
        for other in others:
            flat = _joined(flat, self._flat(other))
        return flat

    def _kind(self, flat: Mapping[str, Any]) -> str | None:
        given = flat.get("type")
        if isinstance(given, str):
            return given
        if kinds := list_or_empty(given):
            return self._chance.choice(kinds)
        return next((kind for kind, keys in _OF_TYPE.items() if not flat.keys().isdisjoint(keys)), None)

    def _object(self, flat: Mapping[str, Any], path: FieldPath, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = flat.get("properties") or {}
        required = list_or_empty(flat.get("required"))
        more = flat.get("additionalProperties", True)
        names = {name: properties[name] for name in properties if name in required or self._is_there()}
        if more is not False:
            named = (*self._used.below(path), *(("more",) if self._mode == "mixed" else ()))
            names |= {name: more for name in named if name not in properties and self._is_there()}
        names |= {name: more for name in required if name not in names}
        names |= {f"more{number}": more for number in range(_count(flat.get("minProperties"), 0) - len(names))}
        return {name: self._by(inner, (*path, name), depth + 1) for name, inner in names.items()}

    def _is_there(self) -> bool:
        return self._mode == "ordinary" or (self._mode == "mixed" and self._chance.random() < 0.8)

    def _list(self, flat: Mapping[str, Any], path: FieldPath, depth: int) -> list[Any]:
        least, first = _count(flat.get("minItems"), 0), list_or_empty(flat.get("prefixItems"))
        least = max(least, 1 if "contains" in flat else 0)
        most = _count(flat.get("maxItems"), max(least, _MANY))
        mixed = self._chance.choice((*self._used.sizes(path, _MANY), *_ROWS, most))
        rows = min(max({"ordinary": 2, "empty": 0}.get(self._mode, mixed), least), most)
        items = [*first[:rows], *[flat.get("items", True)] * max(0, rows - len(first))]
        made = [self._by(item, path, depth + 1) for item in items]
        if made and "contains" in flat:
            made[-1] = self._by(flat["contains"], path, depth + 1)
        return made

    def _leaf(self, flat: Mapping[str, Any], path: FieldPath) -> Any:
        """Return a text, a number or a boolean. Formats and patterns are ignored."""
        kind = str(flat["type"])
        usual, worse = worst.ANSWERS.get(kind, ((), ()))
        if kind == "string" and (known := worst.FORMATS.get(str(flat.get("format")))):
            usual = worse = known
        least = flat.get("minLength")
        edges = [flat[key] for key in _BOUNDS if key in flat]
        edges += ["x" * min(least, worst.LONG)] if isinstance(least, int) else []
        named = [*self._used.literals.get(path, ()), *list_or_empty(flat.get("examples")), flat.get("default")]
        groups = [named, usual, [*worse, *edges]]
        match self._mode:
            case "ordinary":
                first = 0
            case "empty":
                groups, first = [[value for value in worse if not value], *groups], 0
            case _:
                first = self._chance.choices((0, 1, 2), (3, 2, 5))[0]
        leaf = json.dumps({key: flat[key] for key in _LEAF if key in flat})
        for group in (*groups[first:], *groups[:first]):
            if fitting := [value for value in group if value is not None and _fits(json.dumps(value), leaf)]:
                return self._chance.choice(fitting)
        raise Unmade

    def _free(self, path: FieldPath, depth: int) -> Any:
        if path in self._used.looped:
            return self._rows(path)
        if self._used.below(path):
            if self._mode == "mixed" and self._chance.random() < 0.1:
                return self._chance.choice(worst.WHOLES)
            rows = self._used.sizes(path, _MANY)
            made = [self._object({}, path, depth) for _ in range(self._chance.choice(rows) if rows else 1)]
            return made if rows else made[0]
        return self._scalar(path)

    def _rows(self, path: FieldPath) -> Any:
        if self._mode != "ordinary" and self._chance.random() < 0.2:
            return self._chance.choice((None, []))
        names = sorted(self._used.looped[path])
        rows = 2 if self._mode == "ordinary" else self._chance.choice((*_ROWS, _MANY))
        if not names:
            return [self._scalar(()) for _ in range(rows)]
        return [{name: self._scalar((*path, name)) for name in names if self._is_there()} for _ in range(rows)]

    def _scalar(self, path: FieldPath) -> Any:
        literals = self._used.literals.get(path)
        if self._mode == "empty":
            return self._chance.choice((None, "", []))
        if literals and self._chance.random() < 0.6:
            return self._chance.choice(literals)
        if self._mode == "ordinary" or self._chance.random() < 0.4:
            return "a1"
        return self._chance.choice(worst.JSON)


@lru_cache(2048)
def _fits(value: str, schema: str) -> bool:
    return misfit(json.loads(value), json.loads(schema)) is None


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Combine two schemas of one value. The first one's keywords win."""
    both = {**other, **one}
    if "properties" in one and "properties" in other:
        mine: Mapping[str, Any] = one["properties"]
        theirs: Mapping[str, Any] = other["properties"]
        shared = {name: {"allOf": [mine[name], theirs[name]]} for name in mine if name in theirs}
        both["properties"] = {**theirs, **mine, **shared}
    if "required" in one and "required" in other:
        both["required"] = list(dict.fromkeys((*list_or_empty(one["required"]), *list_or_empty(other["required"]))))
    return both


def _count(value: Any, default: int) -> int:
    return min(int(value), _PARTS) if isinstance(value, int | float) else default


_DRAWS: Final = 20  # number of tries for each response that matches its schema
_LOST: Final = 0.15  # probability of no saved response, for example because it was not JSON


class Replies:
    """Responses for one scenario by name. The same seed and number give the same ones."""

    def __init__(self, draft: Draft, seed: int, given: Mapping[str, Any]) -> None:
        self._seed, self._given = seed, given
        self._saves: dict[str, list[Save]] = {}
        for step in draft.steps.values():
            if step.saved is not None:
                self._saves.setdefault(step.saved.name, []).append(step.saved)
        used = UsedFields.of(draft)
        self._used = {name: used.inside("responses", name) for name in self._saves}
        self._made: set[str] = set()
        self._tried: set[str] = set()

    @property
    def unmade(self) -> list[str]:
        return sorted(self._tried - self._made)

    def made(self, number: int) -> dict[str, Any]:
        """Return the responses to a contact by its number, from 1: first ordinary ones, then none, then few."""
        chance = random.Random(f"{self._seed}/{number}/responses")  # noqa: S311
        mode = {1: "ordinary", 3: "empty"}.get(number, "mixed")
        made = dict(self._given)
        for name, saves in sorted(self._saves.items()):
            # Without a required response, a journey does not continue.
            may_be_lost = not all(save.required for save in saves)
            if name in made or (may_be_lost and (number == 2 or (mode == "mixed" and chance.random() < _LOST))):
                continue
            self._tried.add(name)
            value = self._one(chance, chance.choice(saves), mode)
            if value is not None:
                self._made.add(name)
                made[name] = value
        return made

    def _one(self, chance: random.Random, save: Save, mode: str) -> Any:
        for draw in range(_DRAWS):
            # A strict schema is rather met by a value that has everything, or nothing.
            way = mode if draw < _DRAWS // 2 else ("ordinary", "empty")[draw % 2]
            try:
                value = keep(save, MadeUpAnswer(chance, save.shape, self._used[save.name], way).value()).value
            except Unmade:
                continue
            if value is not None:
                return value
        return None


def keep(save: Save, value: Any) -> SavedResponse:
    """Return the part of a response that a worker would save."""
    body = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    return save_response(save, Response(200, {}, body), KnownSecrets())
