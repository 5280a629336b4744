"""A response either fits its schema or does not; where not, says nothing of what is in it, and never takes long."""

from typing import Any

import pytest

from scenario.responses.validation import misfit

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
