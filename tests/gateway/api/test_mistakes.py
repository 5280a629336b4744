"""Every mistake of a body is at a place of it, in our words, under a code that is documented."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import AsyncMock

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.api.body import WRITING
from runtime.store import Store
from tests.factories import publish
from tests.gateway.api.conftest import HELLO, ROUTES, Door, opened
from tests.gateway.api.test_operations import Server

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


class Accepting(Server):
    """Stands in for Temporal: it starts everything, and has no search."""

    async def start_workflow(self, name: str, argument: Any, **given: Any) -> Any:
        await super().start_workflow(name, argument, **given)
        return SimpleNamespace(first_execution_run_id="r")

    @property
    def workflow_service(self) -> Any:
        service = super().workflow_service
        service.describe_task_queue = AsyncMock(side_effect=RPCError("", RPCStatusCode.UNIMPLEMENTED, b""))
        return service


@pytest.fixture
async def door(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr("gateway.service.events.APART", 0.0)
    await publish(store, HELLO)
    async with opened(store, Accepting()) as door:
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


SAID: Final[list[tuple[str, dict[str, Any], str, str, str, str | None]]] = [
    ("/entries", {"keys": 3}, "/keys", "entry", "the entry has no field 'keys': did you mean 'key'?", "key"),
    ("/entries", {"priority": 3}, "/priority", "entry", "the entry has no field 'priority': it", None),
    ("/events", {"nmae": "a"}, "/nmae", "unknown-field", "the body has no field 'nmae': did", "name"),
    ("/events", {"contact": True}, "/contact", "type", "'contact' must be text or a whole number", None),
    ("/events", {"id": "x" * 201}, "/id", "length", "'id' may have 200 characters at most", None),
    ("/events", {"name": "a b"}, "/name", "form", "'name' must be the name of an event", None),
    ("/events", {"properties": ["a"]}, "/properties", "type", "'properties' must be an object", None),
    ("/operations", {"which": {"scenari": "a"}}, "/which/scenari", "unknown-field", "'which' has no", "scenario"),
    ("/operations", {"operation": "fly"}, "/operation", "value", "'operation' must be retry, ", None),
    ("/operations", {"limit": 0}, "/limit", "range", "'limit' must be 1 or more", None),
    ("/preview", {"entry": {**ENTRY, "keys": 1}}, "/entry/keys", "entry", "the entry has no field 'keys'", "key"),
    ("/preview", {"events": [{"name": ""}]}, "/events/0/name", "length", "'events.0.name' must", None),
    ("/check", {"sourec": ""}, "/sourec", "unknown-field", "the body has no field", "source"),
]


async def test_a_mistake_says_what_to_do(door: Door):
    for path, change, pointer, code, detail, meant in SAID:
        answer = await door.ask("POST", f"{path}", json={**BODIES["POST", path], **change})
        assert answer.status_code == 422
        (error, *_) = answer.json()["errors"]
        assert (error["pointer"], error["code"], error.get("did_you_mean")) == (pointer, code, meant)
        assert error["detail"].startswith(detail)


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
