"""All entries of a contact, page by page, from the store and Temporal's search."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.client import ScenarioClient
from gateway.errors import BadCursor, BadInput, NotFound
from runtime.store import Store
from tests.factories import admission_request
from tests.gateway.conftest import store
from tests.gateway.search import NOW, Search

__all__ = ["store"]


async def test_pages_have_every_entry_once(store: Store) -> None:
    search = Search()
    client = ScenarioClient(search.client, store)
    for number in range(10):
        now = NOW - timedelta(days=number // 3)  # several at the same time
        request = admission_request(
            "7", "a", key=str(number), run_id=f"r{number}", now=now, workflow_id=f"a/7/{number}"
        )
        await store.admit(request)
    # The control contact of r9 has departed, and its workflow is not closed yet.
    await store.depart("a/7/9", "r9", "control", "in the control group", NOW)
    search.add("a/7/9", ContactId="7")
    # This one waits: it was admitted, though the store does not have it any more.
    search.add("a/7/old", ContactId="7", JourneyState="waiting")
    found, cursor = list[str](), None
    while not found or cursor:
        page = await client.why("7", limit=4, cursor=cursor)
        found += [story.journey for story in page.entries]
        cursor = page.next
    assert sorted(found) == [f"a/7/{number}" for number in range(10)]
    assert {story.journey for story in (await client.why("7", since=NOW - timedelta(hours=1))).entries} == {
        *(f"a/7/{number}" for number in range(3))
    }
    with pytest.raises(NotFound):
        await client.why("7", since=NOW + timedelta(hours=1))
    with pytest.raises(BadCursor):
        await client.why("7", cursor="abc")
    with pytest.raises(BadInput, match=r"has a step 'hello': none is known$"):  # no version of 'a' is stored
        await client.why("7", step="hello")
