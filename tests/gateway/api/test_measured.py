"""Requests to the API are measured by route: FastAPI does, where there is a meter."""

from __future__ import annotations

from runtime.telemetry.metrics import Metric
from tests.gateway.api.conftest import Api
from tests.measured import Measured

_LABELS = ("http.route", "http.request.method", "http.response.status_code", "error.type")
DURATION = Metric(
    "http.server.request.duration", "s", (*_LABELS, "url.scheme", "network.protocol.version"), "how long requests take"
)


async def test_requests_are_measured_by_route_and_by_no_path(api: Api) -> None:
    measured = Measured(DURATION)
    entry = {"scenario": "welcome", "contact": {"id": "3028687"}, "trigger": {"type": "segment"}}
    assert (await api.post("/entries", entry)).status_code == 202
    assert (await api.call("PATCH", "/contacts/3028687", json={"firstname": "Zoé"})).status_code == 200
    await api.call("GET", "/nothing/3028687")
    await api.call("BREW", "/entries")
    await api.holding("wrong").post("/entries", entry)
    await api.holding(await api.key("read")).call("PATCH", "/contacts/3028687", json={})
    # Nothing is known of a request before its key is.
    assert {labels[:4]: count for labels, (count, _) in measured.of(DURATION).items()} == {
        ("/v1/entries", "POST", 202, None): 1,
        ("/v1/contacts/{contact}", "PATCH", 200, None): 1,
        (None, "GET", 404, None): 1,
        ("/v1/entries", "_OTHER", 405, None): 1,
        ("/v1/contacts/{contact}", "PATCH", 403, None): 1,
        (None, "POST", 401, None): 1,
    }
