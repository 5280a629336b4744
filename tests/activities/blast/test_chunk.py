"""A chunk of a campaign: its pace and places, and while its receiver takes no messages, is cancelled or shared."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
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
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.store.erasures import ERASED
from scenario.entry.values import DEFAULT_PLATFORM
from tests.factories import publish, stored_campaign

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAR = NOW + timedelta(days=36_500)
HOOK = {"webhook": "hook", "url": "https://hooks.example.com/", "body": {"id": "{{ contact.id }}"}}


class Shop:
    channel: Channel = WEBHOOK

    def __init__(self, turned_away: set[str]) -> None:
        self.turned_away = turned_away
        self.sent: list[str] = []
        self.timeouts = set[float]()
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.in_flight = self.most = 0

    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        del context
        self.sent.append(delivery.contact)
        self.timeouts.add(delivery.timeout)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.asked.set()
        await self.answers.wait()
        self.in_flight -= 1
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


def campaign(name: str, destination: str, **given: Any) -> StoredCampaign:
    given |= {"created_at": NOW, "loaded_at": NOW, "confirmed_at": NOW}
    return stored_campaign(name, scenario="sale", gear="blast", destination=destination, **given)


async def prepared(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    turned_away: set[str],
    *,
    at_once: int = 2,
    destinations: Path | None = None,
    **hook: Any,
) -> Setup:
    step = {name: value for name, value in (HOOK | hook).items() if value is not None}
    await publish(store, json.dumps({"scenario": "sale", "trigger": "segment", "steps": [step]}))
    client: Any = SimpleNamespace(namespace="default", data_converter=DataConverter.default)
    await store.add_campaign(campaign("advent", hook.get("to", ""), paused_by="ann", starts_at=FAR))
    items: list[CampaignItem] = []
    for number in range(1, 41):
        contact, journey = f"c{number}", f"sale/c{number}/advent"
        given = {"scenario": "sale@1", "contact": {"id": contact}, "trigger": {"type": "segment"}, "key": "advent"}
        entry = await EntryCodec(client).encode(journey, given)
        items.append(CampaignItem(line=number, place=number, contact_id=contact, journey=journey, entry=entry))
    await store.add_campaign_items("advent", items)
    shop = Shop(turned_away)
    book = DestinationsFile(destinations)
    services: Any = SimpleNamespace(store=store, content=Content(store), destinations=book, platform=DEFAULT_PLATFORM)
    admissions = AdmissionActivities(services.content, store, DEFAULT_PLATFORM)
    senders = {"webhook": ChannelSender(cast("Any", shop), at_once)}
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


def chunk(rate: float = 10_000.0, *, last: int = 40, share: float = 1.0) -> CampaignChunk:
    return CampaignChunk(campaign="advent", first=1, last=last, rate=rate, share=share)


class Beats:
    """The heartbeats of a chunk, which are frequent."""

    def __init__(self, environment: ActivityEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("activities.blast.chunk._BEAT", 0.001)
        environment.on_heartbeat = self._add
        self.all: list[tuple[Any, ...]] = []
        self._another = asyncio.Event()

    def _add(self, *details: Any) -> None:
        self.all.append(details)
        self._another.set()

    async def wait(self, number: int) -> tuple[Any, ...]:
        """Return the last of so many further heartbeats."""
        for _ in range(number):
            self._another.clear()
            await self._another.wait()
        return self.all[-1]


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
async def test_only_lines_in_progress_become_journeys(
    store: Store, monkeypatch: pytest.MonkeyPatch, on_unknown: str
) -> None:
    monkeypatch.setattr("activities.blast.chunk._LONGEST_PAUSE", 0.01)
    counted, ended = list[Any](), Counter[str]()

    def add(*labels: Any) -> None:
        counted.append(labels)

    def add_lines(outcome: str, *, number: int) -> None:
        ended[outcome] += number

    monkeypatch.setattr("activities.admission.ADMISSION", SimpleNamespace(add=add))
    monkeypatch.setattr("activities.blast.chunk.CAMPAIGN_LINES", SimpleNamespace(add=add_lines))
    made = await prepared(store, monkeypatch, {"c1", "c2"}, on_unknown=on_unknown)
    environment, shown = ActivityEnvironment(), list[tuple[Any, ...]]()
    beats, sending = Beats(environment, monkeypatch), made.shop.send

    async def send(delivery: Delivery, context: AttemptContext) -> Sent:
        shown.append(await beats.wait(2))  # the second one began after this call
        return await sending(delivery, context)

    monkeypatch.setattr(made.shop, "send", send)
    await environment.run(made.blast.blast_lines, chunk())
    assert ("busy",) in beats.all, "it says why it waits"
    assert set(shown) == {()}, "it waits no longer"
    assert (await store.campaign_counts(["advent"]))["advent"] == {"entered": 2, "delivered": 38}
    assert ended == {"entered": 2, "delivered": 38}
    assert set(made.journeys) == {"sale/c1/advent", "sale/c2/advent"}
    assert set(Counter(made.shop.sent).values()) == {1}
    assert made.again == set()
    assert counted == [("sale", "admitted", None)] * 40


async def test_a_chunk_that_waits_for_its_receiver_beats_until_the_worker_stops(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await prepared(store, monkeypatch, {"c1"})
    environment = ActivityEnvironment()
    beats = Beats(environment, monkeypatch)
    working = asyncio.create_task(environment.run(made.blast.blast_lines, chunk()))
    while ("busy",) not in beats.all:
        await beats.wait(1)
    assert await beats.wait(10) == ("busy",)
    environment.worker_shutdown()
    with pytest.raises(ApplicationError, match="the worker stops"):
        await working
    assert made.shop.sent == ["c1"]


async def test_a_cancelled_chunk_completes_its_message_in_progress_and_sends_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await prepared(store, monkeypatch, set())
    environment = ActivityEnvironment()
    beats = Beats(environment, monkeypatch)
    made.shop.answers.clear()
    working = asyncio.create_task(environment.run(made.blast.blast_lines, chunk()))
    await made.shop.asked.wait()
    environment.cancel()
    beating = asyncio.create_task(beats.wait(10))
    await asyncio.wait([working, beating], return_when=asyncio.FIRST_COMPLETED)
    assert not working.done()
    made.shop.answers.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert made.shop.sent == ["c1"]
    assert (await store.campaign_counts(["advent"]))["advent"] == {"delivered": 1, "pending": 39}


SHOP = "destinations: {shop: {url: 'https://shop.example.com', rate: 12/m, concurrency: 6, timeout: 7s}}"


@pytest.mark.parametrize(("destination", "places", "seconds"), [(None, 5, 15.0), ("shop", 3, 7.0)])
async def test_campaigns_have_half_of_the_places_of_a_channel_or_destination_and_its_settings(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, destination: str | None, places: int, seconds: float
) -> None:
    where: dict[str, Any] = {}
    if destination:
        (tmp_path / "destinations.yaml").write_text(SHOP)
        where = {"url": None, "to": destination, "destinations": tmp_path / "destinations.yaml"}
    made = await prepared(store, monkeypatch, set(), at_once=10, **where)
    monkeypatch.setattr(BlastActivities, "_rate", AsyncMock(return_value=10_000.0))
    environment = ActivityEnvironment()
    beats = Beats(environment, monkeypatch)
    made.shop.answers.clear()
    working = asyncio.create_task(environment.run(made.blast.blast_lines, chunk()))
    while made.shop.in_flight < places:
        await beats.wait(1)
    await beats.wait(50)
    made.shop.answers.set()
    await working
    assert (made.shop.most, len(made.shop.sent), made.shop.timeouts) == (places, 40, {seconds})


@pytest.mark.parametrize(
    ("rules", "to", "rate", "share"),
    [
        (False, "", 0.02, 0.5),  # the chunk's own rate
        (True, "", 0.02, 0.5),  # its host is no destination
        (True, "shop", 0.02, 0.5),  # the campaign's 0.04 is less than its part of the destination's
        (True, "shop", 1.0, 0.25),  # two campaigns have 80 % of the 0.2 of the destination: each 0.08
    ],
)
async def test_lines_leave_at_the_chunks_share_of_the_rate(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rules: bool, to: str, rate: float, share: float
) -> None:
    (tmp_path / "destinations.yaml").write_text(SHOP)
    where: dict[str, Any] = {"destinations": tmp_path / "destinations.yaml"} if rules else {}
    where |= {"url": None, "to": to} if to else {}
    made = await prepared(store, monkeypatch, set(), **where)
    await store.add_campaign(campaign("summer", "shop"))
    waited, sleep = list[float](), asyncio.sleep

    async def skip(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0.001)

    monkeypatch.setattr("activities.blast.chunk.asyncio.sleep", skip)
    await ActivityEnvironment().run(made.blast.blast_lines, chunk(rate, last=4, share=share))
    # No time passes while it sleeps, so each line waits longer than the one before.
    assert [round(seconds / 50) for seconds in waited if seconds > 5] == [1, 2, 3]
    assert made.shop.sent == ["c1", "c2", "c3", "c4"]


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


SOMEBODY_ELSE = "the contact's journey of this campaign was started by somebody else"


async def test_each_line_has_an_outcome_with_its_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await prepared(store, monkeypatch, set())
    monkeypatch.setattr(store, "erased_among", AsyncMock(return_value={"c6"}))  # while the chunk is at work
    later = FAR.isoformat()
    failures = {
        "c1": Failure(kind=FailureKind.RETRY, reason="busy", destination="shop", attempt=1, next_try_at=later),
        "c2": Failure(
            kind=FailureKind.NOT_BEFORE, reason="quiet hours", destination="shop", attempt=0, next_try_at=later
        ),
        "c3": Failure(kind=FailureKind.PERMANENT, reason="answered 422", destination="shop", attempt=1),
        "c4": Failure(kind=FailureKind.PERMANENT, reason="answered 422", destination="shop", attempt=1),
    }

    async def send(delivery: Delivery, context: AttemptContext) -> Sent:
        if failure := failures.get(delivery.contact):
            raise failure.as_error(None)
        return Sent(status=200, attempt=1)

    async def hand_over(_: Any, *, workflow_id: str, **__: Any) -> bool:
        return workflow_id != "sale/c4/advent"

    monkeypatch.setattr(made.shop, "send", send)
    monkeypatch.setattr("activities.blast.chunk.hand_over", hand_over)
    await ActivityEnvironment().run(made.blast.blast_lines, chunk(last=6))
    items = (await store.campaign_items("advent"))[:6]
    assert [(item.line, item.outcome, item.reason) for item in items] == [
        (1, "entered", "it waits for its next attempt"),
        (2, "entered", "it waits for quiet hours"),
        (3, "held", "answered 422"),
        (4, "refused", SOMEBODY_ELSE),
        (5, "delivered", None),
        (6, "refused", ERASED),
    ]
    entries = {entry.contact_id: (entry.outcome, entry.reason) for entry in await store.entries()}
    running = dict.fromkeys(("c1", "c2", "c3"), (None, None))
    assert entries == {**running, "c4": ("exited", SOMEBODY_ELSE), "c5": ("finished", None)}


async def test_a_line_whose_journey_cannot_be_started_now_stays_pending(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await prepared(store, monkeypatch, {"c2"})
    away = AsyncMock(side_effect=RPCError("away", RPCStatusCode.UNAVAILABLE, b""))
    monkeypatch.setattr("activities.blast.chunk.hand_over", away)
    monkeypatch.setattr("activities.blast.chunk._LONGEST_PAUSE", 0.01)
    with pytest.raises(RPCError):
        await ActivityEnvironment().run(made.blast.blast_lines, chunk())
    outcomes = {item.line: item.outcome for item in await store.campaign_items("advent")}
    assert (outcomes[1], outcomes[2]) == ("delivered", None)
