"""How often a schema looks at one value is counted without looking."""

from typing import Any

import pytest

from scenario.responses.references import Whole
from scenario.responses.schema import MAX_LOOKS, Fault, faults_of

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


@pytest.mark.parametrize(("levels", "faults"), [(8, []), (9, [Fault((), TOO_MANY)]), (30, [Fault((), TOO_MANY)])])
def test_a_schema_that_looks_too_often_cannot_be_published(levels: int, faults: list[Fault]):
    assert faults_of(doubled(levels)) == faults
    assert MAX_LOOKS == 2_000
