"""Batch calls over HTTP: their numbers, and what became of each contact."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.store import Store
from tests.gateway.api.doors import Door, opened
from tests.runtime.store.test_batches import BATCH, NOW, item


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    await store.open_batch(BATCH)
    for number in (1, 2, 3):
        await store.join_batch(item(number))
    await store.freeze_batch("batch-1", NOW)
    await store.record_item_outcomes("batch-1", "refused", NOW, positions=[2], reason="unknown person", status=207)
    async with opened(store) as door:
        yield door


async def test_a_batch_is_shown_with_its_numbers_and_its_contacts_page_by_page(door: Door):
    [listed] = (await door.call("GET", "/batches"))["items"]
    assert await door.call("GET", "/batches/batch-1") == listed
    assert (listed["scenario"], listed["state"], listed["delivery"]) == ("sync@2", "sending", "msg_b")
    assert listed["outcomes"] == {"pending": 2, "refused": 1}
    page = await door.call("GET", "/batches/batch-1/items", params={"limit": 2})
    assert [(one["contact"], one["outcome"], one["status"], one["reason"]) for one in page["items"]] == [
        ("c1", "pending", None, None),
        ("c2", "refused", 207, "unknown person"),
    ]
    page = await door.call("GET", "/batches/batch-1/items", params={"cursor": page["next"]})
    assert [one["journey"] for one in page["items"]] == ["sync/c3"]
    found = await door.call("GET", "/batches/batch-1/items", params={"outcome": "refused"})
    assert [one["position"] for one in found["items"]] == [2]
    assert (await door.call("GET", "/batches/none", status=404))["detail"] == "there is no batch 'none'"
