"""What engines tell by HTTP while no worker runs, through two gateways and about entries that Temporal alone has."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from activities.interface import JOURNEYS
from gateway.client import EventView, ScenarioClient
from gateway.operations import journey_operations
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from tests.e2e.apis import api
from tests.e2e.conftest import Stands, publish

pytestmark = pytest.mark.encrypted

PENDING = """
scenario: pending
trigger: order
entry: {key: "{{ order.external_id }}"}
exit:
  - event: order.returned
    if: event.order_id == order.external_id
steps:
  - wait: 3d
"""
MANY = 5


def entry(contact: str, order: str = "A") -> dict[str, Any]:
    return {
        "scenario": "pending",
        "contact": {"id": contact},
        "trigger": {"type": "order", "order": {"external_id": order}},
    }


def returned(contact: str, order: str = "A") -> dict[str, Any]:
    name, properties = "order.returned", {"order_id": order}
    return {"contact": contact, "name": name, "properties": properties, "id": f"{contact}-{order}"}


async def reason(client: ScenarioClient, journey: str) -> str:
    handle = client.temporal.get_workflow_handle(journey, result_type=dict)
    return (await handle.result())["reason"]


async def test_what_is_told_while_no_worker_runs_is_kept(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey_operations, "ANSWER", 0.5)
    async with stand(idle=True) as place:
        client = place.client
        await publish(client, tmp_path, PENDING)
        other = ScenarioClient(client.temporal, client.store)
        async with api(client) as one, api(other) as two, one.http() as first, two.http() as second:
            # One by one, the event straight after the entry's 202, by the other gateway.
            assert (await first.post("/v1/entries", json=entry("p1"))).status_code == 202
            told = (await second.post("/v1/events", json=returned("p1"))).json()
            assert told == {"told": 0, "pending": 1, "unknown": False, "goals": 0}
            # By the journey's id, as the answer gave it.
            journey = (await first.post("/v1/entries", json=entry("p2"))).json()["journey"]
            by_id = {**returned("p2"), "journey": journey}
            del by_id["contact"]
            assert (await second.post("/v1/events", json=by_id)).json()["pending"] == 1
            by_id["journey"] = "pending/p2/B"
            assert (await second.post("/v1/events", json=by_id)).status_code == 404
            # A change, and nobody's.
            changed = (await second.patch("/v1/contacts/p1", json={"timezone": "Asia/Tokyo"})).json()
            assert changed == {"told": 0, "pending": 1, "unknown": False}
            assert (await second.patch("/v1/contacts/p9", json={"language": "fr"})).json()["unknown"] is True
            # Many in batches: contact by contact in order, one event each for one of its two entries.
            contacts = [f"b{number}" for number in range(MANY)]
            batch = [entry(contact, order) for contact in contacts for order in "AB"]
            entered = (await first.post("/v1/entries/batch", json=batch)).json()
            assert entered["accepted"] == 2 * MANY
            events = [returned(contact) for contact in contacts]
            results = (await second.post("/v1/events/batch", json=events)).json()["results"]
            assert {(told["told"], told["pending"], told["unknown"]) for told in results} == {(0, 2, False)}
            # An operation is pending, and asked for again under the same key.
            journey = (await first.post("/v1/entries", json=entry("p3"))).json()["journey"]
            leave = partial(
                second.post,
                f"/v1/journeys/{journey}/leave",
                json={"reason": "she called"},
                headers={"idempotency-key": "leave-p3"},
            )
            answer = await leave()
            assert (answer.status_code, answer.json()["code"]) == (503, "no-answer")
            assert "pending" in answer.json()["detail"]
            monkeypatch.setattr(journey_operations, "ANSWER", 30.0)
            async with place.working():
                assert (await leave()).json()["progress"]["operations"][0]["reason"] == "she called"
                assert await reason(client, "pending/p1/A") == "event order.returned"
                assert await reason(client, "pending/p2/A") == "event order.returned"
                assert (await reason(client, "pending/p3/A")).endswith("she called")
                ended = await asyncio.gather(*(reason(client, f"pending/{contact}/A") for contact in contacts))
                assert set(ended) == {"event order.returned"}
                for contact in contacts:
                    await client.event(contact, **_told(returned(contact, "B")))
                ended = await asyncio.gather(*(reason(client, f"pending/{contact}/B") for contact in contacts))
                assert set(ended) == {"event order.returned"}


async def test_entries_that_temporal_alone_has_are_searched_for_while_tasks_wait(stand: Stands, tmp_path: Path) -> None:
    async with stand(idle=True) as place:
        client = place.client
        await publish(client, tmp_path, PENDING)
        attributes = [SearchAttributePair(SCENARIO_NAME, "pending"), SearchAttributePair(CONTACT_ID, "d1")]
        await client.temporal.start_workflow(
            "Journey",
            entry("d1"),
            id="pending/d1/A",
            task_queue=JOURNEYS,
            search_attributes=TypedSearchAttributes(attributes),
        )
        async with asyncio.timeout(60):
            while (heard := await client.event("d1", **_told(returned("d1")))) != EventView(pending=1):
                assert heard == EventView(unknown=True)
                await asyncio.sleep(0.2)
        assert await client.event("d2", **_told(returned("d2"))) == EventView(unknown=True)
        async with place.working():
            assert await reason(client, "pending/d1/A") == "event order.returned"
        await client.services.close()


def _told(event: dict[str, Any]) -> dict[str, Any]:
    return {"name": event["name"], "properties": event["properties"], "identifier": event["id"]}
