"""Outgoing events: what subscriptions get, mistakes in `outgoing.yaml`, and pauses of destinations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from activities.outgoing import sender as module
from activities.outgoing.file import OutgoingFile, Subscription, examine
from activities.outgoing.sender import MOST_FAILING, DestinationPauses, OutgoingSender
from activities.webhook.circuit_breaker import BreakerLimits, HealthSignal
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter, Limits, Permit
from activities.webhook.platform import PlatformCalls
from activities.webhook.route import Direct
from authoring.errors import BadInput
from runtime.store import Store
from scenario.words import EVENT_TYPES, OutgoingOperation
from service.caller import TERMINAL
from service.outgoing import OperatorRecord, OutgoingService
from tests.activities.webhook.faults import Behaviour, Receiver, answer, receiver, silence
from tests.factories import NOW, admission_request
from tests.fakes import Clock

SECRET = "whsec_" + "a" * 32
LATER = NOW + timedelta(hours=1)
FILE = """
pages: https://scenario.example.com
subscriptions:
  crm: {to: crm, scenarios: [welcome, sale]}
  alarm: {to: crm, preset: slack}
"""
DESTINATIONS = """
destinations:
  crm:
    url: %s
    signing: [{key: CRM_KEY}]
    rate: 10000/s
    allow_private: true
    allow_http: true
    ports: [%d]
"""


@dataclass
class Crm:
    store: Store
    receiver: Receiver
    sender: OutgoingSender
    file: OutgoingFile
    allowed: list[bool]
    name: str = "crm"

    async def enter(self, *contacts: str) -> None:
        for contact in contacts:
            await self.store.admit(admission_request(contact))

    async def leave(self, *contacts: str) -> None:
        for contact in contacts:
            await self.store.depart(f"welcome/{contact}", "run-1", "finished", None, LATER)

    async def hold(self, contact: str) -> None:
        about: dict[str, Any] = {"scenario": "welcome", "contact_id": contact, "data": {"version": 1}}
        await self.store.report_event("journey.held", f"held-{contact}", NOW, subject=f"welcome/{contact}", **about)

    async def turn(self) -> bool:
        return await self.sender.send_some(self.name, self.file.content.subscriptions[self.name])

    async def drain(self) -> None:
        while await self.turn():
            pass

    async def all(self) -> list[str]:
        await self.drain()
        return self.sent()

    def sent(self) -> list[str]:
        bodies: list[dict[str, Any]] = [json.loads(call.body) for call in self.receiver.calls]
        self.receiver.calls.clear()
        return [f"{body['type'].partition('.')[2]} {body['data']['contact_id']}" for body in bodies]

    async def pending(self) -> list[tuple[str, str]]:
        found = await OutgoingService(self.store).show(TERMINAL, "crm")
        return [(one.subject, one.state) for one in found.events]

    async def operate(self, operation: OutgoingOperation, **more: Any) -> int | None:
        record = OperatorRecord(reason="it is repaired")
        done = await OutgoingService(self.store).operate(TERMINAL, "crm", operation, record, **more)
        return done.events


@pytest.fixture
async def crm(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crm]:
    monkeypatch.setattr(module, "_BACKOFF", timedelta(0))
    monkeypatch.setattr(module, "_LONGEST_BACKOFF", timedelta(0))
    (tmp_path / "outgoing.yaml").write_text(FILE)
    async with receiver(answer()) as there, Transport(connect_timeout=30) as transport:
        (tmp_path / "destinations.yaml").write_text(DESTINATIONS % (there.url("/events"), there.port))
        calls = PlatformCalls(transport, lambda: {"CRM_KEY": SECRET}, Limiter())
        file = OutgoingFile(tmp_path / "outgoing.yaml")
        routes, allowed = Direct(DestinationsFile(tmp_path / "destinations.yaml")), [True]
        sender = OutgoingSender(store, file, calls, routes, lambda: allowed[0])
        await sender.switch()
        await store.outgoing_cursor("crm", 0)
        yield Crm(store, there, sender, file, allowed)


async def test_events_arrive_once_in_order_as_signed_cloud_events(crm: Crm) -> None:
    await crm.enter("7", "8")
    await crm.leave("7")
    await crm.store.admit(admission_request("9", scenario="another"))
    await crm.drain()
    first = crm.receiver.calls[0]
    for call in crm.receiver.calls:
        Webhook(SECRET).verify(call.body, dict(call.headers))
    body = json.loads(first.body)
    assert first.header("content-type") == "application/cloudevents+json"
    assert (first.header("webhook-id"), first.target) == (body["id"], "/events")
    assert {name: value for name, value in body.items() if name not in ("id", "data")} == {
        "specversion": "1.0",
        "source": "/scenario-runner",
        "type": "journey.entered",
        "subject": "welcome/7",
        "time": "2026-03-29T01:30:00.000Z",
        "datacontenttype": "application/json",
        "sequence": f"{1:020}",
    }
    assert body["data"] == {
        "scenario": "welcome", "contact_id": "7", "journey": "welcome/7", "version": 1, "trigger": "order",
    }  # fmt: skip
    sent = crm.sent()
    assert sorted(sent) == ["ended 7", "entered 7", "entered 8"]
    assert sent.index("entered 7") < sent.index("ended 7")
    assert not await crm.turn()


async def test_what_failed_is_sent_again_with_the_same_bytes_before_later_events_of_its_journey(crm: Crm) -> None:
    await crm.enter("7", "8")
    await crm.hold("7")
    await crm.leave("7")
    crm.receiver.behaviour = answer(503)
    await crm.turn()
    assert sorted(await crm.pending()) == [("welcome/7", "failing"), ("welcome/8", "failing")]
    failed = {call.header("webhook-id"): call.body for call in crm.receiver.calls}
    crm.receiver.calls.clear()
    crm.receiver.behaviour = None
    await crm.leave("8")
    await crm.drain()
    again = {call.header("webhook-id"): call.body for call in crm.receiver.calls}
    assert len(again) == len(crm.receiver.calls) == 5
    assert failed.items() <= again.items()
    sent = crm.sent()
    assert [one for one in sent if one.endswith("7")] == ["entered 7", "held 7", "ended 7"]
    assert [one for one in sent if one.endswith("8")] == ["entered 8", "ended 8"]


@pytest.mark.parametrize(
    ("failures", "response", "seconds"),
    [
        (0, answer(404), 5),
        (2, answer(404), 20),
        (11, answer(404), 600),
        (0, answer(429, b"", "retry-after: 120"), 120),
        (0, answer(429, b"", "retry-after: 9000"), 3600),
    ],
)
async def test_an_event_is_sent_again_after_a_pause_that_grows_or_that_the_receiver_asks_for(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, failures: int, response: Behaviour, seconds: int
) -> None:
    await crm.enter("7")
    crm.receiver.behaviour = answer(404)  # a breaker would open for 5xx
    for _ in range(failures):
        await crm.turn()
    monkeypatch.setattr(module, "_BACKOFF", timedelta(seconds=5))
    monkeypatch.setattr(module, "_LONGEST_BACKOFF", timedelta(minutes=10))
    crm.receiver.behaviour = response
    before = datetime.now(UTC)
    await crm.turn()
    after = datetime.now(UTC)
    [send] = await crm.store.due_sends("crm", after + timedelta(days=1), 1)
    assert before <= send.next_try_at - timedelta(seconds=seconds) <= after
    assert send.attempts == failures + 1


async def test_a_rejected_event_is_held_with_those_behind_it_and_stops_no_others(crm: Crm) -> None:
    service = OutgoingService(crm.store)
    await crm.enter("7")
    crm.receiver.behaviour = answer(422)
    assert await crm.all() == ["entered 7"]
    crm.receiver.behaviour = None
    await crm.leave("7")
    await crm.enter("8")
    assert await crm.all() == ["entered 8"]
    [held] = (await service.show(TERMINAL, "crm")).events
    assert (held.subject, held.state, held.reason) == ("welcome/7", "held", "crm answered 422")
    [state] = await service.subscriptions(TERMINAL, "crm")
    assert (state.state, state.held, state.waiting, state.behind) == ("held", 1, 1, 0)
    with pytest.raises(BadInput, match=r"^'another' is not a held event of crm, or no longer: look "):
        await crm.operate(OutgoingOperation.SKIP, ids=[held.id, "another"])
    crm.receiver.behaviour = answer(422)
    assert await crm.operate(OutgoingOperation.RETRY, ids=[held.id]) == 1
    assert await crm.all() == ["entered 7"]
    crm.receiver.behaviour = None
    assert await crm.operate(OutgoingOperation.SKIP, ids=[held.id]) == 1
    assert await crm.all() == ["ended 7"]


async def test_a_sender_that_is_killed_repeats_its_last_events(crm: Crm) -> None:
    await crm.enter("7")
    crm.receiver.behaviour = silence()
    killed = asyncio.create_task(crm.turn())
    await crm.receiver.called.wait()
    killed.cancel()
    await asyncio.wait([killed])
    first = crm.receiver.calls[0]
    crm.receiver.behaviour = None
    crm.receiver.calls.clear()
    assert await crm.turn()
    [again] = crm.receiver.calls
    assert (again.header("webhook-id"), again.body) == (first.header("webhook-id"), first.body)


async def test_no_new_events_are_taken_while_many_fail(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", timedelta(0))
    crm.receiver.behaviour = answer(404)  # a breaker would open for 5xx
    await crm.enter(*map(str, range(MOST_FAILING)))
    await crm.turn()
    await crm.enter("later")
    service, states = OutgoingService(crm.store), list[tuple[int, int, int]]()
    for _ in range(2):
        for _ in range(8):
            await crm.turn()  # all are due again
        [state] = await service.subscriptions(TERMINAL, "crm")
        states.append((state.failing, state.held, state.behind))
    assert states == [(MOST_FAILING, 0, 1), (1, MOST_FAILING, 0)], "even old events are attempted for a while"


async def test_events_of_a_destination_that_is_gone_wait_and_say_why(crm: Crm) -> None:
    await crm.enter("7")
    await crm.sender.send_some("crm", Subscription(to="gone"))
    [event] = (await OutgoingService(crm.store).show(TERMINAL, "crm")).events
    assert (event.state, event.attempts) == ("failing", 0)
    assert "'gone'" in (event.reason or "")


async def test_a_replay_sends_the_same_again_and_an_erased_contact_nothing(crm: Crm) -> None:
    await crm.enter("7", "8")
    crm.receiver.behaviour = answer(422)
    await crm.turn()
    before = {call.header("webhook-id"): call.body for call in crm.receiver.calls}
    crm.sent()
    await crm.store.erase("7", "0123")
    crm.receiver.behaviour = None
    assert await crm.pending() == [("welcome/8", "held")]
    assert await crm.operate(OutgoingOperation.RETRY) == 1
    assert await crm.all() == ["entered 8"]
    assert await crm.operate(OutgoingOperation.REPLAY, after="0") == 2, "also the one that is deleted"
    await crm.drain()
    [call] = crm.receiver.calls
    assert before[call.header("webhook-id")] == call.body


async def test_a_sender_that_may_not_send_stops_and_sends_later(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.01)
    monkeypatch.setattr(module, "_IDLE", 0.01)
    running = asyncio.create_task(crm.sender.run())

    async def sent(number: int) -> list[str]:
        while len(crm.receiver.calls) < number:
            await asyncio.sleep(0.01)
        return crm.sent()

    try:
        await crm.enter("7")
        assert await sent(1) == ["entered 7"]
        crm.allowed[0] = False
        await asyncio.sleep(0.1)
        await crm.enter("8")
        await asyncio.sleep(0.2)
        assert not crm.receiver.calls
        crm.allowed[0] = True
        assert await sent(1) == ["entered 8"]
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_slack_is_told_of_a_held_journey_with_a_link(crm: Crm) -> None:
    crm.name = "alarm"
    await crm.turn()
    about: dict[str, Any] = {"version": 3, "step": "<offer>", "cause": "permanent", "destination": "wax", "status": 422}
    await crm.store.report_event(
        "journey.held", "e1", NOW, subject="welcome/a b", scenario="welcome", contact_id="a b", data=about
    )
    await crm.enter("7")  # of no interest
    await crm.turn()
    [call] = crm.receiver.calls
    assert call.header("content-type") == "application/json"
    assert json.loads(call.body) == {
        "text": "*A journey is held* in welcome@3 at step &lt;offer&gt;\n"
        "the receiver refused it permanently (wax answered 422)\n"
        "<https://scenario.example.com/journeys/welcome/a%20b|open the journey>"
    }


async def test_the_store_keeps_what_the_file_wants(crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await crm.store.wanted_events() == set(EVENT_TYPES)
    (tmp_path / "another.yaml").write_text("subscriptions: {alarm: {to: crm, preset: slack}}")
    alone = OutgoingFile(tmp_path / "another.yaml")
    assert not alone.content.reports_deliveries
    await crm.store.want_events(alone.content.wanted)
    assert await crm.store.wanted_events() == {"journey.held"}
    monkeypatch.setattr(module, "_LOOK", 0.0)
    await crm.sender.switch()
    assert await crm.store.wanted_events() == set(EVENT_TYPES)


SUBSCRIPTION = "subscriptions: {crm: {to: crm%s}}"
PAGES = "this is not the address of the pages: write such as https://scenario.example.com"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty: begin with 'feed: true' or 'subscriptions:'"),
        (SUBSCRIPTION % ", types: [journey.end]", "did you mean 'journey.ended'?"),
        (SUBSCRIPTION % ", types: []", "'types' is empty: it needs at least one entry"),
        ("subscriptions: {crm: {to: cmr}}", "there is no destination 'cmr' in destinations.yaml: there is crm"),
        *(
            (f"pages: '{url}'", PAGES)
            for url in ("scenario", "https://a:b@c", "https://a/?b=c", "https://a b", "https://a|b", "https://[a")
        ),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    findings, outgoing = examine(text, "outgoing.yaml", ["crm"])
    assert outgoing is None
    assert message in findings[0].message


def test_types_by_default() -> None:
    for preset, types in (("", EVENT_TYPES), (", preset: slack", ["journey.held"])):
        found = examine(SUBSCRIPTION % preset, "outgoing.yaml", ["crm"]).outgoing
        assert found is not None
        assert found.wanted == set(types)


QUICK = Limits(concurrency=9, breaker=BreakerLimits(minimum=2, window=60, pause=10))


async def test_a_breaker_that_opens_and_closes_is_reported_once(store: Store) -> None:
    clock, pauses = Clock(), DestinationPauses(store)
    workers = [Limiter(clock=clock, changed=pauses) for _ in range(2)]

    def end(worker: Limiter, health: HealthSignal) -> None:
        permit = worker.enter("wax", QUICK)
        assert isinstance(permit, Permit)
        permit.leave(health)

    async def told(number: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(found := (await store.outgoing_events(0))[0]) < number:
                await asyncio.sleep(0.01)
        return [f"{one.type} {one.subject}" for one in found]

    await store.want_events(["destination.paused", "destination.recovered"])
    for worker in workers:
        for _ in range(2):
            end(worker, HealthSignal.FAILING)
    assert await told(1) == ["destination.paused wax"]
    clock.now += 60
    for worker in workers:
        end(worker, HealthSignal.ALIVE)
    assert await told(2) == ["destination.paused wax", "destination.recovered wax"]
    await pauses.close()
