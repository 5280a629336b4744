"""Campaigns over HTTP: what became of each line, and operations on one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runtime.store import Store
from runtime.store.campaigns import CampaignItem, StoredCampaign
from tests.gateway.api.doors import Door, opened

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    """A campaign that has ended."""
    campaign = StoredCampaign(
        name="sale", scenario="offer", version=2, digest="0123", form="CSV", rate=5.0, operator="ann", created_at=NOW
    )
    await store.add_campaign(campaign)
    await store.add_campaign_items(
        "sale",
        [
            CampaignItem(line=2, contact_id="7", journey="offer/7/sale", outcome="entered", answered_at=NOW),
            CampaignItem(line=3, outcome="invalid", reason="no id", answered_at=NOW),
            CampaignItem(line=4, contact_id="8", journey="offer/8/sale"),
        ],
    )
    await store.complete_campaign("sale", NOW, NOW)
    await store.end_campaign("sale", "stopped", NOW, stopped_by="bob", stop_reason="enough")
    async with opened(store) as door:
        yield door


async def test_a_campaign_is_shown_with_its_sums(door: Door) -> None:
    [listed] = (await door.call("GET", "/campaigns"))["items"]
    shown = await door.call("GET", "/campaigns/sale")
    assert shown == listed
    assert (shown["state"], shown["scenario"], shown["total"], shown["done"]) == ("stopped", "offer@2", 3, 3)
    assert shown["outcomes"] == {"entered": 1, "skipped": 1, "invalid": 1}
    assert (shown["stopped_by"], shown["stop_reason"]) == ("bob", "enough")
    assert (await door.call("GET", "/campaigns/other", status=404))["detail"] == "there is no campaign 'other'"


async def test_its_lines_are_listed_page_by_page(door: Door) -> None:
    page = await door.call("GET", "/campaigns/sale/items", params={"limit": 2})
    assert [(line["line"], line["outcome"], line["reason"]) for line in page["items"]] == [
        (2, "entered", None),
        (3, "invalid", "no id"),
    ]
    page = await door.call("GET", "/campaigns/sale/items", params={"cursor": page["next"]})
    assert [line["reason"] for line in page["items"]] == ["the campaign was stopped"]
    found = await door.call("GET", "/campaigns/sale/items", params={"outcome": "entered"})
    assert [line["journey"] for line in found["items"]] == ["offer/7/sale"]


@pytest.mark.parametrize("operation", ["pause", "resume", "stop", "retune"])
async def test_an_operation_on_one_that_has_ended_is_refused(door: Door, operation: str) -> None:
    body = {"reason": "look", "rate": 5}
    problem = await door.call("POST", f"/campaigns/sale/{operation}", json=body, status=409)
    assert problem["detail"] == "sale: the campaign has ended (stopped)"


async def test_a_new_rate_must_be_one(door: Door) -> None:
    for more in ({}, {"rate": 0}, {"rate": 1e9}):
        problem = await door.call("POST", "/campaigns/sale/retune", json={"reason": "look", **more}, status=422)
        assert problem["errors"][0]["pointer"] == "/rate"
