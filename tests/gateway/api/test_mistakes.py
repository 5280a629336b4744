"""The API's description is whole and fit for generated clients; every mistake is at a place, in our words."""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema_rs import Draft202012Validator

from gateway.api.body import WRITING
from runtime import version
from runtime.store import Store
from tests.factories import publish
from tests.gateway.api.conftest import HELLO, ROUTES, Door, described, opened
from tests.search import Search

ENTRY: Final[dict[str, Any]] = {
    "scenario": "hello",
    "contact": {"id": "7", "mailing_lists": [{"id": 1}], "custom": {"a": 1}},
    "trigger": {"type": "order", "order": {"external_id": "1", "total_price": "2.5", "products": [{"name": "x"}]}},
    "key": "k",
}
EVENT: Final[dict[str, Any]] = {
    "contact": "7",
    "name": "order.delivered",
    "properties": {"a": 1},
    "id": "e1",
    "at": "2026-11-27T10:00:00Z",
}
ONE: Final[dict[str, Any]] = {"reason": "x", "operator": "ann", "step": "hello", "version": 1, "now": True}
MANY: Final[dict[str, Any]] = {
    "operation": "retry",
    "which": {"scenario": "hello", "version": 1, "since": "2026-11-27T10:00:00Z"},
    "reason": "x",
    "operator": "ann",
    "rate": 5,
    "limit": 3,
    "dry_run": True,
}
PREVIEW: Final[dict[str, Any]] = {
    "source": HELLO,
    "files": {"a.txt": "a"},
    "entry": ENTRY,
    "at": "2026-11-27T10:00:00Z",
    "events": [{"name": "a.b", "properties": {}}],
    "responses": {"a": 1},
    "step": "hello",
}
BODIES: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/entries"): ENTRY,
    ("POST", "/entries/batch"): [ENTRY],
    ("POST", "/events"): EVENT,
    ("POST", "/events/batch"): [EVENT],
    ("PATCH", "/contacts/7"): {"language": "fr", "custom": {"a": 1}, "mailing_lists": [{"id": 1}]},
    ("POST", "/journeys/hello/7/retry"): ONE,
    ("POST", "/journeys/hello/7/retune"): {"reason": "x", "destination": "wax", "retry": {"maximum_interval": "1h"}},
    ("POST", "/journeys/hello/7/migrate"): {"reason": "x", "version": 1, "map": {"a": "b"}, "waits": "keep"},
    ("POST", "/operations"): MANY,
    ("POST", "/operations/x/stop"): {"reason": "x", "operator": "ann"},
    ("POST", "/campaigns"): {
        "scenario": "hello",
        "audience": "people.csv",
        "name": "advent",
        "rate": 5.0,
        "at": "2999-11-27T09:00",
        "local": True,
        "accept": True,
        "check": True,
        "encoding": "cp1250",
        "digest": "0123",
        "operator": "ann",
    },
    ("POST", "/synced-audiences/meta/vip/retry"): {"reason": "x", "operator": "ann"},
    ("POST", "/outgoing/crm/skip"): {"reason": "x", "operator": "ann", "events": ["a"], "after": "1"},
    ("POST", "/campaigns/x/pause"): {"reason": "x", "operator": "ann", "rate": 5.0},
    ("PUT", "/scenarios/hello"): {"source": HELLO, "files": {}, "journeys": "pin", "newest": True},
    ("POST", "/scenarios/hello/close"): {"reason": "x"},
    ("POST", "/check"): {"source": HELLO, "files": {"a.txt": "a"}},
    ("POST", "/preview"): PREVIEW,
}
"""A good body of each route that takes one."""
JSON: Final = {"content-type": "application/json"}
ODD: Final[tuple[Any, ...]] = (True, -1.5, "~/" * 300, ["a"], {"~a/b": 1}, None)
THEIRS: Final = re.compile(
    r"[Ii]nput|Field required|Extra|String should|List should|should be|Value error|[Dd]ictionary|function-|"
    r"constrained|_type\b|_error\b|_parsing|\bdict\b|\bstr\b|\bbool\b|\bint\b|NoneType|pydantic|[Dd]atetime\b|validat"
)
"""Words of pydantic and Python."""
DOCUMENTED: Final = set(
    re.findall(r"(?m)^\| `([a-z-]+)` \|", (Path(__file__).parents[3] / "docs/integrate/api.md").read_text("utf-8"))
)


def wrong(body: Any, depth: int = 3) -> Iterator[Any]:
    """Yield bodies with one thing changed: a whole one, a value, a name, or a field too few or too many."""
    yield from ODD
    match body:
        case {} if depth:
            for name, value in body.items():
                rest = {other: item for other, item in body.items() if other != name}
                yield from (rest, {**rest, f"{name[:-1]}z": value})
                yield from ({**body, name: changed} for changed in wrong(value, depth - 1))
        case [*items] if depth:
            for index, value in enumerate(items):
                yield from ([*items[:index], changed, *items[index + 1 :]] for changed in wrong(value, depth - 1))
        case _:
            pass


def resolves(pointer: str, body: Any, *, missing: bool) -> bool:
    """Return whether a JSON pointer leads somewhere in a body, or to where a missing field should be."""
    if pointer and not pointer.startswith("/"):
        return False
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for number, part in enumerate(parts):
        if isinstance(body, dict) and part in body:
            body = body[part]  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(body, list) and part.isdigit() and int(part) < len(body):  # pyright: ignore[reportUnknownArgumentType]
            body = body[int(part)]  # pyright: ignore[reportUnknownVariableType]
        else:
            return missing and number == len(parts) - 1
    return True


@pytest.fixture
async def door(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr("service.events.APART", 0.0)
    await publish(store, HELLO)
    async with opened(store, Search(strict=True)) as door:
        yield door


def test_every_route_with_a_body_is_here():
    for method, route in ROUTES:
        is_here = any(route.path_regex.match(path) for of, path in BODIES if of == method)
        assert is_here or method not in WRITING or route.path.endswith(("/open", "{file}")), (method, route.path)


@pytest.mark.parametrize(("method", "path"), BODIES, ids=map(" ".join, BODIES))
async def test_mistakes_are_at_places_of_the_body_and_in_our_words(door: Door, method: str, path: str):
    found, bodies = 0, wrong(BODIES[method, path])
    if path.endswith("/stop"):
        path = path.replace("x", (await door.call("POST", "/operations", status=202, json=MANY))["id"])
    # Each preview takes a process some milliseconds; items are read as single ones are.
    for body in islice(bodies, 0, None, {"/preview": 5, "/entries/batch": 3, "/events/batch": 3}.get(path, 1)):
        answer = await door.ask(method, path, content=json.dumps(body), headers=JSON)
        assert answer.status_code < 500, (body, answer.text)
        told = answer.json()
        problems = [(told, body)] if answer.status_code >= 400 else []
        if path.endswith("/batch") and answer.status_code == 200:
            problems = [(one["problem"], body[one["index"]]) for one in told["results"] if "problem" in one]
        for problem, root in problems:
            assert problem["status"] in (400, 403, 404, 409, 422), (body, problem)
            assert problem["status"] != 422 or problem["errors"] or path == "/preview", (body, problem)
            for error in problem["errors"]:
                found += 1
                missing = error["code"] in ("missing", "entry", "operation", "combination")
                assert resolves(error["pointer"], root, missing=missing), (root, error)
                assert not THEIRS.search(error["detail"]), error
                assert "line" in error or error["code"] in DOCUMENTED
    assert found > 10


async def test_an_empty_map_may_be_written_as_an_empty_list(door: Door):
    empty: list[Any] = []
    preview = {"entry": {**ENTRY, "contact": {"id": 7, "custom": empty}}, "responses": empty}
    changes: dict[str, dict[str, Any]] = {
        "/events": {"properties": empty},
        "/check": {"files": empty},
        "/preview": {**preview, "events": [{"name": "a.b", "properties": empty}]},
        "/journeys/hello/7/migrate": {"map": empty},
    }
    for path, change in changes.items():
        answer = await door.ask("POST", f"{path}", json={**BODIES["POST", path], **change})
        assert answer.status_code in (200, 202), answer.text


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false


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
