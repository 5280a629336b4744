"""The API's description is valid, whole, and fit for generated clients; its shape is that of the snapshot."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema_rs import Draft202012Validator

from runtime import version
from tests.gateway.api.conftest import Door, described

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def document() -> dict[str, Any]:
    return described()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_clients_generator_is_named_with_the_versions_that_are_tested():
    root = Path(__file__).parents[3]
    pinned: dict[str, str] = json.loads((root / "tests/node/package.json").read_text())["dependencies"]
    (command,) = re.findall(r"npx .*openapi-ts .*", (root / "docs/integrate/api.md").read_text("utf-8"))
    for package in ("@hey-api/openapi-ts", "typescript"):
        assert f"--package {package}@{pinned[package]} " in command


def test_it_is_valid_and_does_not_tell_the_release(document: dict[str, Any]):
    assert document["info"]["version"] == "v1"
    assert version() not in json.dumps(document)
    # The specification's own schema. Imported here: it takes half a second, in each process of the tests.
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

    OPENAPI_31_VALIDATOR.validate(document)
    components = document["components"]
    given = [one["schema"] for *_, operation in operations(document) for one in operation.get("parameters", ())]
    Draft202012Validator({"anyOf": [*given, *components["schemas"].values()], "components": components})


def test_each_operation_is_described_with_what_stands_around_it(document: dict[str, Any]):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len({*names})
    assert [name for name in names if not re.fullmatch(r"[a-z]+(?:[A-Z][a-z]*){0,4}", name)] == []
    assert {"enterContact", "enterContacts", "tellEvent", "tellEvents", "changeContact"} <= {*names}
    for path, method, operation in operations(document):
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)
        assert operation["security"] == [{"HTTPBearer": []}], (method, path)
        statuses = {"400", "401", "403", "408", "413", "422", "429", "500", "503"}
        assert statuses <= operation["responses"].keys(), (method, path)
        for status, answer in operation["responses"].items():
            assert status < "400" or list(answer["content"]) == ["application/problem+json"], (method, path)
        headers = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"]
        assert ("Idempotency-Key" in headers) == (method in ("post", "put", "patch")), (method, path)
        # A contact with a line feed in it is none: no address leads there.
        assert "404" in operation["responses"] or "/contacts/" not in path, (method, path)
    responses = document["paths"]["/v1/entries"]["post"]["responses"]
    named = {
        "429": "Retry-After",
        "401": "WWW-Authenticate",
        "201": "Preference-Applied",
        "202": "Idempotency-Replayed",
    }
    assert all(header in responses[status]["headers"] for status, header in named.items())


def test_fields_are_described_by_their_docstrings(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    said = "A journey was started. A worker decides whether the contact is admitted."
    assert schemas["Accepted"]["description"] == said
    for name in ("Accepted", "Admitted"):  # the latter inherits it
        assert schemas[name]["properties"]["run"]["description"] == "The id of its first run."
    told = [operation["description"] for _, _, operation in operations(document)]
    told += [schema.get("description", "") for schema in schemas.values()]
    assert [text for text in told if re.search(r"\b(Attributes|Args|Raises|Returns):|``", text)] == []


SNAPSHOT: Final = Path(__file__).with_name("shape.json")
_PROSE: Final = ("description", "title", "examples", "summary", "operationId", "tags", "example")


async def test_the_shape_of_the_api_is_that_of_the_snapshot(api: Door):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change."""
    document = (await api.http.get("/v1/openapi.json")).json()
    paths = resolved(document["paths"], document["components"]["schemas"])
    shape = {f"{method} {path}": operation for path, methods in paths.items() for method, operation in methods.items()}
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        lines = [f"{json.dumps(name)}: {json.dumps(shape[name], sort_keys=True)}" for name in sorted(shape)]
        SNAPSHOT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert {*shape} == {*kept}
    for name, operation in shape.items():
        assert operation == kept[name], name


def resolved(value: Any, schemas: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return a part of the document with its references replaced by what they refer to, without prose."""
    match value:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return "recursive" if name in within else resolved(schemas[name], schemas, (*within, name))
        case {"responses": {**responses}}:  # problems are all alike: their codes are enough
            rest = {key: item for key, item in value.items() if key != "responses"}
            kept = {code: resolved(item, schemas) if code < "400" else {} for code, item in responses.items()}
            return {**resolved(rest, schemas), "responses": kept}
        case {"properties": {**properties}}:
            rest = {key: item for key, item in value.items() if key != "properties"}
            inner = {key: resolved(item, schemas, within) for key, item in properties.items()}
            return {**resolved(rest, schemas, within), "properties": inner}
        case {"required": [*required], **rest} if "required" in value and all(isinstance(one, str) for one in required):
            return {**resolved(rest, schemas, within), "required": sorted(required)}
        case dict():
            return {key: resolved(item, schemas, within) for key, item in value.items() if key not in _PROSE}
        case list():
            items = [resolved(item, schemas, within) for item in value]
            return items[0] if len(items) == 1 and isinstance(items[0], dict) else items
        case _:
            return value
