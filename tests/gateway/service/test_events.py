"""Reports of events and changes: the arguments that journeys accept, and the journeys and goals that count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content
from gateway.errors import BadInput, Busy
from gateway.service import events
from gateway.service.caller import TERMINAL, Caller
from gateway.service.unadmitted import UnadmittedSearch
from runtime.api_keys import SCOPES
from runtime.store import AcceptedEntry, Store
from tests.factories import NOW, admission_request, publish
from tests.fakes import RefusingService

SECRET = "zoe@example.com"
PARIS = ZoneInfo("Europe/Paris")


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_an_event_is_told_as_it_is() -> None:
    assert events.event_message("order.delivered") == {"name": "order.delivered", "properties": {}}
    message: dict[str, Any] = {"name": "go", "properties": {"id": 7, "x": [1.5, None, "é"]}, "id": "é" * 200}
    assert events.event_message(*message.values()) == message
    assert events.event_message("go", {"a": "x" * 260_000}, "e1")["id"] == "e1"
    at = datetime(2026, 11, 27, 10, tzinfo=PARIS)
    assert events.event_message("go", at=at)["at"] == "2026-11-27T09:00:00+00:00"


NAME = "'name' must be an event's name, such as whatsapp.replied"
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
def test_what_a_journey_would_not_take_as_an_event_is_refused(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        events.event_message(*given)
    assert str(refused.value) == said


def test_a_change_of_the_contact_is_told_as_it_is() -> None:
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
def test_what_a_journey_would_not_take_as_a_change_is_refused(patch: Any, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        events.change_message(patch, PARIS)
    assert str(refused.value).startswith(f"the change of the contact {said}")
    assert SECRET not in str(refused.value)


GOAL = "scenario: NAME\ntrigger: order\ngoal: {event: order.placed, within: 1h}\nsteps:\n  - exit: done\n"


@pytest.fixture
def temporal() -> RefusingService:
    return RefusingService()


@pytest.fixture
def service(temporal: RefusingService, store: Store, monkeypatch: pytest.MonkeyPatch) -> events.EventService:
    """The service, whose search finds no journey that the store does not know."""

    async def find_none(*_: object) -> list[AcceptedEntry]:
        return []

    monkeypatch.setattr(UnadmittedSearch, "of", find_none)
    return events.EventService(Client(temporal), store, Content(store), PARIS)


@pytest.mark.parametrize(
    ("status", "detail"),
    [(RPCStatusCode.RESOURCE_EXHAUSTED, None), (RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure())],
    ids=["overloaded", "the namespace is missing"],
)
async def test_a_journey_whose_signal_temporal_refuses_is_still_running(
    service: events.EventService, temporal: RefusingService, store: Store, status: RPCStatusCode, detail: Message | None
) -> None:
    temporal.refuse(status, detail=detail)
    await store.admit(admission_request())
    with pytest.raises(RPCError):
        await service.report(TERMINAL, "7", "order.placed")
    assert [entry.workflow_id for entry in await store.running("7")] == ["welcome/7"]


async def test_an_event_waits_until_a_campaign_has_sent_to_the_contact(
    service: events.EventService, temporal: RefusingService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_a_limited_caller_counts_no_goals_of_other_scenarios(service: events.EventService, store: Store) -> None:
    now = datetime.now(UTC)
    for name in ("hello", "other"):
        await publish(store, GOAL.replace("NAME", name))
        request = admission_request(scenario=name, now=now, goal_until=now + timedelta(hours=1))
        await store.admit(request)
        await store.depart(request.workflow_id, request.run_id, "finished", None, now)
    caller = Caller("k", "key k", SCOPES, ["other"])
    assert await service.report(caller, "7", "order.placed") == events.EventView(goals=1)
    assert {entry.scenario: entry.reached_at is not None for entry in await store.entries()} == {
        "hello": False,
        "other": True,
    }
