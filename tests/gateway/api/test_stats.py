"""People per step over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from temporalio.service import RPCStatusCode

from runtime.store import Passage, Store
from tests.gateway.api.doors import Door, opened
from tests.gateway.service.test_stats import Search, admit, publish


@pytest.fixture
def search() -> Search:
    return Search(Counter({("sale@1", "waiting", "wait-2"): 1}))


@pytest.fixture
async def door(store: Store, search: Search) -> AsyncIterator[Door]:
    async with opened(store, search) as door:
        yield door


async def test_each_step_is_told(door: Door, store: Store) -> None:
    await publish(store)
    journey = await admit(store, 1)
    await store.count_passages(journey, "r", 0, [Passage(1, "mail", "delivered", datetime.now(UTC))])
    told = await door.call("GET", "/stats/sale")
    assert (told["scenario"], told["trouble"]) == ("sale", "")
    assert datetime.fromisoformat(told["since"]) < datetime.fromisoformat(told["as_of"])
    [version] = told["versions"]
    assert {name: version[name] for name in version if name != "steps"} == {
        "version": 1,
        "is_newest": True,
        "entered": 1,
        "under_way": 1,
        "over": {},
        "now": {"waiting": 1, "held": 0, "paused": 0, "running": 0},
    }
    assert [step["id"] for step in version["steps"]] == ["mail", "wait-2", "hook"]
    assert version["steps"][0] == {
        "id": "mail",
        "kind": "email",
        "what": "email",
        "now": {"waiting": 0, "held": 0, "paused": 0, "running": 0},
        "passed": {"delivered": 1},
        "passed_lately": {"delivered": 1},
        "attempts": {},
        "skipped": {},
        "trying_again": 0,
    }
    assert version["steps"][1]["attempts"] is None


async def test_where_search_is_away_the_rest_is_told(door: Door, store: Store, search: Search) -> None:
    await publish(store)
    await admit(store, 1)
    search.error = RPCStatusCode.UNAVAILABLE
    told = await door.call("GET", "/stats/sale?version=1")
    assert told["trouble"] == "Temporal's search does not answer (UNAVAILABLE): who stands where is not known"
    assert told["versions"][0]["now"] is None


async def test_what_is_not_there_and_what_a_key_is_not_for(door: Door, store: Store) -> None:
    await publish(store)
    missing = await door.call("GET", "/stats/sail", status=404)
    assert "there is no scenario 'sail'" in missing["detail"]
    assert (await door.call("GET", "/stats/sale?version=2", status=404))["detail"] == (
        "sale has no version 2: the newest is 1"
    )
    assert (await door.call("GET", "/stats/sale?version=0", status=422))["errors"][0]["pointer"] == "query:version"
    await (await door.limited("other")).call("GET", "/stats/sale", status=403)
    await (await door.limited(scopes=["enter"])).call("GET", "/stats/sale", status=403)
