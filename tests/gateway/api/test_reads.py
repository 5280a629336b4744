"""Attempts on record, numbers, results, answers to why, audiences and outgoing events, over HTTP."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
import time_machine

from runtime.store import Store
from scenario.words import EVENT_TYPES
from service.why.why import CapPlaces, WhyView
from tests.factories import LATER_DOCUMENT, LATER_PLAN, NOW, admission_request, attempt
from tests.gateway.api.conftest import Door, http_scope, opened
from tests.gateway.api.test_refused import requests
from tests.gateway.pages.test_shown import NOW as SHOWN_AT
from tests.gateway.pages.test_shown import fill_everything
from tests.search import Search
from tests.service.test_outgoing import held

START = datetime(2026, 3, 3, 9, tzinfo=UTC)
READABLE = {"scenario": "later", "trigger": "order", "steps": [{"sms": "hello", "text": "Hello"}]}
ATTEMPT = attempt(workflow_id="hello/1", scenario="hello", contact_id="1", started_at=START)


@pytest.mark.parametrize(("text", "plan"), [(LATER_DOCUMENT, {"start": None, "steps": {}}), (READABLE, LATER_PLAN)])
async def test_what_a_later_release_published_is_no_fault(store: Store, text: dict[str, Any], plan: dict[str, Any]):
    await store.publish("later", text, plan, "digest")
    await store.admit(admission_request("7", "later"))
    await store.depart("later/7", "run-1", "finished", None, START)
    async with opened(store, Search(strict=True)) as door:
        for path in ("scenarios/later", "stats/later", "trends/later?version=1", "results/later"):
            problem = await door.call("GET", f"/{path}", status=422)
            assert problem["detail"] == "later@1 was published by a later release of this program: update it"
        assert (await door.call("GET", "/journeys/later/7"))["state"] == "finished"


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    # At one moment there are four, by which pages part.
    await store.record(
        [
            *(replace(ATTEMPT, delivery_id=f"msg_{number}") for number in (1, 2, 3)),
            replace(ATTEMPT, attempt=2),
            replace(ATTEMPT, started_at=START - timedelta(hours=1), contact_id="2", scenario="other", outcome="failed"),
            replace(ATTEMPT, started_at=START + timedelta(hours=1), attempt=3, destination="wax"),
        ]
    )
    async with opened(store) as door:
        yield door


async def test_pages_follow_each_other_without_a_gap(door: Door):
    pages = await door.pages("/deliveries", limit=2)
    assert [[(one["delivery_id"], one["attempt"], one["started_at"][11:16]) for one in page] for page in pages] == [
        [("msg_1", 3, "10:00"), ("msg_1", 2, "09:00")],
        [("msg_3", 1, "09:00"), ("msg_2", 1, "09:00")],
        [("msg_1", 1, "09:00"), ("msg_1", 1, "08:00")],
    ]


async def test_answers_are_those_of_the_transcript(store: Store):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change, or to add a request."""
    search, said = Search(), list[str]()
    with time_machine.travel(SHOWN_AT, tick=False):
        await fill_everything(store, search)
        async with opened(store, search) as door:
            for line in requests("answers.txt"):
                answer = json.dumps(await door.call(*line.split()), ensure_ascii=False)
                said += [f"$ {line}", re.sub(r'"[0-9a-f]{32}"', '"ID"', answer)]
    transcript = Path(__file__).with_name("answers.txt")
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        transcript.write_text("\n".join(said) + "\n", "utf-8")
    assert said == transcript.read_text("utf-8").splitlines()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    week = CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None)

    async def why(_: Any, __: Store, contact: str, scenarios: tuple[str | None], **___: Any) -> WhyView:
        found.append((contact, *scenarios))
        return WhyView(contact=contact, step=None, answer="", entries=[], caps=[week], zone=UTC)

    monkeypatch.setattr("service.journeys.service.why", why)
    return found


async def test_what_other_scenarios_have_sent_is_not_told(door: Door, asked: list[tuple[str, str | None]]):
    for contact in ("shop/7", "shop%2F7"):
        told = await door.call("GET", f"/contacts/{contact}/why?scenario=hello")
        assert (told["contact"], [(cap["cap"], cap["taken"]) for cap in told["caps"]]) == ("shop/7", [("week", 3)])
    limited = await door.limited(scenarios=["hello"])
    assert (await limited.call("GET", "/contacts/7/why?scenario=hello"))["caps"] is None
    await door.call("GET", "/contacts/7/why")
    assert asked == [*[("shop/7", "hello")] * 2, ("7", "hello"), ("7", None)]


async def test_a_held_audience_is_retried(door: Door, store: Store):
    await store.record_audience_trouble("meta", "vip", "meta answered 400 (100)", datetime.now(UTC))
    said = await door.call("POST", "/synced-audiences/meta/vip/retry", json={"reason": "repaired", "operator": "ann"})
    assert said["state"] == "synced"
    assert said["trouble"].startswith("ann (key ")
    problem = await door.call("POST", "/synced-audiences/meta/no/retry", json={"reason": "x"}, status=404)
    assert problem["detail"] == "no contact was ever added to an audience 'no' here: see 'scenario audience list'"


async def test_held_outgoing_events_are_retried_once(door: Door, store: Store):
    [identifier] = await held(store, "7")
    asked: dict[str, Any] = {"json": {"reason": "repaired", "operator": "ann", "events": [identifier]}}
    asked["headers"] = {"idempotency-key": "k"}
    done = await door.call("POST", "/outgoing/crm/retry", **asked)
    assert (done["events"], done["operator"][:9]) == (1, "ann (key ")
    assert await door.call("POST", "/outgoing/crm/retry", **asked) == done
    assert (await door.call("GET", "/operations?operation=retry"))["items"] == [done]
    late = await door.call("POST", "/outgoing/crm/skip", json={"reason": "x", "events": [identifier]}, status=422)
    assert late["errors"][0]["pointer"] == "/events"


def events_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = [json.loads(line) for line in answer.text.splitlines()]
    return [f"{event['type']} {event['subject']}" for event in events]


async def live(store: Store, *contacts: str, scenario: str = "welcome") -> None:
    for contact in contacts:
        await store.admit(admission_request(contact, scenario))


async def test_the_feed_continues_at_its_cursor(api: Door, store: Store):
    off = await api.ask("GET", "/feed")
    assert (off.status_code, off.json()["detail"][:35]) == (404, "no outgoing events are stored: set ")
    await store.want_events(EVENT_TYPES)
    await live(store, "7", "8")
    await store.depart("welcome/7", "run-1", "finished", None, NOW)
    first = await api.ask("GET", "/feed?limit=2")
    assert first.headers["content-type"] == "application/x-ndjson"
    assert events_of(first) == ["journey.entered welcome/7", "journey.entered welcome/8"]
    cursor = json.loads(first.text.splitlines()[-1])["sequence"]
    assert cursor == first.headers["feed-cursor"]
    rest = await api.ask("GET", f"/feed?after={cursor}")
    last = rest.headers["feed-cursor"]
    assert events_of(rest) == ["journey.ended welcome/7"]
    for query, events in (
        (f"after={last}", []),
        ("after=latest", []),
        ("type=journey.ended&type=goal.reached", ["journey.ended welcome/7"]),
        ("scenario=another", []),
    ):
        answer = await api.ask("GET", f"/feed?{query}")
        assert (events_of(answer), answer.headers["feed-cursor"]) == (events, last)
    for wrong in ("-1", "x", "9" * 20):
        problem = (await api.ask("GET", f"/feed?after={wrong}")).json()
        assert [one["pointer"] for one in problem["errors"]] == ["query:after"]


async def test_a_request_waits_for_the_next_event(api: Door, store: Store):
    await store.want_events(EVENT_TYPES)
    await live(store, "7")
    waiting = asyncio.create_task(api.ask("GET", "/feed?after=latest&wait=30"))
    while not waiting.done():  # it waits for an event after the moment in which it looks at the end
        await live(store, str(asyncio.get_running_loop().time()))
        await asyncio.sleep(0.05)
    assert events_of(await waiting)


async def test_a_request_ends_with_its_connection(api: Door, store: Store):
    await store.want_events(EVENT_TYPES)
    scope = http_scope("GET", "/v1/feed", {"authorization": f"Bearer {api.token}"}) | {"query_string": b"wait=30"}
    receive = AsyncMock(side_effect=[{"type": "http.request"}, *[{"type": "http.disconnect"}] * 9])
    async with asyncio.timeout(10):
        await api.app(scope, receive, AsyncMock())


async def test_a_key_for_some_scenarios_gets_their_events_alone(api: Door, store: Store):
    await store.want_events(EVENT_TYPES)
    await live(store, "7")
    await live(store, "7", scenario="another")
    await store.pause_destination("wax", NOW)
    assert len(events_of(await api.ask("GET", "/feed"))) == 3
    limited = await api.limited("read", scenarios=["another", "third"])
    assert events_of(await limited.ask("GET", "/feed")) == ["journey.entered another/7"]
    assert events_of(await limited.ask("GET", "/feed?scenario=third")) == []
    assert (await limited.ask("GET", "/feed?scenario=third&scenario=welcome")).status_code == 403
    assert (await (await api.limited("enter")).ask("GET", "/feed")).status_code == 403
