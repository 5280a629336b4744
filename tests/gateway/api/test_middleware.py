"""What surrounds the routes: requests are measured by route, traced, and answered whatever happens."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.asgi import Measured as MeasuredRequests
from gateway.service.entries import Entered
from runtime.telemetry.metrics import HTTP_SERVER
from tests.gateway.api.conftest import Api
from tests.measured import Measured


async def test_requests_are_measured_by_route_and_by_no_path(api: Api):
    measured = Measured(HTTP_SERVER)
    entry = {"scenario": "welcome", "contact": {"id": "3028687"}, "trigger": {"type": "segment"}}
    assert (await api.post("/entries", entry)).status_code == 202
    assert (await api.call("PATCH", "/contacts/3028687", json={"firstname": "Zoé"})).status_code == 200
    await api.call("GET", "/nothing/3028687")
    await api.call("BREW", "/entries")
    await api.holding("wrong").post("/entries", entry)
    await api.holding(await api.key("read")).call("PATCH", "/contacts/3028687", json={})
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


ENTERED = {"scenario": "welcome", "contact": {"id": "3028687"}, "trigger": {"type": "segment"}}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [(f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)), ("", ("0" * 32, "0" * 16)), ("no trace", ("0" * 32, "0" * 16))],
)
async def test_what_comes_of_a_request_belongs_to_the_trace_of_who_asks(
    api: Api, monkeypatch: pytest.MonkeyPatch, traceparent: str, expected: tuple[str, str]
):
    seen: list[tuple[str, str]] = []
    entries = api.client.services.entries
    enter = entries.enter

    async def entering(*given: Any, **more: Any) -> Entered:
        # A span that is made here has this one for its parent: FastAPI has put none between.
        parent = trace.get_current_span().get_span_context()
        seen.append((format_trace_id(parent.trace_id), format_span_id(parent.span_id)))
        return await enter(*given, **more)

    monkeypatch.setattr(entries, "enter", entering)
    assert (await api.post("/entries", ENTERED, traceparent=traceparent, baggage="who=zoe")).status_code == 202
    assert seen == [expected]


ENTRY = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}


async def test_it_is_answered_and_logged_without_data(api: Api, caplog: pytest.LogCaptureFixture):
    api.client.refusals["7"] = RuntimeError("zoe@example.com")
    answer = await api.post("/entries", ENTRY)
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert answer.headers["content-type"] == "application/problem+json"
    [record] = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.getMessage().startswith("RuntimeError at ")
    assert record.getMessage().endswith(" while answering POST /entries")
    assert record.exc_info is None
    assert "zoe" not in answer.text + caplog.text


async def test_a_contacts_id_in_a_path_is_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async def fail(*_: object, **__: object) -> None:
        raise KeyError("zoe")

    monkeypatch.setattr(api.client.services.events, "change", fail)
    assert (await api.call("PATCH", "/contacts/zoe", json={})).status_code == 500
    assert caplog.messages[-1].endswith(" while answering PATCH /contacts/{contact:path}")
    assert "zoe" not in caplog.text
