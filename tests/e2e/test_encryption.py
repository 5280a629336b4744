"""Journeys whose payloads are encrypted: Temporal and the store hold nothing of a contact but its id."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError

from activities import erasure
from activities.interface import JOURNEYS
from activities.webhook.route import Diverted
from authoring.errors import BadInput
from gateway.api.authentication import Keys
from gateway.callbacks.app import CallbackEvent, tell
from gateway.codec import PREFIX, application
from runtime import search_attributes
from runtime.encryption import converter
from runtime.encryption.codec import EncryptionCodec, rotate
from runtime.encryption.converter import encrypt_client
from runtime.encryption.keyring import DataKey, Erased, Keyring, KeyWrapping
from runtime.errors import SettingsError
from runtime.local.receiver import Inbox, Receiver
from runtime.process.http_server import HttpServer
from runtime.public_links import CallbackClaim
from runtime.settings import Settings
from runtime.store import Store, StoreUnavailable
from runtime.store.erasures import ERASED
from service.client import Entered, ScenarioClient
from service.erasures import ErasureView
from service.errors import NotEntered, NotFound
from tests.e2e.conftest import ROOT, SENDER, Server, add_key, api, outcomes, publish, until, until_state
from tests.nodes import environment as node_environment
from tests.nodes import node, project
from worker import running_workers, services, workers

MARK = "Zo3-S34L3D"
OLD, NEW = b"k" * 32, b"n" * 32
"""Keys that wrap contacts' keys."""
ODD = 'a"b\\c'
"""The id of a contact, which queries of Temporal's search have to quote."""

STEPS = """
scenario: sealed
trigger: order
exit: [{event: order.returned}]
steps:
  - webhook: call
    url: https://hooks.example.com/call
    body: {name: "{{ contact.firstname }}"}
    retry: {initial_interval: 1s}
    save: {as: call, when: json}
  - if: contact.firstname contains "Zo"
    then:
      - sms: text
        text: "hello {{ contact.firstname }}, {{ responses.call.name }}"
  - webhook: refused
    url: https://hooks.example.com/refused
    body: {name: "{{ contact.firstname }}"}
    on_failure: continue
  - wait_for: order.delivered
    if: event.note == contact.firstname
    for: 7d
"""


def copy(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "store.db")) as store, closing(sqlite3.connect(folder / "copy.db")) as other:
        store.backup(other)
    return f"sqlite+aiosqlite:///{folder / 'copy.db'}"


def entry_of(contact: str) -> dict[str, Any]:
    return {
        "scenario": "sealed",
        "contact": {"id": contact, "firstname": MARK, "cellphone": "+33698765432"},
        "trigger": {"type": "order", "order": {"external_id": "A1"}},
    }


@dataclass(frozen=True)
class Place:
    client: ScenarioClient
    store: Store
    keys: Keyring

    async def waiting(self, contact: str) -> Entered:
        entered = await self.client.enter(entry_of(contact))
        await until_state(self.client, entered.id, "waiting")
        return entered

    async def erase(self, contact: str, histories: int = 1) -> ErasureView:
        view = await self.client.erase(contact, operator="ann", reason="request 4711")
        return await until(
            lambda: self.client.erasure(view.id or ""),
            lambda view: view.state == "waiting" and view.histories >= histories,
        )


@pytest.fixture
def plain_entries() -> str:
    return "admit"


@pytest.fixture
async def place(
    server: Server, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_entries: str
) -> AsyncIterator[Place]:
    monkeypatch.setattr(erasure, "PAUSES", (0.5,))
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    settings = Settings(
        store=SecretStr(url),
        smtp=SecretStr(inbox.url),
        mail_from=SENDER,
        sms=SecretStr("local:"),
        plain_entries=plain_entries,
    )
    async with (
        Store.open(url) as store,
        Store.open(url) as another,
        Receiver(fail={"/hooks.example.com/call": [503]}) as receiver,
    ):
        working = store.sealing = Keyring(store, KeyWrapping([OLD]))
        keys = another.sealing = Keyring(another, KeyWrapping([OLD]))
        connected = await server.connect()
        temporal = encrypt_client(connected, working, worker=True)
        await search_attributes.ensure(temporal)
        async with (
            services(settings, store=store, inbox=inbox.folder, routes=Diverted(receiver.url)) as opened,
            running_workers(await workers(temporal, opened)),
        ):
            client = ScenarioClient(encrypt_client(connected, keys), another)
            await publish(client, tmp_path, STEPS)
            yield Place(client, another, keys)


async def test_an_erased_contact_cannot_be_read_from_copies_and_others_go_on(place: Place, tmp_path: Path) -> None:
    erased, other = await place.waiting("e1"), await place.waiting("e2")
    before = await erased.handle.fetch_history()
    known = (await place.store.deliveries(erased.id))[-1].delivery_id
    copied = await asyncio.to_thread(copy, tmp_path)

    looked = await place.client.erase("e1", operator="ann", reason="she asked", dry_run=True)
    assert (looked.ended, looked.rows.entries, looked.before) == (1, 1, False)
    report = await place.erase("e1")
    assert (report.ended, report.histories, report.before, report.encrypted) == (1, 1, False, True)
    assert "'e1'" not in repr(report.model_dump())

    with pytest.raises(NotEntered, match="the contact was erased"):
        await place.client.enter(entry_of("e1"))
    with pytest.raises(BadInput, match="the contact was erased"):
        await place.client.event("e1", "order.delivered", {"note": MARK})
    with pytest.raises(Exception, match="the contact was erased"):  # a copy of its history from before
        await place.client.temporal.data_converter.decode(
            before.events[0].workflow_execution_started_event_attributes.input.payloads
        )
    (row,) = await place.store.deliveries(delivery_id=known)
    assert (row.contact_id, row.workflow_id, row.response) == (
        f"erased:{report.contact}",
        f"sealed/erased:{report.contact}",
        None,
    )
    with pytest.raises(NotFound):
        await place.client.show(erased.id)
    assert (await place.erase("e1")).id == report.id

    await place.client.event("e2", "order.delivered", {"note": MARK})
    assert outcomes(await other.result())[-1] == ("wait_for-4", "event")

    # A copy of the store holds the key: once all others are wrapped anew, who destroys the old key has destroyed it.
    input_of = before.events[0].workflow_execution_started_event_attributes.input.payloads
    await rotate(place.store, KeyWrapping([NEW, OLD]))
    async with Store.open(copied) as copy_of_before:
        assert (
            MARK.encode()
            in (await EncryptionCodec(Keyring(copy_of_before, KeyWrapping([OLD]))).decode(input_of))[0].data
        )
        with pytest.raises(SettingsError, match="lacks a key"):
            await EncryptionCodec(Keyring(copy_of_before, KeyWrapping([NEW]))).decode(input_of)
    with pytest.raises(Erased):
        await EncryptionCodec(Keyring(place.store, KeyWrapping([NEW, OLD]))).decode(input_of)
    [kept] = (await other.handle.fetch_history()).events[0].workflow_execution_started_event_attributes.input.payloads
    [read] = await EncryptionCodec(Keyring(place.store, KeyWrapping([NEW]))).decode([kept])
    assert MARK.encode() in read.data


async def run_to_its_end(clear: Client, **signal: Any) -> WorkflowHandle[Any, Any]:
    """Start a journey of an erased contact, again if a pass of the erasure terminates it before it ends by itself."""
    while True:
        started = await clear.start_workflow(
            "Journey", entry_of(ODD), id=f"sealed/{ODD}", task_queue=JOURNEYS, **signal
        )
        over = await until(started.describe, lambda run: run.status is not WorkflowExecutionStatus.RUNNING)
        if over.status is not WorkflowExecutionStatus.TERMINATED:
            return started


async def test_nothing_is_taken_for_an_erased_contact_by_any_way_in(place: Place, server: Server) -> None:
    journey = await place.waiting(ODD)
    callback = CallbackClaim(journey.id, journey.run_id, "msg_1", datetime.now(UTC))
    view = await place.erase(ODD)

    async with api(place.client) as served, served.http() as http:
        told = {"contact": ODD, "name": "order.delivered", "properties": {"note": MARK}}
        answers = [
            await http.post("/v1/entries", json=entry_of(ODD), headers={"prefer": "wait=30"}),
            await http.post("/v1/events", json=told),
            await http.patch(f"/v1/contacts/{quote(ODD)}", json={"firstname": MARK}),
            await http.post("/v1/events", json={**told, "contact": None, "journey": journey.id}),
            await http.post(f"/v1/journeys/{quote(journey.id)}/pause", json={"reason": "wait"}),
        ]
    assert [answer.status_code for answer in answers] == [200, 422, 422, 404, 409], [one.text for one in answers]
    assert all(ERASED in answer.text for answer in answers if answer.status_code != 404)

    with pytest.raises(NotFound, match=ERASED):
        await place.client.why(ODD)
    assert not await tell(place.client.temporal, callback, CallbackEvent(name="order.delivered"))

    # An engine that knows Temporal alone, and a signal with it: refused, and not tried again and again.
    clear = await server.connect()
    signal: dict[str, Any] = {"start_signal": "event", "start_signal_args": [{"name": "order.delivered"}]}
    for signalled in ({}, signal):
        started = await run_to_its_end(clear, **signalled)
        history = await started.fetch_history()
        assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in {event.event_type for event in history.events}
        ours = place.client.temporal.get_workflow_handle(f"sealed/{ODD}", run_id=started.first_execution_run_id)
        with pytest.raises(Erased):
            await ours.result()
        with pytest.raises(NotFound, match="the contact was erased"):
            await place.client.show(f"sealed/{ODD}")
    assert (await place.erase(ODD, histories=3)).id == view.id  # a later pass finds them


@pytest.mark.parametrize("plain_entries", ["refuse"])
async def test_an_entry_in_plain_text_is_refused_if_a_setting_says_so(place: Place, server: Server) -> None:
    clear = await server.connect()
    journey = await clear.start_workflow("Journey", entry_of("p1"), id="sealed/p1", task_queue=JOURNEYS)
    entering = await clear.start_workflow("Enter", entry_of("p2"), id="enter-p2", task_queue=JOURNEYS)
    result = await place.client.temporal.get_workflow_handle("sealed/p1", result_type=dict[str, Any]).result()
    assert (result["outcome"], result["steps"]) == ("refused", [])
    assert result["reason"].startswith("its entry is stored in plain text in Temporal")
    with pytest.raises(WorkflowFailureError) as failed:
        await place.client.temporal.get_workflow_handle(entering.id).result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.message == result["reason"]
    for handle in (journey, entering):
        events = [event.event_type async for event in handle.fetch_history_events()]
        assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in events
    await place.waiting("p3")
    # `Enter` starts the journey of an encrypted entry by a worker, which encrypts.
    entered = place.client.temporal
    by_worker = await entered.start_workflow("Enter", entry_of("p4"), id="enter-p4", task_queue=JOURNEYS)
    assert (await by_worker.result())["journey"] == "sealed/p4"


async def test_a_client_in_javascript_decodes_a_result_by_the_codec_server(
    place: Place, server: Server, tmp_path: Path
) -> None:
    journey = await place.waiting("r1")
    await place.client.event("r1", "order.returned", {})
    result = await journey.result()
    shutil.copy(ROOT / "examples" / "result.mjs", project(tmp_path))
    async with HttpServer() as codec_server:
        codec_server.start(application(place.keys, Keys(place.store), []))
        variables = {
            "TEMPORAL_CODEC_ENDPOINT": f"{codec_server.url}{PREFIX}",
            "TEMPORAL_CODEC_AUTH": f"Bearer {await add_key(place.store, 'decode')}",
        }
        process = await asyncio.create_subprocess_exec(
            *(node(), "result.mjs", journey.id),
            cwd=tmp_path,
            env=node_environment(**server.environ, **variables),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    assert (process.returncode, json.loads(out)) == (0, result)


@pytest.fixture
def outage(place: Place, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """While it is set, workers cannot read keys, as if the store were unavailable. Clients still can."""
    key, away = Keyring.key, asyncio.Event()

    async def unless_away(ring: Keyring, identifier: str) -> DataKey:
        if away.is_set() and ring is not place.keys:
            raise StoreUnavailable("nothing listens there")
        return await key(ring, identifier)

    monkeypatch.setattr(Keyring, "key", unless_away)
    return away


async def test_attempts_without_a_key_follow_each_other_soon_and_are_not_counted(
    place: Place, outage: asyncio.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is unavailable, an attempt cannot even read its message. By the policy, the second such one
    would be followed by a pause of an hour."""

    async def has_made(attempts: int) -> None:
        def is_later(run: WorkflowExecutionDescription) -> bool:
            pending = run.raw_description.pending_activities
            return bool(pending) and pending[0].attempt > attempts and pending[0].HasField("last_failure")

        await until(entered.handle.describe, is_later)

    retry = "retry: {initial_interval: 1s, backoff_coefficient: 60, maximum_attempts: 3}"
    await publish(place.client, tmp_path, STEPS.replace("retry: {initial_interval: 1s}", retry))
    monkeypatch.setattr(converter, "PAUSE", 0.2)
    entered = await place.client.enter(entry_of("7"))
    await has_made(1)  # one that the receiver answers 503
    outage.set()
    await has_made(6)
    outage.clear()
    rows = await until(lambda: place.store.deliveries(entered.id, step="call"), lambda rows: len(rows) > 1)
    assert sorted((row.attempt, row.status) for row in rows) == [(1, 503), (2, 200)]


async def test_a_journey_waits_for_the_store_without_failing_its_workflow_tasks(
    place: Place, outage: asyncio.Event, tmp_path: Path
) -> None:
    await publish(place.client, tmp_path, STEPS.replace("steps:\n", "steps:\n  - wait: 2s\n"))
    entered = await place.client.enter(entry_of("8"))
    await until_state(place.client, entered.id, "waiting")
    outage.set()
    await place.client.event("8", "order.noted", {"note": MARK})
    await asyncio.sleep(4)
    outage.clear()
    await until(lambda: place.store.deliveries(entered.id, step="call"), bool)
    events = [event.event_type async for event in entered.handle.fetch_history_events()]
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in events
