"""Why a contact did, or did not, get something: as the log and real journeys tell it, with the real activities."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.admission import AdmissionActivities
from activities.attempt import DeliveryRecords
from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import EMAIL, SMS, WEBHOOK
from activities.content import Content
from activities.decision import decide
from activities.gate import PolicyGate
from activities.interface import JOURNEYS
from activities.outgoing.sender import HeldReports
from activities.sms.provider import Receipt, error_of
from activities.webhook.http.exchange import Response
from activities.webhook.limiter import Limits
from activities.webhook.route import Route
from authoring.errors import BadInput
from authoring.preview.rendering import SENDERS
from cli.show import lines
from runtime.derived_keys import AddressHashes
from runtime.store import Attempt, Store
from scenario.entry.values import DEFAULT_PLATFORM
from scenario.policies.caps import Cap
from scenario.policies.policies import examine
from scenario.policies.suppression import Suppression
from service.client import ScenarioClient
from service.errors import BadCursor, NotFound
from service.suppressions import ContactSuppressions, suppressions_of
from service.view import encode_cursor
from service.why.story import NotLetIn, clock, refused, told
from service.why.why import CapPlaces, answer, places
from tests.e2e.test_cases import ServersClock, clear
from tests.factories import admission_request, cap_claim, present, publish
from tests.fakes import worker_context
from tests.journey import ENTRY, HELD, PLAN, PROGRESS, START, attempt
from tests.search import NOW, Search
from tests.stage import environment
from workflows.journey import Journey

PARIS = ZoneInfo("Europe/Paris")
OVER = replace(ENTRY, ended_at=START + timedelta(hours=1), outcome="exited", reason="event order.returned")


WORDS = {"capped": "a cap had no place", "no_consent": "there was no consent", "expired": "it had waited too long"}


def test_what_temporal_has_forgotten_is_told_from_the_log():
    for word, said in WORDS.items():
        skipped = attempt("hook", 1, outcome="skipped", status=None, error=word)
        story = told(replace(HELD, entry=OVER, status="forgotten", progress=None, attempts=[skipped]), OVER)
        assert [f"{clock(one.at, story.zone)[15:]} {one.step or ''}: {one.words}" for one in story.happenings] == [
            "10:00 : let in by order with the key K1",
            f"10:00 hook: not sent: {said}",
            "11:00 : left: event order.returned",
        ]
        assert not story.now


def test_whether_a_step_was_reached_is_answered():
    held, again = told(HELD, ENTRY), told(replace(HELD, status="running"), ENTRY)
    assert "Yes: on Tue 2026-03-31 10:00 Europe/Paris, sent" in answer("7", [held], "mail")
    assert "Not yet: held at hook" in answer("7", [held, again], "hook")
    assert "Not yet: it comes after hook. Now: held at hook" in answer("7", [held], "later")
    late = refused(NotLetIn("a/7", "r9", "a", START + timedelta(days=1), "the contact was in a@3 before"), PLAN)
    said = answer("7", [late, held], "mail")
    assert "No: on Wed 2026-04-01 10:00 Europe/Paris, not let in: the contact was in a@3 before." in said
    assert "By an earlier entry, on Tue 2026-03-31 10:00 Europe/Paris, it was sent" in said
    asking = refused(NotLetIn("a/7", "r9", "a", START, None), PLAN)
    assert "Not yet: waits for admission: no worker has processed it yet." in answer("7", [asking], "mail")
    over = told(replace(HELD, status="completed", progress=None, result={**PROGRESS, "outcome": "exited"}), OVER)
    assert "No: the journey was over before: on Tue 2026-03-31 11:00" in answer("7", [over], "later")


def test_places_under_caps_are_counted_as_they_are_when_a_message_asks():
    caps = [Cap.model_validate({"name": "week", "channels": ["sms"], "at_most": 2, "per": "7d"})]
    now = START + timedelta(days=1)
    claims = [
        cap_claim(str(number), channel=channel, claimed_at=at)
        for number, (channel, at) in enumerate((("sms", START), ("email", START + timedelta(hours=1)), ("sms", now)))
    ]
    for known, taken, free_at in ((claims[:2], 1, None), (claims, 2, START + timedelta(days=7))):
        expected = CapPlaces(cap="week", taken=taken, at_most=2, per="7d", free_at=free_at)
        assert places(caps, known, now, PARIS) == [expected]


async def test_pages_have_every_entry_once(store: Store):
    search = Search()
    client = ScenarioClient(search.client, store)
    for number in range(10):
        now = NOW - timedelta(days=number // 3)  # several at the same time
        await store.admit(admission_request("7", "a", key=str(number), run_id=f"r{number}", now=now))
    # The control contact of r9 has departed, and its workflow is not closed yet.
    await store.depart("a/7/9", "r9", "control", "in the control group", NOW)
    search.add("a/7/9", ContactId="7")
    # This one waits: it was admitted, though the store does not have it any more.
    search.add("a/7/old", ContactId="7", JourneyState="waiting")
    found, cursor = list[str](), None
    while not found or cursor:
        page = await client.why("7", limit=4, cursor=cursor)
        found += [story.journey for story in page.entries]
        cursor = page.next
    assert sorted(found) == [f"a/7/{number}" for number in range(10)]
    lately = (await client.why("7", since=NOW - timedelta(hours=1))).entries
    assert {story.journey for story in lately} == {f"a/7/{number}" for number in range(3)}
    with pytest.raises(NotFound):
        await client.why("7", since=NOW + timedelta(hours=1))
    for wrong in ("abc", encode_cursor([datetime.max.replace(tzinfo=UTC), "r1"])):
        with pytest.raises(BadCursor):
            await client.why("7", cursor=wrong)
    with pytest.raises(BadInput, match=r"has a step 'hello': none is known$"):  # no version of 'a' is stored
        await client.why("7", step="hello")


HASHES = AddressHashes([b"k" * 32])
RUNNING = told(HELD, ENTRY)
KNOWN = {"contact": {"id": 7, "email": "Zoe@Example.com", "cellphone": "none"}}
NO_ADDRESSES = f"the entry of {RUNNING.journey} has no addresses"


async def test_addresses_of_a_running_journey_are_looked_up(store: Store, monkeypatch: pytest.MonkeyPatch):
    bounce = Suppression("email", HASHES.of("email", "zoe@example.com")[0], "bounce", NOW)
    await store.suppress(bounce)
    await store.suppress(replace(bounce, address_hash="0" * 64))
    submitted = AsyncMock(side_effect=[KNOWN, {"contact": {}}, None, BadInput("no")])
    monkeypatch.setattr("service.suppressions.submitted_entry", submitted)

    async def look(story: Any, hashes: AddressHashes | None = HASHES) -> ContactSuppressions:
        return await suppressions_of(Search().client, store, hashes, [story])

    assert await look(RUNNING) == ContactSuppressions(RUNNING.journey, ["email"], [bounce])
    assert [(await look(RUNNING)).unknown for _ in range(3)] == [NO_ADDRESSES, NO_ADDRESSES, "no"]
    assert {call.args[1] for call in submitted.call_args_list} == {RUNNING.journey}
    over = RUNNING.model_copy(update={"now": None})
    assert (await look(over)).unknown == "no running journey above knows the contact's addresses"
    assert (await look(RUNNING, hashes=None)).unknown is not None


__all__ = ["environment"]

EXPECTED = Path(__file__).with_name("expected.txt")
BEGIN = datetime(2040, 3, 6, 19, 30, tzinfo=ZoneInfo("Europe/Paris"))
"""A Tuesday of no special kind: the server's clock is put forward to it."""
POLICIES = "caps: [{name: week, channels: [sms], at_most: 2, per: 7d}]\n"
SCENARIOS = {
    "small": "entry: {if: order.total_price > 1000}\nsteps: [{sms: thanks, text: hi}]",
    "news": "subscription: {sms: 99}\nsteps: [{sms: issue, text: hi}]",
    "compare": "control: 99.99\nsteps: [{sms: offer, text: hi}]",
    "winback": """
quiet_hours: {from: "21:00", to: "08:00"}
subscription: {sms: 52, email: 51}
exit: [{event: order.returned}]
steps:
  - split: {a: 99.99, b: 0.01}
    id: tone
    branches: {a: [{sms: hello, text: hi}], b: [{sms: other, text: hi}]}
  - wait: 2h
  - sms: reminder
    text: hi
  - sms: offer
    text: hi
  - email: letter
    subject: hi
    text: hi
  - webhook: hook
    url: https://hooks.example.com/x
  - wait_for: order.delivered
    id: arrival
    for: 7d
    then: [{sms: bye, text: bye}]
""",
}
LISTS = [{"id": 52, "name": "SMS"}]
CONTACT = {"id": 7, "email": "zoe@example.com", "cellphone": "+33612345678", "timezone": "Europe/Paris", "lists": LISTS}


@dataclass
class Outside:
    """What is beyond the activities, and answers as it is told."""

    store: Store
    send_text: AsyncMock = field(default_factory=AsyncMock)
    send_request: AsyncMock = field(default_factory=AsyncMock)
    written: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def find(self, url: str) -> Route:
        return Route(url=url, destination=url.split("/")[2], limits=Limits(1000, None))

    def granted(self, to: str | None) -> frozenset[str] | None:
        del to
        return None

    def put(self, attempt: Attempt) -> None:
        """Write to the log of attempts, in the store."""
        self.written.append(asyncio.ensure_future(self.store.record([attempt])))

    async def delivered(self, delivery_id: str) -> Attempt | None:
        return await self.store.delivered(delivery_id)


@pytest.fixture
async def outside(
    environment: WorkflowEnvironment, store: Store, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Outside]:
    """Workers for all queues, and the scenarios published."""
    for module in ("open_attempt", "retry", "email.channel", "gate"):
        monkeypatch.setattr(f"activities.{module}.datetime", ServersClock)
    for name, text in SCENARIOS.items():
        await publish(store, f"scenario: {name}\ntrigger: order\n{text}")
    outside, content = Outside(store), Content(store)
    policies = present(examine(POLICIES, "policies.yaml").policies)
    gate, admissions = (
        PolicyGate(content, store, lambda: policies, None),
        AdmissionActivities(content, store, DEFAULT_PLATFORM),
    )
    records = DeliveryRecords(store)
    local: list[Callable[..., Any]] = [admissions.admit, admissions.depart, decide, clear]
    local += [records.recall, records.release, HeldReports(store).report_held]
    provider: Any = SimpleNamespace(send=outside.send_text, name="twilio", connections=50)
    server = SimpleNamespace(host="mail.example.com", password="")
    mailer: Any = SimpleNamespace(send=None, server=server, senders=SENDERS)
    transport = SimpleNamespace(send=outside.send_request)
    services = worker_context(content, cast("Any", outside), transport=transport, routes=outside, gate=gate)
    client, runner = environment.client, UnsandboxedWorkflowRunner()
    workers = [Worker(client, task_queue=JOURNEYS, workflows=[Journey], activities=local, workflow_runner=runner)]
    connections = {WEBHOOK: None, EMAIL: mailer, SMS: provider}
    senders = [ChannelActivity[Any](one, services, connection) for one, connection in connections.items()]
    workers += [Worker(client, task_queue=one.channel.queue, activities=[sending_activity(one)]) for one in senders]
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        yield outside
        await asyncio.gather(*outside.written)


async def start(environment: WorkflowEnvironment, scenario: str) -> WorkflowHandle[Any, Any]:
    order = {"type": "order", "order": {"external_id": "K1", "total_price": 10}}
    entry = {"scenario": scenario, "contact": CONTACT, "trigger": order}
    return await environment.client.start_workflow("Journey", entry, id=f"{scenario}/7", task_queue=JOURNEYS)


async def until(environment: WorkflowEnvironment, handle: WorkflowHandle[Any, Any], state: str) -> None:
    """Waits (in real time) until a journey is in a state."""
    async with asyncio.timeout(60):
        with environment.auto_time_skipping_disabled():
            while (await handle.query("progress"))["state"] != state:
                await asyncio.sleep(0.05)


async def test_what_a_contact_got_and_why_is_told_as_it_happened(
    environment: WorkflowEnvironment, outside: Outside, store: Store, tmp_path: Path
):
    unavailable = error_of(503)("twilio answered 503", status=503)
    outside.send_text.side_effect = [Receipt(201), unavailable, Receipt(201)]
    outside.send_request.side_effect = [Response(422, {}, b""), Response(200, {}, b"")]
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES, encoding="utf-8")
    client = ScenarioClient(environment.client, store, policies=policies)
    told: list[str] = []

    async def tell(step: str | None = None, *, whole: bool = False) -> None:
        await asyncio.gather(*outside.written)
        found = await client.why("7", step=step)
        shown = "\n".join(line.plain for line in lines(found, 80))
        told.append(f"### {step or 'all'}\n\n{shown if whole else found.answer}\n")

    await environment.sleep(BEGIN - await environment.get_current_time())
    for number, name in enumerate(("small", "news", "compare")):
        handle = await start(environment, name)
        assert (await handle.result())["outcome"] == ("control" if number == 2 else "refused")
        await environment.sleep(timedelta(minutes=1))
    handle = await start(environment, "winback")
    await environment.sleep(timedelta(hours=4))
    await until(environment, handle, "waiting")
    await tell("reminder")
    await environment.sleep(timedelta(days=1))
    await until(environment, handle, "held")
    await tell("hook", whole=True)
    await cast("Any", handle).execute_update("retry_step", {"operator": "ann", "reason": "their path is mended"})
    await until(environment, handle, "waiting")
    await tell("bye")
    await environment.sleep(timedelta(days=1))
    await handle.signal("event", {"name": "order.returned"})
    assert (await handle.result())["outcome"] == "exited"
    for step in (None, "reminder", "offer", "letter", "other", "bye", "issue", "thanks"):
        await tell(step, whole=step is None)
    text = "\n".join(told)
    (tmp_path / "told.txt").write_text(text, encoding="utf-8")
    assert text == EXPECTED.read_text(encoding="utf-8")
