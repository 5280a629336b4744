"""Journeys whose webhooks go to destinations, on the real server: signed, kept, held, and without a secret."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from temporalio.client import WorkflowHandle

from gateway.client import ScenarioClient
from runtime.local.receiver import Receiver
from runtime.secrets import Secrets
from runtime.settings import Settings
from tests.e2e.conftest import Server, opened, outcomes, publish, until
from tests.e2e.decoding import decoded

TOKEN = "t0p-s3cret-t0ken"
KEY = "whsec_" + base64.b64encode(b"a signing key of 32 bytes, truly").decode()
TOLD = """
scenario: told
trigger: order
steps:
  - webhook: first
    to: wax
    path: /messages/{{ order.external_id }}
    body: {order: "{{ order.external_id }}"}
    save: {as: wax, schema: {required: [received]}}
  - if: responses.wax.received == 2
    then:
      - webhook: second
        to: wax
        path: /again
        content: form
        body: {number: "{{ responses.wax.received }}"}
"""
LOST = """
scenario: lost
trigger: order
steps:
  - webhook: told
    to: crm
    path: /tasks
    body: {a: 1}
"""
ENTRY = {"contact": {"id": 42}, "trigger": {"type": "order", "order": {"external_id": "CGX0094"}}}


@dataclass
class Place:
    """A worker whose destinations are in a file.

    Attributes:
        client: To enter contacts.
        receiver: The system behind every destination.
        file: `destinations.yaml`.
    """

    client: ScenarioClient
    receiver: Receiver
    file: Path

    async def enter(self, scenario: str) -> WorkflowHandle[Any, Any]:
        entered = await self.client.enter({"scenario": scenario, **ENTRY})
        return entered.handle


def book(receiver: Receiver, **more: str) -> str:
    port = receiver.url.rpartition(":")[2]
    lines = ["destinations:"]
    for name, keys in more.items():
        local = f"url: {receiver.url}/{name}, allow_private: true, allow_http: true, ports: [{port}]"
        lines.append(f"  {name}: {{{local}, {keys}}}")
    return "\n".join(lines) + "\n"


WAX = 'headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}, signing: [{key: SIGN}], retry: {initial_interval: 1s}'


@pytest.fixture
async def place(server: Server, tmp_path: Path) -> AsyncIterator[Place]:
    file = tmp_path / "destinations.yaml"
    async with Receiver(fail={"/wax/messages": [503]}) as receiver:
        file.write_text(book(receiver, wax=WAX))
        secrets = Secrets(Settings(), {"SCENARIO_SECRET_TOKEN": TOKEN, "SCENARIO_SECRET_SIGN": KEY})
        async with opened(await server.connect(), tmp_path, destinations=file) as site, site.working(secrets=secrets):
            yield Place(site.client, receiver, file)


async def test_a_journey_is_told_by_destinations_and_what_they_answer(place: Place, tmp_path: Path) -> None:
    await publish(place.client, tmp_path, TOLD)
    handle = await place.enter("told")
    result = await handle.result()
    assert outcomes(result)[0] == ("first", "delivered")
    first, again, second = place.receiver.requests()
    assert [first.target, again.target] == ["/wax/messages/CGX0094"] * 2
    assert [first.status, again.status] == [503, 200]
    assert first.header("webhook-id") == again.header("webhook-id") == again.header("idempotency-key")
    assert first.body == again.body
    for request in (first, again):
        assert request.header("authorization") == f"Bearer {TOKEN}"
        assert Verifier(KEY).verify(request.body, dict(request.headers)) == {"order": "CGX0094"}
    # The receiver answers with how many requests it has had.
    assert [outcome for _, outcome in outcomes(result)] == ["delivered", "then", "delivered"]
    assert (second.target, second.body) == ("/wax/again", b"number=2")
    assert second.header("content-type") == "application/x-www-form-urlencoded"
    history = [await decoded(event, place.client) for event in (await handle.fetch_history()).events]
    policies = [event.activity_task_scheduled_event_attributes.retry_policy for event in history]
    pause = max(policy.initial_interval.ToTimedelta().total_seconds() for policy in policies)
    assert 0 < pause < 2, "the destination's, not the default of 5 s"
    shown = b"".join(event.SerializeToString() for event in history).decode("utf-8", "replace")
    assert '"received"' in shown
    for secret in (TOKEN, KEY, KEY.removeprefix("whsec_")):
        assert secret not in shown


async def test_a_delivery_to_an_unknown_destination_is_held_until_the_file_knows_it(
    place: Place, tmp_path: Path
) -> None:
    await publish(place.client, tmp_path, LOST)
    handle = await place.enter("lost")

    async def held() -> Any:
        progress = await handle.query("progress")
        return progress if progress["state"] == "held" else None

    progress = await until(held)
    assert progress["waiting"]["kind"] == "ChannelNotConfigured"
    assert progress["waiting"]["reason"] == (
        "The file that SCENARIO_DESTINATIONS names has no destination 'crm': add it there, or correct the scenario"
    )
    place.file.write_text(book(place.receiver, wax=WAX, crm="rate: 5/s"))
    await asyncio.sleep(1.1)
    operator: Any = handle
    await operator.execute_update("retry_step", {"operator": "zoe", "reason": "added"})
    assert outcomes(await handle.result()) == [("told", "delivered")]
    assert [request.target for request in place.receiver.requests()] == ["/crm/tasks"]
