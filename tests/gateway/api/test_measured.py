"""Requests are measured by route, and by no path."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.asgi import Measured as MeasuredRequests
from runtime.telemetry.metrics import HTTP_SERVER
from tests.gateway.api.conftest import Api
from tests.measured import Measured


async def test_requests_are_measured_by_route_and_by_no_path(api: Api) -> None:
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


async def test_all_parts_are_measured_and_failures_are_named() -> None:
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
