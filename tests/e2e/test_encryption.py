"""Journeys whose payloads are encrypted: Temporal and the store hold nothing of a contact but its id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.webhook.route import Diverted
from gateway.client import Entered, ScenarioClient
from gateway.errors import BadInput, NotEntered, UnknownJourney
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import encrypting
from runtime.encryption.keyring import DataKey, Keyring
from runtime.encryption.wrapping import Wrapping
from runtime.local.devserver import DevServer
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.settings import Settings
from runtime.store import Store, StoreUnavailable
from tests.e2e.conftest import SENDER, outcomes, publish
from worker import running, services, workers

MARK = "Zo3-S34L3D"

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


def content(folder: Path) -> bytes:
    """What the store's files hold."""
    return b"".join(path.read_bytes() for path in folder.glob("store.db*"))


def entry_of(contact: str) -> dict[str, Any]:
    """Of one who orders."""
    return {
        "scenario": "sealed",
        "contact": {"id": contact, "firstname": MARK, "cellphone": "+33698765432"},
        "trigger": {"type": "order", "order": {"external_id": "A1"}},
    }


@dataclass(frozen=True)
class Place:
    """A worker that encrypts, and a client of another process that does."""

    client: ScenarioClient
    store: Store
    keys: Keyring

    async def waiting(self, contact: str) -> Entered:
        """A journey that has come to its last wait."""
        entered = await self.client.enter(entry_of(contact))
        async with asyncio.timeout(60):
            while (await self.client.show(entered.id)).state != "waiting":
                await asyncio.sleep(0.05)
        return entered

    async def kept(self, entered: Entered, folder: Path) -> bytes:
        """What Temporal and the store hold."""
        history = await entered.handle.fetch_history()
        stored = await asyncio.to_thread(content, folder)
        return stored + b"".join(event.SerializeToString() for event in history.events)


@pytest.fixture
async def place(server: DevServer, inbox: Inbox, tmp_path: Path) -> AsyncIterator[Place]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    settings = Settings(store=SecretStr(url), smtp=SecretStr(inbox.url), mail_from=SENDER, sms=SecretStr("local:"))
    async with (
        Store.open(url) as store,
        Store.open(url) as another,
        Receiver(fail={"/hooks.example.com/call": [503]}) as receiver,
    ):
        working = store.sealing = Keyring(store, Wrapping([b"k" * 32]))
        keys = another.sealing = Keyring(another, Wrapping([b"k" * 32]))
        connected = await connect(server.address)
        temporal = encrypting(connected, working, worker=True)
        await search_attributes.ensure(temporal)
        async with (
            services(settings, store=store, inbox=inbox.folder, routes=Diverted(receiver.url)) as opened,
            running(workers(temporal, opened)),
        ):
            client = ScenarioClient(encrypting(connected, keys), another)
            await publish(client, tmp_path, STEPS)
            yield Place(client, another, keys)


async def test_what_temporal_and_the_store_keep_of_a_journey_cannot_be_read_without_the_key(
    place: Place, tmp_path: Path
) -> None:
    entered = await place.waiting("c1")
    seen = await place.client.show(entered.id)
    await place.client.event("c1", "order.delivered", {"note": MARK})
    assert outcomes(await entered.result()) == [
        ("call", "delivered"),
        ("if-2", "then"),
        ("text", "delivered"),
        ("refused", "delivered"),
        ("wait_for-4", "event"),
    ]
    assert seen.progress is not None
    async with asyncio.timeout(60):  # the log is written some moments later
        while len(attempts := await place.store.deliveries(entered.id)) < 4:
            await asyncio.sleep(0.05)
    assert attempts[-1].response == '{"received":3}'
    kept = await place.kept(entered, tmp_path)
    assert [word for word in (MARK, "698765432", '"received"') if word.encode() in kept] == []


async def test_an_erased_contact_cannot_be_read_from_copies_and_others_go_on(place: Place, tmp_path: Path) -> None:
    erased, other = await place.waiting("e1"), await place.waiting("e2")
    before = await erased.handle.fetch_history()
    known = (await place.store.deliveries(erased.id))[-1].delivery_id

    looked = await place.client.erase("e1", operator="ann", reason="she asked", dry_run=True)
    assert (looked.ended, looked.rows.entries, looked.before) == (1, 1, False)
    report = await place.client.erase("e1", operator="ann", reason="she asked")
    assert (report.ended, report.histories, report.before, report.encrypted) == (1, 1, False, True)
    assert "e1" not in json.dumps(report.as_json()).replace(report.contact, "")

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
    with pytest.raises(UnknownJourney):
        await place.client.show(erased.id)
    again = await place.client.erase("e1", operator="ann", reason="once more")
    assert (again.ended, again.rows.entries, again.before) == (0, 0, True)

    await place.client.event("e2", "order.delivered", {"note": MARK})
    assert outcomes(await other.result())[-1] == ("wait_for-4", "event")


async def test_attempts_whose_keys_cannot_be_looked_up_use_up_none_of_the_last(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away, an attempt cannot even read what it is to send: Temporal counts it all the same."""
    key, away = Keyring.key, False

    async def unless_away(ring: Keyring, identifier: str) -> DataKey:
        if away and ring is not place.keys:
            raise StoreUnavailable("nothing listens there")
        return await key(ring, identifier)

    async def has_made(attempts: int) -> None:
        async with asyncio.timeout(60):
            while True:
                pending = (await entered.handle.describe()).raw_description.pending_activities
                if pending and pending[0].attempt > attempts and pending[0].HasField("last_failure"):
                    return
                await asyncio.sleep(0.05)

    retry = "retry: {initial_interval: 1s, backoff_coefficient: 1, maximum_attempts: 2}"
    await publish(place.client, tmp_path, STEPS.replace("retry: {initial_interval: 1s}", retry))
    monkeypatch.setattr(Keyring, "key", unless_away)
    entered = await place.client.enter(entry_of("7"))
    await has_made(1)  # one that the receiver answers 503
    away = True
    await has_made(3)
    away = False
    async with asyncio.timeout(60):
        while (state := (await place.client.show(entered.id)).state) not in ("waiting", "held"):
            await asyncio.sleep(0.05)
    assert state == "waiting"
