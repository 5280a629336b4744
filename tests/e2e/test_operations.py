"""Operations on many journeys in the background, on a real server: killed gateways, stops, dry runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.app import application
from gateway.api.authentication import Keys
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.client import JourneyFilter, OperationView, ScenarioClient
from gateway.errors import NotAccepted
from gateway.operations.background import running_operations
from runtime.store import Store, StoreUnavailable
from scenario.words import Operation
from tests.e2e.conftest import Stand, Stands, add_key, entry, publish, until_held

pytestmark = pytest.mark.encrypted

NAME = "many-at-once"
SCENARIO = f"""
scenario: {NAME}
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/no
    body: {{}}
"""
WHO: dict[str, Any] = {"operator": "ann", "reason": "the receiver is back"}
JOURNEYS = 8


async def hold(stand: Stand, folder: Path) -> list[str]:
    await publish(stand.client, folder, SCENARIO)
    entered = await asyncio.gather(*(stand.client.enter(entry(NAME, number)) for number in range(JOURNEYS)))
    await until_held(stand.client, JOURNEYS, scenario=NAME)
    return sorted(item.id for item in entered)


async def held_over_http(client: ScenarioClient) -> list[str]:
    transport = httpx.ASGITransport(application(client, Keys(client.store), Authoring(Setup(zone="UTC"))))
    headers = {"authorization": f"Bearer {await add_key(client.store, 'read')}"}
    seen: list[str] = []
    async with httpx.AsyncClient(transport=transport, base_url="http://test/v1", headers=headers) as http:
        query: dict[str, Any] = {"scenario": NAME, "destination": "hooks.example.com", "limit": 5}
        while True:
            page = (await http.get("/journeys", params=query)).json()
            assert {(item["held_reason"], item["status"]) for item in page["items"]} <= {("permanent", 422)}
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                return sorted(seen)
            query["cursor"] = page["next"]


async def until(client: ScenarioClient, begun: OperationView, ready: Callable[[OperationView], bool]) -> OperationView:
    async with asyncio.timeout(60):
        while not ready(seen := await client.operation(begun.id)):
            await asyncio.sleep(0.05)
    return seen


async def test_a_gateway_that_stops_in_the_middle_hits_nobody_twice_and_misses_nobody(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, lost = Store.record_answer, 0

    async def answered_but_once(self: Store, operation: str, journey: str, outcome: str | None, *more: Any) -> None:
        nonlocal lost
        if outcome and not lost:
            lost += 1
            raise StoreUnavailable("the store cannot be used now")  # as if the gateway were killed in that moment
        await answered(self, operation, journey, outcome, *more)

    monkeypatch.setattr(Store, "record_answer", answered_but_once)
    async with stand(fail={"/hooks.example.com/no": [422]}) as here, AsyncExitStack() as stack:
        client = here.client
        journeys = await hold(here, tmp_path)
        looked = await client.operate(Operation.RETRY, JourneyFilter(scenario=NAME), dry_run=True, **WHO)
        begun = await client.operate(Operation.RETRY, JourneyFilter(scenario=NAME), rate=4, **WHO)
        assert (begun.state, begun.total) == ("surveying", 0)
        async with running_operations(client.services.operations, client.services.campaigns):
            await until(client, begun, lambda seen: seen.accepted >= 3)
        stopped = await client.operation(begun.id)
        assert stopped.state == "running"
        assert 0 < stopped.left < JOURNEYS
        await stack.enter_async_context(running_operations(client.services.operations, client.services.campaigns))
        ended = await until(client, begun, lambda seen: seen.over)
        assert (ended.state, ended.total, ended.accepted, ended.refused) == ("finished", JOURNEYS, JOURNEYS, 0)
        assert (ended.left, ended.unanswered, ended.trouble) == (0, 0, None)
        assert lost == 1
        items = (await client.operation_items(begun.id)).items
        assert sorted(item.journey for item in items) == journeys
        results = [await client.temporal.get_workflow_handle(name).result() for name in journeys]
        assert {result["outcome"] for result in results} == {"finished"}
        times = Counter(item.header("webhook-id") for item in here.receiver.requests("/hooks.example.com/no"))
        assert sorted(times.values()) == [2] * JOURNEYS, "held once, and tried again once"
        found = await until(client, looked, lambda seen: seen.over)
        assert (found.state, found.total, found.left, found.accepted) == ("finished", JOURNEYS, JOURNEYS, 0)
        assert {item.outcome for item in (await client.operation_items(looked.id)).items} == {None}


async def test_a_stop_leaves_those_as_they_were_who_were_not_asked(stand: Stands, tmp_path: Path) -> None:
    async with (
        stand(fail={"/hooks.example.com/no": [422]}) as here,
        running_operations(here.client.services.operations, here.client.services.campaigns),
    ):
        client = here.client
        journeys = await hold(here, tmp_path)
        assert await held_over_http(client) == journeys
        begun = await client.operate(Operation.SKIP, JourneyFilter(scenario=NAME), rate=2, **WHO)
        await until(client, begun, lambda seen: seen.accepted >= 2)
        await client.stop_operation(begun.id, operator="bob", reason="wrong one")
        ended = await until(client, begun, lambda seen: seen.over)
        assert (ended.state, ended.stopped_by, ended.stop_reason) == ("stopped", "bob", "wrong one")
        assert ended.accepted + ended.left == JOURNEYS
        assert ended.left > 0
        with pytest.raises(NotAccepted, match=r"the operation has ended \(stopped\)"):
            await client.stop_operation(begun.id, operator="bob", reason="again")
        skipped = (await client.operation_items(begun.id, outcome="accepted")).items
        for item in skipped:
            await client.temporal.get_workflow_handle(item.journey).result()
        left = (await client.operation_items(begun.id, outcome="stopped")).items
        progress = [(await client.show(item.journey)).progress or {} for item in left]
        assert {one.get("state") for one in progress} == {"held"}
