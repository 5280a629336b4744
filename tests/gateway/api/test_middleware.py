"""What surrounds the routes: requests are measured, traced, read within bounds, and answered whatever happens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final
from unittest.mock import AsyncMock

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCStatusCode

from gateway.api.limits import Bounds
from gateway.asgi import Measured as MeasuredRequests
from runtime.store import Store
from runtime.telemetry.metrics import HTTP_SERVER
from runtime.temporal_faults import bound_calls
from service.entries import Entered
from tests.factories import admission_request, publish
from tests.fakes import RefusingService
from tests.gateway.api.conftest import HELLO, Door, arriving, http_scope, opened
from tests.measured import Measured


async def test_requests_are_measured_by_route_and_by_no_path(api: Door):
    measured = Measured(HTTP_SERVER)
    reader = await api.limited("read")
    for caller, method, path in (
        (api, "POST", "/entries"),
        (api, "PATCH", "/contacts/3028687"),
        (api, "GET", "/nothing/3028687"),
        (api, "BREW", "/entries"),
        (api.holding("wrong"), "POST", "/entries"),
        (reader, "PATCH", "/contacts/3028687"),
    ):
        await caller.ask(method, path, json=ENTRY if method == "POST" else {})
    # Nothing is known of a request before its key is.
    assert {labels: count for labels, (count, _) in measured.of(HTTP_SERVER).items()} == {
        ("/v1/entries", "POST", 202, None): 1,
        ("/v1/contacts/{contact}", "PATCH", 200, None): 1,
        (None, "GET", 404, None): 1,
        ("/v1/entries", "_OTHER", 405, None): 1,
        ("/v1/contacts/{contact}", "PATCH", 403, None): 1,
        (None, "POST", 401, None): 1,
    }


async def test_all_parts_are_measured_and_failures_are_named():
    async def broken(request: Request) -> Response:
        if request.path_params["token"] == "raise":
            raise ValueError
        return Response(status_code=503)

    part = MeasuredRequests(Starlette(routes=[Route("/callbacks/{token}", broken, methods=["POST"])]))
    measured = Measured(HTTP_SERVER)
    transport = httpx.ASGITransport(part, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        for token in ("raise", "secret"):
            await client.post(f"/callbacks/{token}")
    assert {labels: count for labels, (count, _) in measured.of(HTTP_SERVER).items()} == {
        ("/callbacks/{token}", "POST", 500, "ValueError"): 1,
        ("/callbacks/{token}", "POST", 503, "503"): 1,
    }


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_what_comes_of_a_request_belongs_to_the_trace_of_who_asks(api: Door, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, str]] = []
    entries = api.client.services.entries
    enter = entries.enter

    async def entering(*given: Any, **more: Any) -> Entered:
        # A span that is made here has this one for its parent: FastAPI has put none between.
        parent = trace.get_current_span().get_span_context()
        seen.append((format_trace_id(parent.trace_id), format_span_id(parent.span_id)))
        return await enter(*given, **more)

    monkeypatch.setattr(entries, "enter", entering)
    for traceparent in (f"00-{TRACE}-{SPAN}-01", "", "no trace"):
        assert (await api.post("/entries", ENTRY, traceparent=traceparent, baggage="who=zoe")).status_code == 202
    assert seen == [(TRACE, SPAN), *[("0" * 32, "0" * 16)] * 2]


async def test_a_failure_is_answered_and_logged_without_data(
    api: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api.client.services.events, "change", AsyncMock(side_effect=KeyError("zoe")))
    answer = await api.ask("PATCH", "/contacts/zoe", json={})
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert answer.headers["content-type"] == "application/problem+json"
    [record] = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.getMessage().startswith("KeyError at ")
    assert record.getMessage().endswith(" while answering PATCH /contacts/{contact:path}")
    assert record.exc_info is None
    assert "zoe" not in answer.text + caplog.text


JSON = {"content-type": "application/json; charset=utf-8"}
NOT_JSON = "the body is not JSON"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1,\n "b": 2,}', f"{NOT_JSON} (line 2, column 8): there is one comma too many"),
        (b'{"a": ' + b"[" * 100_000, "the body cannot be read: it is nested too deeply to be read"),
        (b'{"a": "\xff"}', "the body is not UTF-8"),
        (b'{"a": 1' + b"0" * 5000 + b"}", f"{NOT_JSON} (line 1, column 7): a number has more than 4,300 digits"),
    ],
)
async def test_json_that_means_nothing_to_some_is_refused(api: Door, content: bytes, said: str):
    answer = await api.ask("POST", "/events", content=content, headers={**JSON, "idempotency-key": "k"})
    assert (answer.status_code, answer.json()["detail"]) == (400, said)
    assert answer.json()["errors"][0]["pointer"] == ""
    assert api.client.asked == []


async def test_whole_characters_are_taken_however_they_are_written(api: Door):
    content = b'\xef\xbb\xbf{"contact": "7", "name": "a", "properties": {"\\ud83d\\ude00": "\\u00e9"}}'
    assert (await api.ask("POST", "/events", content=content, headers=JSON)).status_code == 202
    assert api.client.asked[0][2] == {"😀": "é"}


def part(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


@pytest.mark.parametrize(
    ("messages", "most", "statuses"),
    [
        ([part(b"{")], 0.01, [408, 408, 408]),  # nothing comes any more
        ([part(b" " * 1_200_000)], 10, [413, 413, 413]),  # it does not say how long it is
        ([part(b"{"), {"type": "http.disconnect"}], 10, [None, None, 400]),
        ([part(b'{"contact": "7", '), part(b'"name": "a"}', more=False)], 10, [202, 202, 415]),
    ],
    ids=["slow", "long", "gone", "whole"],
)
async def test_a_body_arrives_whole_or_is_given_up(
    api: Door, messages: list[Message], most: float, statuses: list[int | None]
):
    for headers, status in zip(({}, {"idempotency-key": "k"}, {"content-type": "text/plain"}), statuses, strict=True):
        asked = {"authorization": f"Bearer {api.token}", "content-type": "application/json", **headers}
        scope, send = http_scope("POST", "/v1/events", asked), AsyncMock()
        await Bounds(api.app, patience=most)(scope, arriving(*messages), send)
        first = [call.args[0] for call in send.call_args_list[:1]]
        assert [start["status"] for start in first] == ([] if status is None else [status])
        assert status != 408 or dict(first[0]["headers"])[b"connection"] == b"close"


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
FAULTS: Final[Mapping[str, tuple[RPCStatusCode, NamespaceNotFoundFailure | None]]] = {
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
        answer = await door.ask(method, path, **ROUTES[route])
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
    monkeypatch.setattr("service.operations.journey_operations.ANSWER", 0.05)
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
