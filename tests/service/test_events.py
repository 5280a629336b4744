"""Reports of events and changes: the arguments that journeys accept, and the journeys and goals that count."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content
from authoring.errors import BadInput
from runtime.api_keys import SCOPES
from runtime.store import AcceptedEntry, Store
from scenario.entry.values import PlatformDates
from service import events
from service.caller import TERMINAL, Caller
from service.errors import Busy, Forbidden
from service.events import UnadmittedSearch
from tests.factories import admission_request, publish
from tests.fakes import RefusingService
from tests.search import NOW, Search

SECRET = "zoe@example.com"
PARIS = PlatformDates("Europe/Paris")


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_an_event_is_told_as_it_is():
    assert events.event_message("order.delivered") == {"name": "order.delivered", "properties": {}}
    message: dict[str, Any] = {"name": "go", "properties": {"id": 7, "x": [1.5, None, "é"]}, "id": "é" * 200}
    assert events.event_message(*message.values()) == message
    assert events.event_message("go", {"a": "x" * 260_000}, "e1")["id"] == "e1"
    at = datetime(2026, 11, 27, 10, tzinfo=PARIS.tzinfo)
    assert events.event_message("go", at=at)["at"] == "2026-11-27T09:00:00+00:00"


NAME = "'name' must be an event's name, such as chat.replied"
PLAIN = "the event holds something that JSON does not have, such as NaN: send plain JSON"
HALF = "a text of the event holds half a character (a lone surrogate): send whole ones"
IDENTIFIER = "an event's id must be 1 to 200 printable characters"
NO_EVENTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "a bad name": (("go !",), NAME),
    "no text as a name": ((7,), NAME),
    "large": (("go", {"a": SECRET * 20_000}), "the event is larger than 256 KB: leave out what no condition names"),
    "too deep": (("go", nested(99)), "the event's properties are nested too deeply"),
    "much too deep": (("go", nested(20_000)), "the event is nested more than 100 levels deep"),
    "no JSON": (("go", {"a": {SECRET}}), PLAIN),
    "half a character": (("go", {"a": "\ud800"}), HALF),
    "a long id": (("go", {}, "e" * 201), IDENTIFIER),
    "half a character as an id": (("go", {}, "\ud800"), IDENTIFIER),
}


@pytest.mark.parametrize(("given", "said"), NO_EVENTS.values(), ids=NO_EVENTS.keys())
def test_what_a_journey_would_not_take_as_an_event_is_refused(given: tuple[Any, ...], said: str):
    with pytest.raises(BadInput) as refused:
        events.event_message(*given)
    assert str(refused.value) == said


def test_a_change_of_the_contact_is_told_as_it_is():
    patch = {"firstname": "Zoé", "custom": {"size": "38"}, "updated_at": "2026-03-29 10:00:00"}
    assert events.change_message(patch, PARIS) == patch


NO_CHANGES: dict[str, tuple[Any, str]] = {
    "too large": ({"note": "x" * 1_100_000}, "is larger than 1024 KB: leave out what no step names"),
    "of too many parts": ({"note": [{}] * 10_000}, "is made of more than 10,000 objects and lists"),
    "too deep": ({"note": nested(99)}, "is nested too deeply"),
    "much too deep": ({"note": nested(20_000)}, "is nested more than 100 levels deep"),
    "no JSON": ({"note": {SECRET}}, "holds something that JSON does not have, such as NaN: send plain JSON"),
    "malformed": ({"custom": SECRET}, "is malformed: 'custom' of contact: custom fields must be a list or a mapping"),
}


@pytest.mark.parametrize(("patch", "said"), NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_what_a_journey_would_not_take_as_a_change_is_refused(patch: Any, said: str):
    with pytest.raises(BadInput) as refused:
        events.change_message(patch, PARIS)
    assert str(refused.value).startswith(f"the change of the contact {said}")
    assert SECRET not in str(refused.value)


UNAVAILABLE = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
GOAL = "scenario: NAME\ntrigger: order\ngoal: {event: order.placed, within: 1h}\nsteps:\n  - exit: done\n"


@pytest.fixture
def temporal() -> RefusingService:
    return RefusingService()


@pytest.fixture
def service(temporal: RefusingService, store: Store, monkeypatch: pytest.MonkeyPatch) -> events.EventService:
    """The service, whose search finds no journey that the store does not know."""

    monkeypatch.setattr(UnadmittedSearch, "of", AsyncMock(return_value=[]))
    return events.EventService(Client(temporal), store, Content(store), PARIS)


@pytest.mark.parametrize("name", ["email.deferred", "sms.replied", "contact.changed", "contact.unsubscribed"])
async def test_only_the_engine_reports_events_with_reserved_names(
    service: events.EventService, temporal: RefusingService, store: Store, name: str
):
    temporal.refuse(RPCStatusCode.RESOURCE_EXHAUSTED)
    journey = (await store.admit(admission_request())) and "welcome/7"
    key = Caller("k", "key k", SCOPES)
    for refused in (service.report(key, "7", name), service.report_to(key, journey, name)):
        with pytest.raises(BadInput) as caught:
            await refused
        assert (str(caught.value), caught.value.at) == (events.RESERVED_NAME, ["name"])
    with pytest.raises(RPCError):  # a signal was sent
        await service.report(TERMINAL, "7", name)


async def test_a_key_for_a_trusted_provider_reports_the_events_of_the_setting(
    service: events.EventService, temporal: RefusingService, store: Store
):
    temporal.refuse(RPCStatusCode.RESOURCE_EXHAUSTED)
    journey = (await store.admit(admission_request())) and "welcome/7"
    trusting = events.EventService(Client(temporal), store, Content(store), PARIS, ["email.clicked"])
    provider, engine = Caller("p", "key p", ["events", "providers"]), Caller("e", "key e", ["events"])
    for report in (
        trusting.report(provider, "7", "email.clicked"),
        trusting.report_to(provider, journey, "email.clicked"),
    ):
        with pytest.raises(RPCError):  # a signal was sent
            await report
    with pytest.raises(Forbidden, match="this key lacks the scope 'providers'"):
        await trusting.report(engine, "7", "email.clicked")
    for name in ("email.clicked.twice", "email.opened", "contact.unsubscribed"):
        with pytest.raises(BadInput):
            await trusting.report(provider, "7", name)


@pytest.mark.parametrize(
    ("status", "detail"),
    [(RPCStatusCode.RESOURCE_EXHAUSTED, None), (RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure())],
    ids=["overloaded", "the namespace is missing"],
)
async def test_a_journey_whose_signal_temporal_refuses_is_still_running(
    service: events.EventService, temporal: RefusingService, store: Store, status: RPCStatusCode, detail: Message | None
):
    temporal.refuse(status, detail=detail)
    await store.admit(admission_request())
    with pytest.raises(RPCError):
        await service.report(TERMINAL, "7", "order.placed")
    assert [entry.workflow_id for entry in await store.running("7")] == ["welcome/7"]


async def test_an_event_waits_until_a_campaign_has_sent_to_the_contact(
    service: events.EventService, temporal: RefusingService, store: Store, monkeypatch: pytest.MonkeyPatch
):
    temporal.refuse(RPCStatusCode.NOT_FOUND)
    asking = admission_request(key="sale", run_id="r1", root="r1")
    await store.admit(asking)
    monkeypatch.setattr(events, "_SENDING", 0.0)
    for report in (service.report(TERMINAL, "7", "go"), service.report_to(TERMINAL, asking.workflow_id, "go")):
        with pytest.raises(Busy):
            await report
    assert await store.running("7"), "it is not taken for lost"
    await store.depart(asking.workflow_id, "r1", "finished", None, NOW)
    assert await service.report(TERMINAL, "7", "go") == events.EventView()


async def test_no_journey_gets_an_event_while_temporal_cannot_be_searched(
    service: events.EventService, store: Store, monkeypatch: pytest.MonkeyPatch
):
    """The caller has to send it again, which must not count twice."""
    reach = AsyncMock(return_value=True)
    await store.accept(AcceptedEntry("late/7", "r1", "7", datetime.now(UTC)))
    monkeypatch.setattr(UnadmittedSearch, "of", AsyncMock(side_effect=UNAVAILABLE))
    monkeypatch.setattr(service, "_signal", reach)
    for contact in "78":
        change = service.change(TERMINAL, contact, {"firstname": "Zoé"})
        for telling in (service.report(TERMINAL, contact, "go"), change):
            with pytest.raises(RPCError, match="away"):
                await telling
    assert not reach.called


async def test_an_event_has_been_sent_to_all_journeys_before_an_error_is_raised(
    service: events.EventService, store: Store, monkeypatch: pytest.MonkeyPatch
):
    sent: list[str] = []

    async def reach(entry: AcceptedEntry, *_: object) -> bool:
        if entry.workflow_id == "late/7/A":
            raise UNAVAILABLE
        await asyncio.sleep(0.01)
        sent.append(entry.workflow_id)
        return True

    for key in "ABC":
        await store.accept(AcceptedEntry(f"late/7/{key}", "r1", "7", datetime.now(UTC)))
    monkeypatch.setattr(service, "_signal", reach)
    with pytest.raises(RPCError, match="away"):
        await service.report(TERMINAL, "7", "go")
    assert sorted(sent) == ["late/7/B", "late/7/C"]


ONE, OTHER = (f"scenario: welcome\ntrigger: order\nsteps:\n  - wait_for: {name}\n" for name in ("a_b", "card.updated"))


@pytest.mark.parametrize(
    ("published", "name", "told"),
    [
        ([ONE], "a_b", 1),
        ([ONE], "click", 0),
        ([ONE], "axb", 0),
        ([ONE], "a", 0),
        ([ONE], "card.updated", 0),
        ([ONE, OTHER], "card.updated", 1),  # the journey may move to that version
        ([], "click", 1),  # the store lacks the version
    ],
)
async def test_an_event_reaches_only_journeys_whose_scenario_uses_its_name(
    service: events.EventService,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    published: list[str],
    name: str,
    told: int,
):
    for text in published:
        await publish(store, text)
    await publish(store, GOAL.replace("NAME", "other"))
    await store.admit(admission_request())
    reach, described = AsyncMock(return_value=True), AsyncMock(return_value=None)
    monkeypatch.setattr(service, "_signal", reach)
    monkeypatch.setattr(events, "describe", described)
    reached = events.EventView(told=told, unused=1 - told)
    assert await service.report(TERMINAL, "7", name) == await service.report_to(TERMINAL, "welcome/7", name) == reached
    assert reached.has_effect
    assert reach.await_count == 2 * told
    assert (await service.change(TERMINAL, "7", {"firstname": "Zoé"})).told == 1


async def test_a_limited_caller_counts_no_goals_of_other_scenarios(service: events.EventService, store: Store):
    now = datetime.now(UTC)
    for name in ("hello", "other"):
        await publish(store, GOAL.replace("NAME", name))
        request = admission_request(scenario=name, now=now, goal_until=now + timedelta(hours=1))
        await store.admit(request)
        await store.depart(request.workflow_id, request.run_id, "finished", None, now)
    caller = Caller("k", "key k", SCOPES, ["other"])
    assert await service.report(caller, "7", "order.placed") == events.EventView(goals=1)
    reached = {entry.scenario: entry.reached_at is not None for entry in await store.entries()}
    assert reached == {"hello": False, "other": True}


@dataclass
class Temporal(Search):
    """A server with so many tasks that wait; None: it does not say."""

    backlog: int | RPCError | None = 1
    looks: int = 0

    @property
    def workflow_service(self) -> Any:
        return self

    async def describe_task_queue(self, *_: Any, **__: Any) -> DescribeTaskQueueResponse:
        self.looks += 1
        if isinstance(self.backlog, RPCError):
            raise self.backlog
        answer = DescribeTaskQueueResponse()
        if self.backlog is not None:
            answer.stats.approximate_backlog_count = self.backlog
        return answer


def searching(temporal: Temporal) -> UnadmittedSearch:
    return UnadmittedSearch(temporal.client)


@pytest.mark.parametrize(("backlog", "searched"), [(0, False), (1, True), (None, True), (UNAVAILABLE, True)])
async def test_it_searches_unless_no_task_waits(backlog: int | RPCError | None, searched: bool):
    temporal = Temporal(backlog=backlog)
    temporal.add("sale/7", ContactId="7")
    found = [(one.workflow_id, one.run_id, one.accepted_at) for one in await searching(temporal).of("7")]
    assert found == ([("sale/7", "r9", NOW)] if searched else [])


async def test_it_asks_for_all_contacts_at_once_and_looks_for_waiting_tasks_once():
    temporal = Temporal()
    for number in range(120):
        temporal.add(f"sale/{number}", ContactId=str(number))
    search = searching(temporal)
    found = await asyncio.gather(*(search.of(str(number)) for number in (*range(120), 119, 999)))
    assert [one.workflow_id for some in found for one in some] == [f"sale/{number}" for number in (*range(120), 119)]
    assert len(temporal.queries) == 3, "fifty in one search"
    assert temporal.looks == 1


async def test_it_searches_for_no_id_that_a_workflow_cannot_have_and_on_no_server_without_search():
    temporal = Temporal(error=RPCStatusCode.UNIMPLEMENTED)
    for contact in ("", "a\0b", "x" * 1001):
        assert await searching(temporal).of(contact) == []
    assert (temporal.looks, temporal.queries) == (0, [])
    assert await searching(temporal).of("7") == []


async def test_searches_keep_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "APART", 0.2)
    temporal, clock = Temporal(), asyncio.get_running_loop()
    search, began = searching(temporal), clock.time()
    for contact in "789":
        await search.of(contact)
    assert clock.time() - began >= 0.4


async def test_what_was_known_holds_while_the_server_does_not_say(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "FRESH", 0.0)
    temporal = Temporal(backlog=0, error=RPCStatusCode.UNAVAILABLE)
    search = searching(temporal)
    assert await search.of("7") == []
    temporal.backlog = UNAVAILABLE
    assert await search.of("7") == []
    monkeypatch.setattr(events, "STALE", 0.0)
    with pytest.raises(RPCError):
        await search.of("7")


async def test_it_may_be_closed_while_somebody_waits():
    temporal = Temporal()
    search = searching(temporal)
    await search.of("7")
    waiting = asyncio.create_task(search.of("8"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await search.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(temporal.queries) == 1
