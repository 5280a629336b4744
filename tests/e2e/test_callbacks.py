"""A receiver answers a journey at the address that it was sent, over HTTP; and nobody else does."""

from __future__ import annotations

import asyncio
import base64
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.webhook.route import Diverted
from gateway.callbacks.deliver import CallbackEvent, Overfull, tell
from gateway.callbacks.server import application
from gateway.client import Entered, ScenarioClient
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.process.http_server import HttpServer
from runtime.public_links import CallbackClaim, Callbacks
from runtime.store import Store
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import (
    Server,
    listening_port,
    opened,
    outcomes,
    process,
    publish,
    store_in,
)
from tests.e2e.decoding import decoded

pytestmark = pytest.mark.encrypted

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
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
    """Worker, receiver and gateway, each reached as the others are in production."""

    client: ScenarioClient
    receiver: Receiver
    http: httpx.AsyncClient

    async def enter(self, contact: str) -> tuple[Entered, str]:
        """Lets a contact in. Returns the address that its journey sent."""
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
        """How many events a journey was told."""
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


async def test_a_journey_goes_on_when_the_receiver_answers_it(dialogue: Dialogue):
    entered, address = await dialogue.enter("ann")
    assert (await dialogue.http.get(address)).status_code == 405  # a link scanner
    assert await dialogue.post(address, "no") == 202
    assert await dialogue.post(address, "yes", id="evt_1") == 202
    assert await dialogue.post(address, "yes", id="evt_1") in (202, 410)  # again, since the answer might be lost
    async with asyncio.timeout(60):
        result = await entered.result()
    assert outcomes(result) == [("ask", "delivered"), ("wait_for-2", "event"), ("thanks", "delivered")]
    assert await dialogue.post(address, "yes") == 410


async def test_an_address_is_written_down_nowhere(dialogue: Dialogue, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    entered, address = await dialogue.enter("eve")
    token = address.rpartition("/")[2]
    assert await dialogue.post(address, "yes") == 202
    async with asyncio.timeout(60):
        await entered.result()
    handle = dialogue.client.temporal.get_workflow_handle(entered.id, run_id=entered.run_id)
    events = [await decoded(event, dialogue.client) async for event in handle.fetch_history_events()]
    history = b"".join(event.SerializeToString() for event in events)
    store = b"".join(path.read_bytes() for path in list(tmp_path.glob("store.db*")))  # noqa: ASYNC240
    ours = [record for record in caplog.records if record.name.startswith(("gateway", "activities", "uvicorn"))]
    said = "\n".join(record.getMessage() for record in ours).encode()
    # It is looked for where something of its delivery is.
    assert [b"whatsapp.replied" in place for place in (history, store, said)] == [True, True, True]
    assert [token.encode() in place for place in (history, store, said)] == [False, False, False]


async def test_an_address_reaches_its_own_journey_alone(dialogue: Dialogue):
    first, address = await dialogue.enter("bea")
    second, other = await dialogue.enter("cid")
    assert address != other
    assert await dialogue.post(address, "yes") == 202
    async with asyncio.timeout(60):
        await first.result()
    # The contact comes again: another journey, of the same workflow id.
    again, anew = await dialogue.enter("bea")
    assert (again.id, again.run_id == first.run_id, anew == address) == (first.id, False, False)
    assert await dialogue.post(address, "yes") == 410
    assert [await dialogue.told(journey) for journey in (second, again)] == [0, 0]


async def test_what_is_forged_or_expired_does_nothing(dialogue: Dialogue):
    entered, address = await dialogue.enter("dan")
    base = address.partition("/callbacks/")[0]
    now = datetime.now(UTC)
    forged = Callbacks(base, [OTHER]).url(entered.id, entered.run_id, DELIVERY, now)
    expired = Callbacks(base, [KEY]).url(entered.id, entered.run_id, DELIVERY, now - timedelta(days=31))
    elsewhere = Callbacks(base, [KEY]).url("dialogue/nobody", entered.run_id, DELIVERY, now)
    assert [await dialogue.post(url, "yes") for url in (forged, expired, elsewhere)] == [404, 410, 410]
    assert await dialogue.told(entered) == 0


@workflow.defn(name="Relay")
class Relay:
    """Goes from run to run, as a long journey does; returns the event that it was told."""

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


@pytest.mark.parametrize("bound", ["MOST_EVENTS", "MOST_BYTES"])
async def test_outsiders_cannot_fill_a_journeys_history_until_temporal_ends_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, bound: str
):
    """A journey stays in one run for as long as its delivery is tried again, be it days."""
    monkeypatch.setattr(f"gateway.callbacks.deliver.{bound}", {"MOST_EVENTS": 20, "MOST_BYTES": 20_000}[bound])
    temporal = await server.connect()
    queue = f"full-{bound.lower().replace('_', '-')}"
    handle = await temporal.start_workflow(Relay.run, args=[1, []], id=queue, task_queue=queue)  # where nobody works
    claim = CallbackClaim(queue, handle.first_execution_run_id or "", DELIVERY, datetime.now(UTC))
    event = CallbackEvent(name="x", properties={"a": "a" * 1_000})
    told = 0
    with suppress(Overfull):
        while told < 40 and await tell(temporal, claim, event):
            told += 1
    assert 10 < told < 25
    await handle.terminate()
    assert not await tell(temporal, claim, event), "it is over, which is said first"


async def test_the_command_serves_until_it_is_asked_to_stop(server: Server, tmp_path: Path):
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "serve", "--port", "0"]
    url = store_in(tmp_path)
    async with Store.open(url):  # where events are to be encrypted, keys are looked for
        pass
    variables = {
        **server.environ,
        "SCENARIO_STORE": url,
        "SCENARIO_CALLBACK_URL": "https://hooks.example.com",
        "SCENARIO_CALLBACK_KEY": base64.b64encode(KEY).decode(),
    }
    log = tmp_path / "log"
    async with process(*command, log=log, cwd=tmp_path, environ=variables) as serving:
        port = await listening_port(log)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert (await http.get("/healthz")).json() == {"alive": True}
            unknown = Callbacks("", [KEY]).url("dialogue/nobody", DELIVERY[4:], DELIVERY, datetime.now(UTC))
            assert (await http.post(unknown, json={"name": "x"})).status_code == 410
        serving.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await serving.wait() == 0
    said = log.read_bytes()
    assert b"stopped" in said
    assert b"/callbacks/" not in said
