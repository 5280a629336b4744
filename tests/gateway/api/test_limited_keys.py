"""A key for some scenarios sees nothing of others, and touches nothing of them, at whatever address."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from runtime.store import AcceptedEntry, Store
from tests.factories import NOW, admission_request, publish, stored_campaign, stored_operation
from tests.gateway.api.conftest import ROUTES, Door, opened
from tests.gateway.api.test_refused import assert_said, requests
from tests.runtime.store.test_batches import BATCH

WHY = {"reason": "x"}
ENTRY = {"scenario": "hello", "contact": {"id": 7}, "trigger": {"type": "order"}}
EVENT = {"journey": "hello/7", "name": "order.delivered"}
OF_HELLO = {"scenario": "hello"}
ORDER: dict[str, Any] = {"type": "order", "order": {}}
DRAFT = "scenario: hello\ntrigger: order\nsteps:\n  - exit: done\n"
ELSEWHERE = {
    "POST /entries/batch",
    "POST /events/batch",
    "PATCH /contacts/{contact:path}",
    "GET /operations",
    "GET /campaigns",
    "GET /batches",
    "GET /scenarios",
    "GET /overview",  # see the tests of its service
    "GET /deliveries/{id}/content",  # see the tests of its service
    "GET /feed",
}
"""What is answered, without anything of others: see below."""
HARMLESS = {"POST /check", "PUT /audiences/{file}"}
"""What has nothing to do with what is published."""


@pytest.fixture
async def limited(store: Store) -> AsyncIterator[Door]:
    """As who has a key for `other` alone, where a contact is in `hello`."""
    for name in ("hello", "other"):
        await publish(store, DRAFT.replace("hello", name))
    await store.admit(admission_request("7", "hello"))
    for name, which in (("hellos", OF_HELLO), ("everybodys", {"destination": "wax"}), ("ours", {"scenario": "other"})):
        request = {"which": which, "rate": 1.0, "dry_run": False}
        await store.add_operation(stored_operation(name, verb="pause", request=request, ended_at=NOW))
    for name, scenario in (("sale", "hello"), ("mine", "other")):
        await store.add_campaign(stored_campaign(name, scenario=scenario, ended_at=NOW))
    for name, scenario in (("b1", "hello"), ("b2", "other")):
        await store.open_batch(replace(BATCH, id=name, scenario=scenario))
    async with opened(store) as door:  # without a Temporal to ask: whoever gets so far fails
        yield await door.limited(scenarios=["other"])


async def test_what_is_not_for_it_is_forbidden(limited: Door):
    await assert_said(limited, "forbidden.txt")
    told = Path(__file__).with_name("forbidden.txt").read_text("utf-8").splitlines()
    assert {line[:16] for line in told if line[0] != "$"} == {"403 this key is "}


async def test_it_previews_its_own_drafts(limited: Door):
    draft = {"source": DRAFT.replace("hello", "other"), "entry": {**ENTRY, "scenario": "other", "trigger": ORDER}}
    assert [step["id"] for step in (await limited.call("POST", "/preview", json=draft))["steps"]] == ["exit-1"]


async def test_it_does_not_tell_what_there_is(limited: Door):
    for name, path in product(
        ("hello", "nobody"), ("scenarios/{}", "stats/{}", "trends/{}", "results/{}", "journeys/{}/7")
    ):
        problem = await limited.call("GET", f"/{path.format(name)}", status=403)
        assert problem["detail"] == "this key is for other scenarios"


async def test_it_sees_its_own_alone(limited: Door):
    for path, name, own in (
        ("/operations", "id", "ours"),
        ("/campaigns", "name", "mine"),
        ("/batches", "id", "b2"),
        ("/scenarios", "scenario", "other"),
    ):
        assert [item[name] for item in (await limited.call("GET", path))["items"]] == [own]
    for path in ("/operations/ours", "/operations/ours/items", "/deliveries?scenario=other", "/campaigns/mine/items"):
        await limited.call("GET", path)
    for batch, status in (("b1", 403), ("b2", 500)):  # there is no Temporal that could answer
        for method, path, request in (("GET", "", {}), ("POST", "/retry", {"json": WHY})):
            await limited.call(method, f"/journeys/{batch}{path}", status=status, **request)


async def test_journeys_of_others_hear_nothing(limited: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.events.UnadmittedSearch.of", AsyncMock(return_value=[]))
    await limited.store.accept(AcceptedEntry("hello/7/B", "r2", "7", NOW))
    event, nobody = {"contact": "7", "name": "order.delivered"}, {"told": 0, "pending": 0, "unknown": True}
    assert await limited.call("POST", "/events", json=event, status=202) == {**nobody, "goals": 0, "unused": 0}
    assert await limited.call("PATCH", "/contacts/7", json={"language": "fr"}) == nobody
    told = await limited.call("POST", "/events/batch", json=[EVENT, event])
    assert [(one["status"], one.get("told")) for one in told["results"]] == [(403, None), (202, 0)]
    told = await limited.call("POST", "/entries/batch", json=[ENTRY])
    assert [one["status"] for one in told["results"]] == [403]


def test_no_address_was_forgotten():
    def found(method: str, path: str) -> str:
        return next(route.path for of, route in ROUTES if of == method and route.path_regex.match(path))

    known = {f"{method} {route.path}" for method, route in ROUTES}
    shown = [line.partition("?")[0].split() for line in requests("forbidden.txt")]
    shown = {f"{method} {found(method, path)}" for method, path, *_ in shown}
    assert known == shown | ELSEWHERE | HARMLESS
