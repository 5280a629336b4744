"""An engine that traces has its entries' journeys in its own trace, and nothing else of its request in any span."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from gateway.service.entries import Entered
from tests.gateway.api.conftest import Api

ENTRY = {"scenario": "welcome", "contact": {"id": "3028687"}, "trigger": {"type": "segment"}}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        ("", ("0" * 32, "0" * 16)),
        ("no trace", ("0" * 32, "0" * 16)),
    ],
)
async def test_what_comes_of_a_request_belongs_to_the_trace_of_who_asks(
    api: Api, monkeypatch: pytest.MonkeyPatch, traceparent: str, expected: tuple[str, str]
) -> None:
    seen: list[tuple[str, str]] = []
    entries = api.client.services.entries
    enter = entries.enter

    async def entering(*given: Any, **more: Any) -> Entered:
        # A span that is made here has this one for its parent: FastAPI has put none between.
        parent = trace.get_current_span().get_span_context()
        seen.append((format_trace_id(parent.trace_id), format_span_id(parent.span_id)))
        return await enter(*given, **more)

    monkeypatch.setattr(entries, "enter", entering)
    assert (await api.post("/entries", ENTRY, traceparent=traceparent, baggage="who=zoe")).status_code == 202
    assert seen == [expected]
