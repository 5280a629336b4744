"""What providers' calls change, and what no repetition changes: the routes, over a store, without Temporal."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from starlette.applications import Starlette
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content
from activities.suppressions import Suppressor
from gateway.providers.app import MAX_BODY, InboundEvents
from gateway.providers.effects import ProviderEffects
from gateway.providers.provider import Call
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from runtime.telemetry.metrics import PROVIDER_EVENTS
from scenario.model.scenario import load
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from service.concurrency import RateLimit
from service.events import EventView
from tests.factories import admission_request, attempt
from tests.gateway.providers import callers
from tests.gateway.providers.callers import ID, providers
from tests.measured import Measured

HASHES = AddressHashes([b"k" * 32])
ADA = "recipient@example.com"
NOW = datetime.now(UTC)
AWAY = RPCError("no", RPCStatusCode.UNAVAILABLE, b"")
SCENARIO = {
    "scenario": "welcome",
    "trigger": "order",
    "subscription": {"email": 51},
    "goal": {"event": "email.opened", "within": "30d"},
    "exit": [{"event": "email.bounced"}],
    "steps": [{"email": "hello", "subject": "s", "text": "t"}, {"wait_for": "email.clicked"}],
}


@dataclass
class Gateway:
    http: httpx.AsyncClient
    store: Store
    events: Mock
    """Stands in for the service of events."""
    platform: AsyncMock
    sleep: AsyncMock

    async def post(self, call: Call) -> httpx.Response:
        path = call.url.removeprefix(callers.URL)
        return await self.http.post(path, content=call.body, headers=dict(call.headers))

    async def taken(self, call: Call) -> None:
        assert (await self.post(call)).status_code == 204

    async def suppressed(self) -> list[tuple[str, str, str]]:
        rows = await self.store.suppressions()
        return sorted((row.channel, row.source, row.scope) for row in rows)

    @property
    def told(self) -> list[tuple[str, str, Any, str]]:
        """Journey or contact, event, properties, and id."""
        calls = [*self.events.report_to.call_args_list, *self.events.report.call_args_list]
        return [call.args[1:5] for call in calls]

    @property
    def names(self) -> list[str]:
        return [name for _, name, _, _ in self.told]


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    await store.publish("welcome", SCENARIO, dump_plan(compile_plan(load(SCENARIO))), "digest")
    await store.admit(admission_request(now=NOW - timedelta(hours=1), goal_until=NOW + timedelta(days=30)))
    await store.record([attempt(ID, step="hello", channel="email", started_at=NOW - timedelta(minutes=30))])
    told = AsyncMock(return_value=EventView(told=1))
    events, platform, sleep = (
        Mock(report_to=told, report=AsyncMock(return_value=EventView(told=1))),
        AsyncMock(),
        AsyncMock(),
    )
    suppressor, pace = Suppressor(store, HASHES, platform), RateLimit(10, 3600.0)
    effects = ProviderEffects(store, suppressor, events, Content(store), pace=pace, sleep=sleep)
    transport = httpx.ASGITransport(Starlette(routes=InboundEvents(callers.URL, providers(), effects).routes))
    async with httpx.AsyncClient(base_url="http://gateway", transport=transport) as http:
        yield Gateway(http, store, events, platform, sleep)
    assert all(call.kwargs["at"] <= datetime.now(UTC) for call in told.call_args_list)


def sendgrid(event: str, number: int, delivery: str = ID, ago: float = 60.0, **more: Any) -> dict[str, Any]:
    stamp = int((NOW - timedelta(seconds=ago)).timestamp())
    basis = {"event": event, "sg_event_id": f"e{number}", "timestamp": stamp, "email": ADA}
    return {**basis, "scenario_delivery": delivery, **more}


async def test_an_event_about_another_address_than_the_message_s_has_no_effect(gateway: Gateway):
    [recipient] = HASHES.of_recipient(ID, "email", ADA)
    await gateway.store.record([attempt(ID, step="hello", channel="email", started_at=NOW, recipient=recipient)])
    for number, address in enumerate(("bob@example.com", "?", ADA.upper())):
        await gateway.post(callers.sendgrid([sendgrid("spamreport", number, email=address)]))
        expected = [("email", "fbl", "")] if address == ADA.upper() else []
        assert await gateway.suppressed() == expected


BOUNCE: dict[str, Any] = {"type": "bounce", "status": "5.1.1", "reason": f"550 5.1.1 <{ADA}> unknown"}


async def test_a_batch_tells_each_item_and_its_repetition_nothing(gateway: Gateway):
    measured = Measured(PROVIDER_EVENTS)
    other = f"msg_{'0b' * 16}"
    batch = [
        sendgrid("processed", 0),
        sendgrid("delivered", 1),
        sendgrid("open", 2),
        sendgrid("click", 3, url=f"https://shop.example/?who={ADA}"),
        sendgrid("click", 4, delivery=other),
        sendgrid("click", 5, delivery=""),
        sendgrid("bounce", 6, **BOUNCE),
        sendgrid("spamreport", 7, ago=8 * 86400.0),
    ]
    call = callers.sendgrid(batch)
    for _ in range(2):
        await gateway.taken(call)
    basis = {"step": "hello", "delivery": ID, "provider": "sendgrid"}
    assert [told[:3] for told in gateway.told] == [
        ("welcome/7", "email.opened", basis),
        ("welcome/7", "email.clicked", basis),
        ("welcome/7", "email.bounced", {**basis, "code": "550 5.1.1", "type": "hard"}),
    ]
    identifiers = {identifier for *_, identifier in gateway.told}
    assert len(identifiers) == 3
    assert all(identifier.startswith(f"{ID}/sendgrid/") for identifier in identifiers)
    assert ADA not in repr(gateway.told)
    assert await gateway.suppressed() == [("email", "bounce", "")]
    assert [(told.args[0].source, told.args[1]) for told in gateway.platform.call_args_list] == [("bounce", ADA)]
    assert {labels[1:]: counts for labels, counts in measured.of(PROVIDER_EVENTS).items()} == {
        ("email.delivered", "unused"): (2, 2),
        ("email.opened", "told"): (1, 1),
        ("email.opened", "repeated"): (1, 1),
        ("email.clicked", "told"): (1, 1),
        ("email.clicked", "repeated"): (1, 1),
        ("email.clicked", "unknown"): (4, 4),
        ("email.bounced", "told"): (1, 1),
        ("email.bounced", "repeated"): (1, 1),
        ("email.complained", "stale"): (2, 2),
    }
    # Nor does it undo what an operator did in between.
    await gateway.store.unsuppress("email", HASHES.of("email", ADA))
    await gateway.taken(call)
    assert await gateway.suppressed() == []


async def test_a_failure_is_completed_by_the_repetition(gateway: Gateway, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    gateway.events.report_to.side_effect = [AWAY, EventView(told=1), EventView(told=1)]
    batch = [sendgrid("click", 1, url=f"https://x.example/{ADA}"), sendgrid("bounce", 2, **BOUNCE)]
    answer = await gateway.post(callers.sendgrid(batch))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    await gateway.taken(callers.sendgrid(batch))
    assert gateway.names == ["email.clicked", "email.clicked", "email.bounced"], "in their order"
    assert await gateway.suppressed() == [("email", "bounce", "")]
    assert f"email.clicked of {ID} cannot be taken now: RPCError" in caplog.text
    assert f"{ID} has suppressed its address: bounce" in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    assert "example" not in "".join(ours), "no line names an address or a link"


@pytest.mark.parametrize(
    ("event", "more", "suppressed"),
    [
        ("bounce", {"type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 policy"}, []),
        ("spamreport", {}, [("email", "fbl", "")]),
        ("unsubscribe", {}, [("email", "unsub", "51")]),
        ("open", {}, []),
        ("bounce", {**BOUNCE, "email": "nobody"}, []),
    ],
    ids=["blocked", "complaint", "unsubscribed", "opened", "no address"],
)
async def test_suppressions(gateway: Gateway, event: str, more: dict[str, Any], suppressed: list[tuple[str, str, str]]):
    await gateway.taken(callers.sendgrid([sendgrid(event, 1, **more)]))
    assert await gateway.suppressed() == suppressed
    if event == "unsubscribe":
        news = ("7", "contact.unsubscribed", {"channel": "email", "scope": "51"})
        assert [told[:3] for told in gateway.told] == [news]


async def test_events_about_an_ended_journey_count_its_goal_only(gateway: Gateway):
    await gateway.store.depart("welcome/7", "run-1", "finished", None, NOW - timedelta(minutes=5))
    measured = Measured(PROVIDER_EVENTS)
    batch = [sendgrid("click", 1), sendgrid("open", 2, ago=7_200.0)]
    await gateway.taken(callers.sendgrid(batch))
    assert gateway.told == []
    assert measured.of(PROVIDER_EVENTS) == {
        ("sendgrid", "email.clicked", "over"): (1, 1),
        ("sendgrid", "email.opened", "goal"): (1, 1),
    }
    entry = await gateway.store.entry("welcome/7")
    assert entry is not None
    assert entry.reached_at == NOW - timedelta(minutes=30), "no event precedes its message, whatever the clocks say"
    # A later journey of the same id is another one.
    await gateway.store.admit(admission_request(now=NOW, run_id="run-2"))
    await gateway.taken(callers.sendgrid([sendgrid("click", 3)]))
    assert gateway.told == []


async def test_the_log_of_attempts_may_be_slower_than_the_provider(gateway: Gateway):
    late = f"msg_{'0c' * 16}"
    call = callers.sendgrid([sendgrid("click", 1, delivery=late)])
    await gateway.taken(call)
    assert [call.args for call in gateway.sleep.call_args_list] == [(0.5,), (0.5,), (1.0,)]
    await gateway.store.record([attempt(late, step="hello", started_at=NOW)])
    await gateway.taken(call)  # it had no effect, so a repetition may have one
    assert gateway.names == ["email.clicked"]


async def test_a_token_of_mailgun_counts_once_for_whatever_it_carries(gateway: Gateway):
    item: dict[str, Any] = {"event": "clicked", "id": "1", "timestamp": NOW.timestamp(), "recipient": ADA}
    item["user-variables"] = {"scenario_delivery": ID}
    stamp = str(int(NOW.timestamp()))
    for changed in ({}, {"id": "2", "event": "complained"}):
        call = callers.mailgun({"event-data": {**item, **changed}}, stamp=stamp, token="t" * 50)
        await gateway.taken(call)
    old = callers.mailgun({"event-data": {**item, "id": "3"}}, stamp=str(int(stamp) - 8 * 86400), token="u" * 50)
    await gateway.taken(old)
    assert gateway.names == ["email.clicked"]
    assert await gateway.suppressed() == []


async def test_a_status_callback_names_the_delivery_in_its_url(gateway: Gateway):
    await gateway.store.record([attempt(f"msg_{'0d' * 16}", channel="sms", step="sms", started_at=NOW)])
    url = f"{callers.URL}/inbound/events/twilio?delivery=msg_{'0d' * 16}"
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005", "To": "+33612345678"}
    await gateway.taken(callers.twilio(form, url=url))
    assert await gateway.suppressed() == [("sms", "bounce", "")]


async def test_one_message_cannot_flood_its_journey(gateway: Gateway):
    batch = [sendgrid("click", number) for number in range(12)] + [sendgrid("bounce", 99, **BOUNCE)]
    await gateway.taken(callers.sendgrid(batch))
    assert gateway.names == ["email.clicked"] * 10
    assert await gateway.suppressed() == [("email", "bounce", "")], "its address is suppressed nevertheless"


async def test_refused_calls(gateway: Gateway, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    call = callers.sendgrid([sendgrid("bounce", 1, **BOUNCE)])
    forged = Call(call.url, call.headers, call.body.replace(b"5.1.1", b"5.1.2"))
    assert (await gateway.post(forged)).status_code == 403
    assert (await gateway.post(callers.whatsapp("text"))).status_code == 400
    assert (await gateway.post(Call(call.url, call.headers, b" " * (MAX_BODY + 1)))).status_code == 413
    assert (await gateway.http.post("/inbound/events/acme", content=b"{}")).status_code == 404
    assert (await gateway.http.get("/inbound/events/ses?hub.challenge=1")).status_code == 404
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    verified = await gateway.http.get(f"/inbound/events/whatsapp?{query}t0ken")
    assert (verified.status_code, verified.text) == (200, "1158201444")
    assert verified.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await gateway.http.get(f"/inbound/events/whatsapp?{query}other")).status_code == 403
    assert await gateway.suppressed() == []
    assert gateway.told == []
    assert ADA not in caplog.text
