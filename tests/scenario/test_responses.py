# ruff: noqa: E501 - findings are asserted whole
"""Schemas of responses: their mistakes, what templates see by them, and which responses fit."""

from typing import Any

import pytest

from scenario.liquid.shapes import Anything, ListOf, Object, Tree, Value
from scenario.responses import MAX_LOOKS, Whole, faults_of, misfit, tree_of_schema
from scenario.source.findings import Flaw, Severity
from scenario.type_guards import Path


def flaw(path: Path, message: str, severity: Severity = "error") -> Flaw:
    return Flaw(path, "schema", message, severity=severity)


FAULTS: tuple[tuple[dict[str, Any], list[Flaw]], ...] = (
    ({}, []),
    ({"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "uuid"}}}, []),
    ({"$ref": "#/items/0", "items": [1]}, [flaw(("items",), "'items' must be keys with values or true or false"), ]),
    ({"properties": {"a/b": {}, "c": {"$ref": "#/properties/a~1b"}}}, []),
    ({"properties": {"$ref": {"type": "string"}, "$id": True, "pattern": False}}, []),
    ({"$id": "https://x.example/s.json", "$schema": "https://json-schema.org/draft/2020-12/schema"}, []),
    ({"const": {"$ref": "http://x"}, "x-note": "y"}, []),
    ({"type": "strnig"}, [flaw(("type",), "'strnig' is not a type: did you mean 'string'?")]),
    ({"type": "zzz"}, [flaw(("type",), "'zzz' is not a type: write array, boolean, integer, null, number, object or string")]),
    ({"type": ["string", "x"]}, [flaw(("type",), "'type' names one or several of array, boolean, integer, null, number, object or string, each once")]),
    ({"properties": {"a": {"required": "b"}}}, [flaw(("properties", "a", "required"), "'required' must be a list")]),
    ({"properties": {"a": 3}}, [flaw(("properties", "a"), "'a' must be keys with values or true or false")]),
    ({"minLength": -1}, [flaw(("minLength",), "'-1' is not allowed in 'minLength'")]),
    ({"$ref": "other.json"}, [flaw(("$ref",), "'other.json' is elsewhere, and nothing is fetched: write it under '$defs' here")]),
    ({"items": {"$ref": "#/$defs/a"}}, [flaw(("items", "$ref"), "'#/$defs/a' leads nowhere in this schema")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"if": True, "then": {"$ref": "#/$defs/a"}}}}, [flaw((), "the schema refers to itself without end")]),
    ({"$defs": {"a": {"dependentSchemas": {"x": {"$ref": "#/$defs/a"}}}}}, [flaw((), "the schema refers to itself without end")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}, "contains": {"$ref": "#"}}}}, []),
    ({"items": {"$id": "x"}}, [flaw(("items", "$id"), "'$id' stands at the top of a schema only")]),
    ({"patternProperties": {"a": {}}}, [flaw(("patternProperties",), "'patternProperties' is not known here: use 'additionalProperties' for names that vary")]),
    ({"pattern": "a+"}, [flaw(("pattern",), "'pattern' is not looked at: any value passes here", "warning")]),
    ({"requried": ["a"]}, [flaw(("requried",), "'requried' means nothing here: did you mean 'required'?", "warning")]),
    ({"description": "x" * 17_000}, [flaw((), "the schema is larger than 16 KB: say less of the response")]),
)  # fmt: skip


@pytest.mark.parametrize(("schema", "faults"), FAULTS, ids=[str(schema)[:60] for schema, _ in FAULTS])
def test_what_is_wrong_with_a_schema_is_said_once(schema: dict[str, Any], faults: list[Flaw]):
    assert faults_of(schema) == faults


TEXT, NUMBER, FLAG, ANYTHING = Value("text"), Value("number"), Value("flag"), Anything()
TREES: list[tuple[Any, Tree]] = [
    (None, ANYTHING),
    ({"type": "string"}, TEXT),
    ({"type": ["null", "integer"]}, NUMBER),
    ({"type": ["string", "integer"]}, ANYTHING),
    ({"type": "boolean"}, FLAG),
    ({"type": "string", "format": "date"}, Value("date")),
    ({"enum": ["a", "b"]}, TEXT),
    ({"enum": ["a", 1]}, ANYTHING),
    ({"type": "object"}, Object({}, open=True)),
    ({"properties": {"a": True}, "additionalProperties": {"type": "string"}}, Object({"a": ANYTHING}, open=True)),
    ({"type": "array", "items": {"type": "string"}}, ListOf(TEXT)),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, ListOf(ANYTHING)),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, TEXT),
    ({"$ref": "https://x.example/"}, ANYTHING),
    ({"$ref": "#"}, ANYTHING),
    ({"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {}}}]}, Object({"a": TEXT, "b": ANYTHING})),
    ({"properties": {"a": {}}, "oneOf": [{"properties": {"b": {}}}]}, Object({"b": ANYTHING, "a": ANYTHING})),
    ({"anyOf": [{"type": "null"}, {"type": "string"}]}, TEXT),
    ({"oneOf": [{"type": "string"}, {"type": "object"}]}, ANYTHING),
    ({"properties": 3, "type": "object"}, Object({}, open=True)),
    ({"type": 3, "items": "x", "anyOf": 7}, ANYTHING),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "tree"), TREES, ids=[str(schema)[:60] for schema, _ in TREES])
def test_a_schema_tells_the_linter_what_is_there(schema: Any, tree: Tree):
    assert tree_of_schema(schema) == tree


def test_a_schema_that_holds_itself_is_as_deep_as_anybody_looks():
    tree = tree_of_schema({"properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}})
    for _ in range(5):
        assert isinstance(tree, Object)
        assert tree.fields["name"] == TEXT
        tree = tree.fields["child"]


def test_a_schema_that_branches_into_itself_is_soon_done_with():
    schema: dict[str, Any] = {"properties": {"child": {"anyOf": [{"$ref": "#"}] * 200}}}
    assert faults_of(schema) == []
    assert isinstance(tree_of_schema(schema), Object)
    assert tree_of_schema({"allOf": [{"$ref": "#"}] * 200}) == ANYTHING
    assert faults_of({"anyOf": [{"$ref": f"#a{number}"} for number in range(500)]})


TOO_MANY = "more than 2,000 schemas look at one value, by references to references: leave out some"


def doubled(levels: int) -> dict[str, Any]:
    """Definitions each of which refers twice to the next."""
    definitions: dict[str, Any] = {
        f"a{level}": {"anyOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{levels}": {"type": "integer"}}}


LOOKS: list[tuple[Any, int | None]] = [
    (True, 1),
    ({}, 1),
    ({"type": "string", "properties": {"a": {"items": {"not": {}}}}}, 2),
    ({"anyOf": [{}, {}, {"allOf": [{}]}, True]}, 5),
    ({"if": {}, "then": {}, "else": {}, "not": {}, "dependentSchemas": {"a": {}, "b": {}}}, 7),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"oneOf": [{}, {}]}}}, 4),
    ({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a"}}}, 2),
    ({"properties": {"child": {"$ref": "#"}}}, 2),
    ({"$ref": "#"}, None),
    ({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"allOf": [{"$ref": "#/properties/a"}]}}}, None),
]


@pytest.mark.parametrize(("schema", "looks"), LOOKS, ids=[str(schema)[:60] for schema, _ in LOOKS])
def test_the_schemas_that_look_at_one_value_are_counted(schema: Any, looks: int | None):
    assert Whole(schema).most_looks() == looks


def test_ways_that_double_at_every_level_are_counted_in_as_many_steps_as_there_are_levels(
    monkeypatch: pytest.MonkeyPatch,
):
    followed: list[str] = []
    find = Whole.find

    def noted(self: Whole, reference: str) -> Any:
        followed.append(reference)
        return find(self, reference)

    monkeypatch.setattr(Whole, "find", noted)
    assert Whole(doubled(30)).most_looks() == 2**32 - 2
    assert len(followed) <= 4 * 31, "each part's references are followed once on the way down and once on the way up"


def test_chains_of_references_may_be_longer_than_calls_go_deep():
    chain: dict[str, Any] = {f"a{level}": {"$ref": f"#/$defs/a{level + 1}"} for level in range(3000)}
    assert Whole({"$ref": "#/$defs/a0", "$defs": {**chain, "a3000": {}}}).most_looks() == 3002


@pytest.mark.parametrize(("levels", "faults"), [(8, []), (9, [flaw((), TOO_MANY)]), (30, [flaw((), TOO_MANY)])])
def test_a_schema_that_looks_too_often_cannot_be_published(levels: int, faults: list[Flaw]):
    assert faults_of(doubled(levels)) == faults
    assert MAX_LOOKS == 2_000


# ---- a response either fits its schema or does not; where not, says nothing of what is in it, and never takes long


SECRET = "hush-4711"
ID = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "maxLength": 5}}}
MISFITS: tuple[tuple[dict[str, Any], Any, str | None], ...] = (
    (ID, {"id": "a"}, None),
    (ID, {"id": 1}, ", at 'properties/id/type'"),
    (ID, {"id": SECRET}, ", at 'properties/id/maxLength'"),
    (ID, {SECRET: SECRET}, ", at 'required'"),
    (ID, [SECRET], ", at 'type'"),
    ({"additionalProperties": False}, {SECRET: 1}, ", at 'additionalProperties'"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, 1, ", at 'type'"),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, 1, ", at 'anyOf'"),
    ({"enum": ["a"]}, SECRET, ", at 'enum'"),
    ({"items": {"pattern": "^(a+)+$"}, "uniqueItems": True}, [f"{'a' * 60}!"] * 2, None),
    ({"type": "string", "format": "date"}, SECRET, None),
)


@pytest.mark.parametrize(("schema", "value", "place"), MISFITS, ids=[str(schema)[:50] for schema, _, _ in MISFITS])
def test_what_does_not_fit_is_told_by_its_place_in_the_schema(schema: dict[str, Any], value: Any, place: str | None):
    assert misfit(value, schema) == place


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


SELF = {"properties": {"a": {"$ref": "#"}}}
TOO_MUCH = ", which cannot be applied to it"
HOSTILE: list[tuple[dict[str, Any], Any, str]] = [
    ({"anyOf": [SELF | {"type": "array"}, {"not": SELF}, {"not": {"not": SELF}}]}, nested(90), TOO_MUCH),
    ({"items": {"anyOf": [{"const": 1}, {"const": 2}, {"type": "null"}]}}, [[]] * 5000, ", at 'items/anyOf'"),
    ({"items": {"anyOf": [{"type": "null"}] * 40 + [{"type": "integer"}]}}, [1] * 8000, TOO_MUCH),
    ({"properties": {"a": {"$ref": "#"}}}, nested(2000), TOO_MUCH),
    ({"multipleOf": 0.1}, 10**4000, TOO_MUCH),
    ({"maximum": 1.5}, 10**4000, ", at 'maximum'"),
]


@pytest.mark.parametrize(("schema", "value", "said"), HOSTILE, ids=range(len(HOSTILE)))
def test_no_response_takes_a_schema_long(schema: dict[str, Any], value: Any, said: str):
    assert misfit(value, schema) == said


def test_a_schema_goes_so_many_steps_and_no_more():
    """An item takes two: what `items` says of it, and what `type` says."""
    numbers: dict[str, Any] = {"items": {"type": "integer"}}
    assert misfit([1] * 19_999, numbers) is None
    assert misfit([1] * 20_000, numbers) == TOO_MUCH


def test_what_could_take_longest_is_not_tried():
    assert misfit([f"{'a' * 100}!"] * 100, {"items": {"pattern": "^(a+)+$"}, "uniqueItems": True}) is None
    assert misfit({}, {"$ref": "https://x.example/"}) == TOO_MUCH
