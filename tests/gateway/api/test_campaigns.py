"""Campaigns and batch calls over HTTP: what became of each line or contact, and operations on a campaign."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runtime.store import Store
from runtime.store.campaigns import CampaignItem
from tests.factories import LATER_DOCUMENT, LATER_PLAN, present, publish, stored_campaign
from tests.gateway.api.conftest import HELLO, Door, opened
from tests.search import Search

NOW = datetime(2026, 11, 27, 4, tzinfo=UTC)


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    await store.add_campaign(stored_campaign(scenario="offer", version=2, rate=5.0, created_at=NOW))
    items = [
        CampaignItem(line=2, contact_id="7", journey="offer/7/sale", outcome="entered", answered_at=NOW),
        CampaignItem(line=3, outcome="invalid", reason="no id", answered_at=NOW),
        CampaignItem(line=4, contact_id="8", journey="offer/8/sale"),
    ]
    await store.add_campaign_items("sale", items)
    await store.complete_campaign("sale", NOW)
    await store.confirm_campaign("sale", NOW)
    await store.end_campaign("sale", "stopped", NOW, stopped_by="bob", stop_reason="enough")
    async with opened(store) as door:
        yield door


async def test_what_is_left_of_a_stopped_campaign_is_skipped(door: Door):
    shown = await door.call("GET", "/campaigns/sale")
    assert shown["outcomes"] == {"entered": 1, "skipped": 1, "invalid": 1}
    assert [(shown[name]) for name in ("state", "done", "stopped_by", "stop_reason")] == ["stopped", 3, "bob", "enough"]
    pages = await door.pages("/campaigns/sale/items", limit=2)
    assert [[(line["line"], line["outcome"], line["reason"]) for line in page] for page in pages] == [
        [(2, "entered", None), (3, "invalid", "no id")],
        [(4, "skipped", "the campaign was stopped")],
    ]


async def test_its_results_are_exported_whole(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.campaigns.service._EXPORTED", 2)
    answer = await door.ask("GET", "/campaigns/sale/results")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines() == [
        "line,contact,journey,outcome,reason,at",
        "2,7,offer/7/sale,entered,,2026-11-27T04:00:00Z",
        "3,,,invalid,no id,2026-11-27T04:00:00Z",
        "4,8,offer/8/sale,skipped,the campaign was stopped,2026-11-27T04:00:00Z",
    ]
    answer = await door.ask("GET", "/campaigns/sale/results", params={"format": "ndjson", "outcome": "invalid"})
    assert [json.loads(line)["line"] for line in answer.text.splitlines()] == [3]
    await door.call("GET", "/campaigns/other/results", status=404)


async def test_an_operation_on_one_that_has_ended_is_refused_and_a_new_rate_must_be_one(door: Door):
    for operation in ("start", "pause", "resume", "stop", "retune"):
        body = {"reason": "look", "rate": 5}
        problem = await door.call("POST", f"/campaigns/sale/{operation}", json=body, status=409)
        assert problem["detail"] == "sale: the campaign has ended (stopped)"
    for more in ({}, {"rate": 0}, {"rate": 1e9}):
        problem = await door.call("POST", "/campaigns/sale/retune", json={"reason": "look", **more}, status=422)
        assert problem["errors"][0]["pointer"] == "/rate"


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Door]:
    await publish(store, HELLO.replace("hello", "offer").replace("order", "segment"))
    async with opened(store, Search()) as door:
        yield door


BODY = {"scenario": "offer", "audience": "people.csv", "name": "advent"}
PEOPLE = b"contact.id\n" + b"1\n" * 200_000


async def parts(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 30_000):
        yield content[start : start + 30_000]


async def test_a_file_is_uploaded_in_parts_and_a_campaign_begins_with_it(gateway: Door):
    # Its type does not matter: it is not read as JSON.
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    file = await gateway.call("PUT", "/audiences/people.csv", content=parts(PEOPLE), headers=headers)
    assert (file["digest"], file["bytes"]) == (hashlib.sha256(PEOPLE).hexdigest(), len(PEOPLE))
    begun = await gateway.call("POST", "/campaigns", status=202, json={**BODY, "digest": file["digest"]})
    seen = [begun[name] for name in ("name", "state", "scenario", "survey")]
    assert seen == ["advent", "preparing", "offer@1", None]
    assert await gateway.call("POST", "/campaigns", status=202, json=BODY) == begun
    [stored] = await gateway.store.stored_campaigns()
    assert present(await gateway.store.stored_audience(stored.audience)).parts == 2


async def test_a_scenario_of_a_later_release_has_no_campaign(gateway: Door):
    await gateway.store.publish("later", LATER_DOCUMENT, LATER_PLAN, "digest")
    problem = await gateway.call("POST", "/campaigns", status=422, json={**BODY, "scenario": "later"})
    assert problem["detail"] == "later was published by a later release of this program: update it"


async def test_a_key_starts_its_scenarios_with_its_own_files(gateway: Door):
    await gateway.call("PUT", "/audiences/people.csv", content=b"contact.id\n1\n")
    other, reader = await gateway.limited(scenarios=["offer"]), await gateway.limited("read", scenarios=["offer"])
    problem = await other.call("POST", "/campaigns", status=422, json=BODY)
    assert problem["detail"] == "there is no uploaded file 'people.csv': upload it first"
    await other.call("PUT", "/audiences/people.csv", content=b"contact.id\n1\n")
    await other.call("POST", "/campaigns", status=202, json=BODY)
    stranger = await gateway.limited(scenarios=["another"])
    await stranger.call("POST", "/campaigns", status=403, json=BODY)
    assert [len((await door.call("GET", "/campaigns"))["items"]) for door in (stranger, other)] == [0, 1]
    for call in (("PUT", "/audiences/people.csv"), ("POST", "/campaigns")):
        await reader.call(*call, status=403)


async def test_a_file_that_is_too_large_leaves_nothing(store: Store):
    async with opened(store, Search(), uploaded=300_000) as door:
        for content in (PEOPLE, parts(PEOPLE)):
            problem = await door.call("PUT", "/audiences/people.csv", content=content, status=413)
            assert problem["detail"] == "the body may have 300,000 bytes at most"
        problem = await door.call("PUT", "/audiences/empty.csv", content=b"", status=422)
        assert problem["detail"] == "empty.csv is empty"
    assert await store.delete_audiences(datetime(9999, 1, 1, tzinfo=UTC)) == (0, 0)
