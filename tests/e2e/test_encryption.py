"""Journeys whose payloads are encrypted: Temporal and the store hold nothing of a contact but its id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.webhook.route import Diverted
from gateway.client import ScenarioClient
from gateway.errors import NotEntered
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import encrypted
from runtime.encryption.keyring import Keyring
from runtime.encryption.wrapping import Wrapping
from runtime.local.devserver import DevServer
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.settings import Settings
from runtime.store import Store
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


async def test_what_temporal_and_the_store_keep_of_a_journey_cannot_be_read_without_the_key(
    server: DevServer, inbox: Inbox, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    settings = Settings(store=SecretStr(url), smtp=SecretStr(inbox.url), mail_from=SENDER, sms=SecretStr("local:"))
    async with Store.open(url) as store, Receiver(fail={"/hooks.example.com/call": [503]}) as receiver:
        keys = store.sealing = Keyring(store, Wrapping([b"k" * 32]))
        temporal = await connect(server.address, converter=encrypted(keys, worker=True))
        outside = await connect(server.address, converter=encrypted(Keyring(store, Wrapping([b"k" * 32]))))
        await search_attributes.ensure(temporal)
        async with (
            services(settings, store=store, inbox=inbox.folder, routes=Diverted(receiver.url)) as opened,
            running(workers(temporal, opened)),
        ):
            client = ScenarioClient(outside, store)
            await publish(client, tmp_path, STEPS)
            contact = {"id": "c1", "firstname": MARK, "cellphone": "+33698765432"}
            entry = {
                "scenario": "sealed",
                "contact": contact,
                "trigger": {"type": "order", "order": {"external_id": "A1"}},
            }
            entered = await client.enter(entry)
            async with asyncio.timeout(60):
                while (await client.show(entered.id)).state != "waiting":
                    await asyncio.sleep(0.05)
            seen = await client.show(entered.id)
            await client.event("c1", "order.delivered", {"note": MARK})
            result = await entered.result()
        attempts = await store.deliveries(entered.id)
        history = await entered.handle.fetch_history()
        await keys.destroy("c1")
        with pytest.raises(NotEntered, match="the contact was erased"):
            await ScenarioClient(await connect(server.address, converter=encrypted(keys)), store).enter(entry)

    assert outcomes(result) == [
        ("call", "delivered"),
        ("if-2", "then"),
        ("text", "delivered"),
        ("refused", "delivered"),
        ("wait_for-4", "event"),
    ]
    assert seen.progress is not None
    assert attempts[-1].response == '{"received":3}'
    kept = b"".join(event.SerializeToString() for event in history.events)
    kept += await asyncio.to_thread(content, tmp_path)
    assert [word for word in (MARK, "698765432", '"received"') if word.encode() in kept] == []
