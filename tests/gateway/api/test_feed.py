"""The feed: outgoing events in order, for those who may see them, and a cursor that loses none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from runtime.store import Store
from scenario.words import EVENT_TYPES
from tests.factories import NOW, admission_request
from tests.gateway.api.conftest import Api


def told(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = [json.loads(line) for line in answer.text.splitlines()]
    return [f"{event['type']} {event['subject']}" for event in events]


async def live(store: Store, *contacts: str, scenario: str = "welcome") -> None:
    for contact in contacts:
        await store.admit(admission_request(contact, scenario))


async def test_the_feed_continues_at_its_cursor(api: Api, store: Store):
    off = await api.call("GET", "/feed")
    assert (off.status_code, off.json()["detail"][:35]) == (404, "no outgoing events are stored: set ")
    await store.want_events(EVENT_TYPES)
    await live(store, "7", "8")
    await store.depart("welcome/7", "run-1", "finished", None, NOW)
    first = await api.call("GET", "/feed?limit=2")
    assert first.headers["content-type"] == "application/x-ndjson"
    assert told(first) == ["journey.entered welcome/7", "journey.entered welcome/8"]
    cursor = json.loads(first.text.splitlines()[-1])["sequence"]
    assert cursor == first.headers["feed-cursor"]
    rest = await api.call("GET", f"/feed?after={cursor}")
    assert told(rest) == ["journey.ended welcome/7"]
    assert told(await api.call("GET", f"/feed?after={rest.headers['feed-cursor']}")) == []
    assert told(await api.call("GET", "/feed?after=latest")) == []
    filtered = await api.call("GET", "/feed?type=journey.ended&type=goal.reached")
    assert told(filtered) == ["journey.ended welcome/7"]
    left_out = await api.call("GET", "/feed?scenario=another")
    assert (told(left_out), left_out.headers["feed-cursor"]) == ([], rest.headers["feed-cursor"])
    for wrong in ("-1", "x", "9" * 20):
        problem = (await api.call("GET", f"/feed?after={wrong}")).json()
        assert [one["pointer"] for one in problem["errors"]] == ["query:after"]


async def test_a_request_waits_for_the_next_event(api: Api, store: Store):
    await store.want_events(EVENT_TYPES)
    await live(store, "7")
    waiting = asyncio.create_task(api.call("GET", "/feed?after=latest&wait=30"))
    while not waiting.done():  # it waits for an event after the moment in which it looks at the end
        await live(store, str(asyncio.get_running_loop().time()))
        await asyncio.sleep(0.05)
    assert told(await waiting)


async def test_a_request_ends_with_its_connection(api: Api, store: Store):
    await store.want_events(EVENT_TYPES)
    came = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(came, {"type": "http.disconnect"})

    async def send(_message: object) -> None:
        pass

    basis: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http"}
    headers = [(b"authorization", f"Bearer {api.token}".encode())]
    asked = {"path": "/v1/feed", "raw_path": b"/v1/feed", "query_string": b"wait=30", "headers": headers}
    async with asyncio.timeout(10):
        await api.app({**basis, **asked, "client": ("a", 1), "server": ("b", 2)}, receive, send)


async def test_a_key_for_some_scenarios_gets_their_events_alone(api: Api, store: Store):
    await store.want_events(EVENT_TYPES)
    await live(store, "7")
    await live(store, "7", scenario="another")
    await store.pause_destination("wax", NOW)
    assert len(told(await api.call("GET", "/feed"))) == 3
    limited = api.holding(await api.key("read", scenarios=["another", "third"]))
    assert told(await limited.call("GET", "/feed")) == ["journey.entered another/7"]
    assert told(await limited.call("GET", "/feed?scenario=third")) == []
    assert (await limited.call("GET", "/feed?scenario=third&scenario=welcome")).status_code == 403
    assert (await api.holding(await api.key("enter")).call("GET", "/feed")).status_code == 403
