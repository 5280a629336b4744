"""Whatever Temporal refuses is answered 503, for every route that asks it: requests are checked before."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCStatusCode

from runtime.store import Store
from runtime.temporal_faults import bound_calls
from tests.factories import admission_request, publish
from tests.fakes import RefusingService
from tests.gateway.api.doors import HELLO, Door, opened

ENTRY: Final = {"scenario": "hello", "contact": {"id": 8}, "trigger": {"type": "order", "order": {"external_id": "A"}}}
EVENT: Final = {"contact": "7", "name": "order.delivered"}
REASON: Final = {"reason": "the receiver is back"}
PAUSE: Final = "POST /journeys/hello/7/pause"
ROUTES: Final[dict[str, dict[str, Any]]] = {
    "POST /entries": {"json": ENTRY},
    "POST /events": {"json": EVENT},
    "PATCH /contacts/7": {"json": {"language": "fr"}},
    "GET /journeys": {},
    "GET /journeys?state=held": {},
    "GET /journeys?state=waiting": {},
    "GET /journeys/hello/7": {},
    PAUSE: {"json": REASON},
    "POST /operations": {"json": {**REASON, "operation": "pause", "which": {"scenario": "hello"}}},
    "GET /contacts/7/why": {},
}
FAULTS: Final[Mapping[str, tuple[RPCStatusCode, Message | None]]] = {
    status.name: (status, None)
    for status in RPCStatusCode
    if status not in (RPCStatusCode.OK, RPCStatusCode.NOT_FOUND, RPCStatusCode.ALREADY_EXISTS)
} | {"the namespace is missing": (RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure())}
TELLING: Final = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "the namespace is missing")
"""Those that a route may mistake for an answer about a workflow. The others are tried at one route."""
SAID: Final = (
    "this service cannot use Temporal now: send the same request again after Retry-After, with the same "
    "Idempotency-Key if it changes anything"
)


@pytest.fixture
def service() -> RefusingService:
    return RefusingService()


@pytest.fixture
async def door(store: Store, service: RefusingService) -> AsyncIterator[Door]:
    await publish(store, HELLO)
    await store.admit(admission_request("7", "hello", now=datetime.now(UTC)))
    async with opened(store, bound_calls(Client(service), longest=0.05)) as door:
        yield door


async def test_no_fault_of_temporal_is_the_callers(
    door: Door, service: RefusingService, caplog: pytest.LogCaptureFixture
):
    for route, (name, (status, detail)) in product(ROUTES, FAULTS.items()):
        if route != PAUSE and name not in TELLING:
            continue
        method, path = route.split()
        service.refuse(status, detail=detail)
        answer = await door.http.request(method, f"/v1{path}", **ROUTES[route])
        assert answer.status_code == 503, f"{route}, {name}: {answer.text}"
        assert int(answer.headers["retry-after"]) > 0, name
        assert answer.json()["code"] in ("unavailable", "no-answer"), name
    assert "a contact's data" not in caplog.text


async def test_an_item_of_a_batch_is_answered_likewise(door: Door, service: RefusingService):
    service.refuse(RPCStatusCode.INVALID_ARGUMENT)
    for path, item in (("/entries/batch", ENTRY), ("/events/batch", EVENT)):
        told = await door.call("POST", path, json=[item])
        assert [(one["status"], one["problem"]["detail"]) for one in told["results"]] == [(503, SAID)]


async def test_a_server_that_never_answers_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.operations.journey_operations.ANSWER", 0.05)
    for route, options in ROUTES.items():
        async with asyncio.timeout(60):
            problem = await door.call(*route.split(), status=503, **options)
        assert problem["code"] == "no-answer" if route.endswith("/pause") else problem["detail"] == SAID, route


async def test_an_id_that_no_workflow_can_have_is_not_asked_for(door: Door, service: RefusingService):
    service.refuse(RPCStatusCode.INVALID_ARGUMENT)
    assert (await door.call("GET", "/journeys/hello/7?run=1", status=404))["code"] == "not-found"
    for path in ("/journeys/hello/7%00", f"/journeys/hello/{'é' * 500}"):  # more than 1,000 bytes
        assert (await door.call("GET", path, status=404))["code"] == "not-found"
        await door.call("POST", f"{path}/pause", status=404, json=REASON)
