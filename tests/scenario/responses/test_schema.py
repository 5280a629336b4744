# ruff: noqa: E501 - findings are asserted whole
"""A schema of a response says what it means here, or why it means nothing."""

from typing import Any

import pytest

from scenario.liquid.shapes import Anything, ListOf, Object, Tree, Value
from scenario.responses.schema import Fault, faults_of, tree_of_schema

FAULTS: tuple[tuple[dict[str, Any], list[Fault]], ...] = (
    ({}, []),
    ({"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "uuid"}}}, []),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, []),
    ({"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, []),
    ({"$ref": "#/items/0", "items": [1]}, [Fault(("items",), "'items' must be keys with values or true or false"), ]),
    ({"properties": {"a/b": {}, "c": {"$ref": "#/properties/a~1b"}}}, []),
    ({"properties": {"child": {"$ref": "#"}}}, []),
    ({"properties": {"$ref": {"type": "string"}, "$id": True, "pattern": False}}, []),
    ({"$id": "https://x.example/s.json", "$schema": "https://json-schema.org/draft/2020-12/schema"}, []),
    ({"const": {"$ref": "http://x"}, "x-note": "y"}, []),
    ({"type": "strnig"}, [Fault(("type",), "'strnig' is not a type: did you mean 'string'?")]),
    ({"type": "zzz"}, [Fault(("type",), "'zzz' is not a type: write array, boolean, integer, null, number, object or string")]),
    ({"type": ["string", "x"]}, [Fault(("type",), "'type' names one or several of array, boolean, integer, null, number, object or string, each once")]),
    ({"properties": {"a": {"required": "b"}}}, [Fault(("properties", "a", "required"), "'required' must be a list")]),
    ({"properties": {"a": 3}}, [Fault(("properties", "a"), "'a' must be keys with values or true or false")]),
    ({"minLength": -1}, [Fault(("minLength",), "'-1' is not allowed in 'minLength'")]),
    ({"required": ["a", "a"]}, [Fault(("required",), "'[\"a\", \"a\"]' is not allowed in 'required'")]),
    ({"$ref": "other.json"}, [Fault(("$ref",), "'other.json' is elsewhere, and nothing is fetched: write it under '$defs' here")]),
    ({"items": {"$ref": "#/$defs/a"}}, [Fault(("items", "$ref"), "'#/$defs/a' leads nowhere in this schema")]),
    ({"anyOf": [{"$dynamicRef": "#a"}]}, [Fault(("anyOf", 0, "$dynamicRef"), "'#a' leads nowhere in this schema")]),
    ({"$ref": "#"}, [Fault((), "the schema refers to itself without end")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, True]}}}, [Fault((), "the schema refers to itself without end")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"if": True, "then": {"$ref": "#/$defs/a"}}}}, [Fault((), "the schema refers to itself without end")]),
    ({"$defs": {"a": {"dependentSchemas": {"x": {"$ref": "#/$defs/a"}}}}}, [Fault((), "the schema refers to itself without end")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}, "contains": {"$ref": "#"}}}}, []),
    ({"items": {"$id": "x"}}, [Fault(("items", "$id"), "'$id' stands at the top of a schema only")]),
    ({"patternProperties": {"a": {}}}, [Fault(("patternProperties",), "'patternProperties' is not known here: use 'additionalProperties' for names that vary")]),
    ({"pattern": "a+"}, [Fault(("pattern",), "'pattern' is not looked at: any value passes here", "warning")]),
    ({"uniqueItems": True}, [Fault(("uniqueItems",), "'uniqueItems' is not looked at: any value passes here", "warning")]),
    ({"requried": ["a"]}, [Fault(("requried",), "'requried' means nothing here: did you mean 'required'?", "warning")]),
    ({"description": "x" * 17_000}, [Fault((), "the schema is larger than 16 KB: say less of the response")]),
)  # fmt: skip


@pytest.mark.parametrize(("schema", "faults"), FAULTS, ids=[str(schema)[:60] for schema, _ in FAULTS])
def test_what_is_wrong_with_a_schema_is_said_once(schema: dict[str, Any], faults: list[Fault]):
    assert faults_of(schema) == faults


TEXT, NUMBER, FLAG, ANYTHING = Value("text"), Value("number"), Value("flag"), Anything()
TREES: list[tuple[Any, Tree]] = [
    (None, ANYTHING),
    ({}, ANYTHING),
    (True, ANYTHING),
    ({"type": "string"}, TEXT),
    ({"type": ["null", "integer"]}, NUMBER),
    ({"type": ["string", "integer"]}, ANYTHING),
    ({"type": "boolean"}, FLAG),
    ({"type": "string", "format": "date"}, Value("date")),
    ({"enum": ["a", "b"]}, TEXT),
    ({"enum": ["a", 1]}, ANYTHING),
    ({"type": "object"}, Object({}, open=True)),
    ({"type": "object", "additionalProperties": False}, Object({})),
    ({"properties": {"a": {"type": "number"}}}, Object({"a": NUMBER})),
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
