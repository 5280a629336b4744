"""A chunk of a campaign while its receiver takes no messages."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.admission import AdmissionActivities
from activities.attempt_context import AttemptContext
from activities.background import CampaignChunk
from activities.blast.chunk import BlastActivities, ChannelSender
from activities.channel_registry import WEBHOOK, Channel
from activities.content import Content
from activities.failures import Failure, FailureKind
from activities.interface import Delivery, Sent
from activities.webhook.destinations.reading import DestinationsFile
from runtime.encryption.codec import EntryCodec
from runtime.store import Store
from runtime.store.campaigns import CampaignItem
from tests.factories import publish, stored_campaign

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOOK = {"webhook": "hook", "url": "https://hooks.example.com/", "body": {"id": "{{ contact.id }}"}}


class Shop:
    channel: Channel = WEBHOOK

    def __init__(self, turned_away: set[str]) -> None:
        self.turned_away = turned_away
        self.sent: list[str] = []

    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        del context
        self.sent.append(delivery.contact)
        if delivery.contact not in self.turned_away:
            return Sent(status=200, attempt=1)
        failure = Failure(kind=FailureKind.RETRY, reason="busy", destination="shop", attempt=0, turned_away=True)
        raise failure.as_error(timedelta(seconds=30))


@dataclass
class Setup:
    store: Store
    blast: BlastActivities
    shop: Shop
    journeys: list[str] = field(default_factory=list[str])
    again: set[str] = field(default_factory=set[str])  # lines that were admitted before


async def prepared(store: Store, monkeypatch: pytest.MonkeyPatch, turned_away: set[str], **hook: Any) -> Setup:
    await publish(store, json.dumps({"scenario": "sale", "trigger": "segment", "steps": [HOOK | hook]}))
    client: Any = SimpleNamespace(namespace="default", data_converter=DataConverter.default)
    await store.add_campaign(stored_campaign("advent", scenario="sale", rate=100.0, created_at=NOW, gear="blast"))
    items: list[CampaignItem] = []
    for number in range(1, 41):
        contact, journey = f"c{number}", f"sale/c{number}/advent"
        given = {"scenario": "sale@1", "contact": {"id": contact}, "trigger": {"type": "segment"}, "key": "advent"}
        entry = await EntryCodec(client).encode(journey, given)
        items.append(CampaignItem(line=number, place=number, contact_id=contact, journey=journey, entry=entry))
    await store.add_campaign_items("advent", items)
    shop = Shop(turned_away)
    services: Any = SimpleNamespace(store=store, content=Content(store), destinations=DestinationsFile(), zone="UTC")
    admissions = AdmissionActivities(services.content, store, "UTC")
    senders = {"webhook": ChannelSender(cast("Any", shop), 2)}  # one at a time
    made = Setup(store, BlastActivities(client, services, admissions, senders), shop)

    async def hand_over(_: Any, *, workflow_id: str, **__: Any) -> bool:
        made.journeys.append(workflow_id)
        return True

    async def is_started(_: Any, workflow_id: str, root: str) -> bool:
        del root
        made.again.add(workflow_id)
        return False

    monkeypatch.setattr("activities.blast.chunk.hand_over", hand_over)
    monkeypatch.setattr("activities.blast.chunk.is_started", is_started)
    return made


def chunk(rate: float = 10_000.0) -> CampaignChunk:
    return CampaignChunk(campaign="advent", first=1, last=40, rate=rate)


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
async def test_only_lines_in_progress_become_journeys(
    store: Store, monkeypatch: pytest.MonkeyPatch, on_unknown: str
) -> None:
    monkeypatch.setattr("activities.blast.chunk._LONGEST_PAUSE", 0.01)
    counted: list[Any] = []

    def add(*labels: Any) -> None:
        counted.append(labels)

    monkeypatch.setattr("activities.admission.ADMISSION", SimpleNamespace(add=add))
    made = await prepared(store, monkeypatch, {"c1", "c2"}, on_unknown=on_unknown)
    environment, beats = ActivityEnvironment(), list[tuple[Any, ...]]()
    environment.on_heartbeat = lambda *details: beats.append(details)
    await environment.run(made.blast.blast_lines, chunk())
    assert ("busy",) in beats, "it says why it waits"
    assert (await store.campaign_counts(["advent"]))["advent"] == {"entered": 2, "delivered": 38}
    assert set(made.journeys) == {"sale/c1/advent", "sale/c2/advent"}
    assert set(Counter(made.shop.sent).values()) == {1}
    assert made.again == set()
    assert counted == [("sale", "admitted", None)] * 40


async def test_lines_that_wait_for_their_receiver_are_as_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await prepared(store, monkeypatch, {"c1"}, on_unknown="hold")
    environment = ActivityEnvironment()
    ready = asyncio.Event()

    async def paused(_: Any) -> None:
        if made.shop.sent:
            ready.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("activities.blast.chunk._Chunk._ready", paused)
    working = asyncio.create_task(environment.run(made.blast.blast_lines, chunk()))
    await ready.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert [entry.contact_id for entry in await store.entries(running=True)] == ["c1"]
    assert [item.line for item in await store.campaign_items("advent") if item.marked] == [1]


async def test_another_workers_lines_are_not_sent_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await prepared(store, monkeypatch, set(), on_unknown="hold")
    sending = made.shop.send

    async def send(delivery: Delivery, context: AttemptContext) -> Sent:
        if not made.shop.sent:
            await store.mark_campaign_lines("advent", range(11, 21))
        return await sending(delivery, context)

    monkeypatch.setattr(made.shop, "send", send)
    with pytest.raises(ApplicationError, match="another worker sends 10 of these lines"):
        await ActivityEnvironment().run(made.blast.blast_lines, chunk(10.0))
    assert {int(contact[1:]) for contact in made.shop.sent}.isdisjoint(range(11, 21))


async def test_lines_that_another_worker_has_completed_are_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.blast.chunk.TOGETHER", 10)
    made = await prepared(store, monkeypatch, set())
    sending, other = made.shop.send, replace(made.blast, _places={})

    async def send(delivery: Delivery, context: AttemptContext) -> Sent:
        if not made.shop.sent:
            made.shop.sent.append("")
            await ActivityEnvironment().run(other.blast_lines, chunk())
        return await sending(delivery, context)

    monkeypatch.setattr(made.shop, "send", send)
    await ActivityEnvironment().run(made.blast.blast_lines, chunk())
    sent = Counter(made.shop.sent)
    assert [sent[f"c{number}"] for number in range(1, 41)] == [2] * 10 + [1] * 30
