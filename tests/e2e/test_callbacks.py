"""A receiver answers a journey at the address that it was sent, over HTTP; and nobody else does."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.webhook.route import Diverted
from gateway.callbacks.app import CallbackEvent, application, tell
from gateway.client import Entered, ScenarioClient
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.process.http_server import HttpServer
from runtime.public_links import CallbackClaim
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import Server, opened, outcomes, publish

pytestmark = pytest.mark.encrypted

KEY = bytes(range(32))
DELIVERY = "msg_00112233445566778899aabbccddeeff"
SCENARIO = """
scenario: dialogue
trigger: birthday
entry: {again: always}
steps:
  - webhook: ask
    url: https://hooks.example.com/ask
    body: {journey: "{{ journey.id }}", since: "{{ journey.entered_at }}", answer_to: "{{ journey.callback_url }}"}
  - wait_for: whatsapp.replied
    if: event.text == "yes"
    for: 1h
    then:
      - sms: thanks
        text: "{{ journey.id }}: {{ event.text }}"
"""


@dataclass(frozen=True)
class Dialogue:
    client: ScenarioClient
    receiver: Receiver
    http: httpx.AsyncClient

    async def enter(self, contact: str) -> tuple[Entered, str]:
        entry = {
            "scenario": "dialogue",
            "contact": {"id": contact, "cellphone": "+33612345678"},
            "trigger": {"type": "birthday"},
        }
        entered = await self.client.enter(entry)
        delivery = delivery_id(entered.id, entered.run_id, "ask", 0)
        async with asyncio.timeout(60):
            while not (sent := [got for got in self.receiver.requests() if got.header("webhook-id") == delivery]):
                await asyncio.sleep(0.02)
        content = sent[0].json()
        assert content["journey"] == entered.id
        assert content["since"]
        return entered, content["answer_to"]

    async def post(self, address: str, text: str, **more: str) -> int:
        event = {"name": "whatsapp.replied", "properties": {"text": text}, **more}
        return (await self.http.post(address, json=event)).status_code

    async def told(self, entered: Entered) -> int:
        history = await self.client.temporal.get_workflow_handle(entered.id, run_id=entered.run_id).fetch_history()
        return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


@pytest.fixture
async def dialogue(server: Server, inbox: Inbox, tmp_path: Path) -> AsyncIterator[Dialogue]:
    async with (
        HttpServer() as listening,
        Receiver() as receiver,
        opened(
            await server.connect(),
            tmp_path,
            inbox=inbox.folder,
            routes=Diverted(receiver.url),
            sms=SecretStr("local:"),
            callback_url=listening.url,
            callback_key=SecretStr(base64.b64encode(KEY).decode()),
        ) as site,
        site.working(),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert site.services.channels.callbacks is not None
        listening.start(application(site.services.channels.callbacks, site.client.temporal))
        await publish(site.client, tmp_path, SCENARIO)
        yield Dialogue(site.client, receiver, http)


async def test_an_address_reaches_its_own_journey_alone(dialogue: Dialogue):
    first, address = await dialogue.enter("bea")
    second, other = await dialogue.enter("cid")
    assert address != other
    assert await dialogue.post(address, "yes") == 202
    async with asyncio.timeout(60):
        result = await first.result()
    assert outcomes(result) == [("ask", "delivered"), ("wait_for-2", "event"), ("thanks", "delivered")]
    # The contact comes again: another journey, of the same workflow id.
    again, anew = await dialogue.enter("bea")
    assert (again.id, again.run_id == first.run_id, anew == address) == (first.id, False, False)
    assert await dialogue.post(address, "yes") == 410
    assert [await dialogue.told(journey) for journey in (second, again)] == [0, 0]


@workflow.defn(name="Relay")
class Relay:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @workflow.signal
    def event(self, message: Any) -> None:
        self.heard.append(message)

    @workflow.run
    async def run(self, runs: int, heard: list[Any]) -> Any:
        self.heard = [*heard, *self.heard]
        if runs > 1:
            workflow.continue_as_new(args=[runs - 1, self.heard])
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard


async def test_a_journey_is_found_in_whatever_run_it_is(server: Server):
    temporal = await server.connect()
    async with Worker(temporal, task_queue="relay", workflows=[Relay], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await temporal.start_workflow(Relay.run, args=[3, []], id="relay/1", task_queue="relay")
        root = handle.first_execution_run_id
        assert root is not None
        async with asyncio.timeout(60):
            while (await temporal.get_workflow_handle("relay/1").describe()).run_id == root:
                await asyncio.sleep(0.02)
        claim = CallbackClaim("relay/1", root, DELIVERY, datetime.now(UTC))
        assert await tell(temporal, claim, CallbackEvent(name="x", properties={"a": 1}), "evt_1")
        async with asyncio.timeout(60):
            heard = await handle.result()
        assert heard == [{"name": "x", "properties": {"a": 1}, "id": f"{DELIVERY}/evt_1"}]
        assert not await tell(temporal, claim, CallbackEvent(name="x"))
