"""A chunk of a campaign while its receiver takes no messages."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.converter import DataConverter
from temporalio.testing import ActivityEnvironment

from activities.admission import AdmissionActivities
from activities.attempt_context import AttemptContext
from activities.background import CampaignChunk
from activities.blast.chunk import BlastActivities, ChannelSender
from activities.channel_registry import WEBHOOK, Channel
from activities.content import Content
from activities.entry_codec import EntryCodec
from activities.failures import Failure, FailureKind
from activities.interface import Delivery, Sent
from activities.webhook.destinations.reading import DestinationsFile
from runtime.store import Store
from runtime.store.campaigns import CampaignItem, StoredCampaign
from scenario.check.check import check
from scenario.model.document import document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOOK = {"webhook": "hook", "url": "https://hooks.example.com/", "body": {"id": "{{ contact.id }}"}}


class Shop:
    """A receiver that turns some messages away."""

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


async def test_only_lines_in_progress_become_journeys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = check(json.dumps({"scenario": "sale", "trigger": "segment", "steps": [HOOK]}))
    assert checked.scenario is not None
    await store.publish("sale", document(checked.scenario), dump_plan(compile_plan(checked.scenario)), "digest")
    client: Any = SimpleNamespace(namespace="default", data_converter=DataConverter.default)
    campaign = StoredCampaign(
        name="advent", scenario="sale", version=1, audience="", file="", digest="", rate=100.0, operator="ann",
        created_at=NOW, gear="blast",
    )  # fmt: skip
    await store.add_campaign(campaign)
    items: list[CampaignItem] = []
    for number in range(1, 41):
        contact, journey = f"c{number}", f"sale/c{number}/advent"
        given = {"scenario": "sale@1", "contact": {"id": contact}, "trigger": {"type": "segment"}, "key": "advent"}
        entry = await EntryCodec(client).encode(journey, given)
        items.append(CampaignItem(line=number, place=number, contact_id=contact, journey=journey, entry=entry))
    await store.add_campaign_items("advent", items)
    journeys: list[str] = []
    again = set[str]()  # lines that were put back

    async def hand_over(_: Any, *, workflow_id: str, **__: Any) -> bool:
        journeys.append(workflow_id)
        return True

    async def is_started(_: Any, workflow_id: str, root: str) -> bool:
        del root
        again.add(workflow_id)
        return False

    monkeypatch.setattr("activities.blast.chunk.hand_over", hand_over)
    monkeypatch.setattr("activities.blast.chunk.is_started", is_started)
    monkeypatch.setattr("activities.blast.chunk._LONGEST_PAUSE", 0.01)
    shop = Shop({"c1", "c2"})
    services: Any = SimpleNamespace(store=store, content=Content(store), destinations=DestinationsFile(), zone="UTC")
    admissions = AdmissionActivities(services.content, store, "UTC")
    blast = BlastActivities(client, services, admissions, {"webhook": ChannelSender(shop, 2)})  # one at a time
    chunk = CampaignChunk(campaign="advent", first=1, last=40, rate=10_000.0)
    await ActivityEnvironment().run(blast.blast_lines, chunk)
    assert (await store.campaign_counts(["advent"]))["advent"] == {
        "entered": len(journeys),
        "delivered": 40 - len(journeys),
    }
    assert set(journeys) == {"sale/c1/advent", "sale/c2/advent"}
    assert set(Counter(shop.sent).values()) == {1}
    assert again == {one.journey for one in items[1:]}
