"""People per step over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runtime.store import Passage, Store
from tests.gateway.api.doors import Door, opened
from tests.gateway.service.test_stats import Search, admit, publish


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    async with opened(store, Search(Counter({("sale@1", "waiting", "wait-2"): 1}))) as door:
        yield door


async def test_each_step_is_told(door: Door, store: Store) -> None:
    await publish(store)
    journey = await admit(store, 1)
    await store.count_passages(journey, "r", 0, [Passage(1, "mail", "delivered", datetime.now(UTC))])
    told = await door.call("GET", "/stats/sale")
    assert (told["scenario"], told["trouble"]) == ("sale", "")
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
    await door.call("GET", "/stats/sail", status=404)
    assert (await door.call("GET", "/stats/sale?version=0", status=422))["errors"][0]["pointer"] == "query:version"
