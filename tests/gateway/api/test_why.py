"""Why a contact did, or did not, get something, over HTTP."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from gateway.service.journeys import JourneyService
from gateway.why.why import CapPlaces, WhyView
from runtime.store import Store
from tests.gateway.api.doors import opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Whom and what was asked about."""
    found: list[tuple[str, str | None]] = []

    async def why(_: JourneyService, contact: str, scenario: str | None, **__: Any) -> WhyView:
        found.append((contact, scenario))
        return WhyView(
            contact=contact,
            step=None,
            answer="",
            entries=[],
            caps=[CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None)],
            zone=UTC,
        )

    monkeypatch.setattr(JourneyService, "_why", why)
    return found


@pytest.mark.parametrize("path", ["/contacts/shop/7/why", "/contacts/shop%2F7/why"])
async def test_a_contacts_id_stands_in_the_path_as_it_is(
    store: Store, asked: list[tuple[str, str | None]], path: str
) -> None:
    async with opened(store) as door:
        assert (await door.call("GET", path))["contact"] == "shop/7"
    assert asked == [("shop/7", None)]


async def test_what_other_scenarios_have_sent_is_not_told(store: Store, asked: list[tuple[str, str | None]]) -> None:
    async with opened(store) as door:
        told = await door.call("GET", "/contacts/7/why?scenario=hello")
        assert [(cap["cap"], cap["taken"]) for cap in told["caps"]] == [("week", 3)]
        limited = await door.limited("hello")
        assert (await limited.call("GET", "/contacts/7/why?scenario=hello"))["caps"] is None
    assert asked == [("7", "hello")] * 2
