"""The scope and the places of a key are checked before anything of a body is read."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body
from fastapi.routing import APIRoute
from starlette.types import Message

from gateway.api import limits
from gateway.api.app import PREFIX, ROUTERS
from gateway.api.authorization import Authorization, scope_of
from gateway.api.limits import AT_ONCE, AUTHORING, MOST_REQUESTS, REQUESTS, SHARE, USUAL, Bounds, KeyPlaces, Work
from gateway.api.problem import Problem
from gateway.errors import Busy
from gateway.service.caller import Caller
from runtime.store.api_access import SCOPES, Scope
from tests.gateway.api.conftest import Api

ROUTES = [
    (method, route)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
WITH_BODY = {"content-type": "application/json", "content-length": "1000", "idempotency-key": "k"}


def connection(api: Api, method: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    asked = {"authorization": f"Bearer {api.token}", **WITH_BODY, **(headers or {})}
    return {
        "type": "http",
        "method": method,
        "path": f"{PREFIX}{path}",
        "raw_path": f"{PREFIX}{path}".encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in asked.items()],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
        "http_version": "1.1",
    }


class Slow:
    """A request whose body never arrives."""

    def __init__(self, api: Api, method: str, path: str, **headers: str) -> None:
        self.asked = asyncio.Event()
        self.status = 0
        self._given = connection(api, method, path, headers)
        self._app = Bounds(api.app)

    async def run(self) -> int:
        await self._app(self._given, self._receive, self._send)
        return self.status

    async def _receive(self) -> Message:
        self.asked.set()
        await asyncio.Event().wait()
        return {}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=[f"{method} {route.path}" for method, route in ROUTES])
async def test_a_key_without_the_scope_is_refused_before_its_body_arrives(
    api: Api, method: str, route: APIRoute
) -> None:
    others: list[Scope] = list(SCOPES)
    others.remove(scope_of(route))
    slow = Slow(api.holding(await api.key(*others)), method, route.path.replace("{", "").replace(":path}", ""))
    assert await slow.run() == 403
    assert not slow.asked.is_set()


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/nothing", 404), ("PUT", "/entries", 405)])
async def test_what_no_route_answers_is_refused_before_its_body_arrives(
    api: Api, method: str, path: str, status: int
) -> None:
    slow = Slow(api, method, path)
    assert await slow.run() == status
    assert not slow.asked.is_set()


def test_a_route_without_a_scope_cannot_be_served() -> None:
    router = APIRouter()

    @router.post("/forgotten")
    async def forgotten(body: Annotated[dict[str, Any], Body()]) -> None:
        raise AssertionError(body)

    nothing: Any = None
    with pytest.raises(TypeError, match=r"^/forgotten must declare one scope"):
        Authorization(nothing, nothing, router.routes)


@pytest.mark.parametrize("form", ["application/json", "application/yaml", "text/plain"])
async def test_slow_bodies_take_the_places_of_their_key_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(api.keys, "places", KeyPlaces(3))
    hostile = api.holding(await api.key("publish"))
    slow = [Slow(hostile, "POST", "/check", **{"content-type": form}) for _ in range(3)]
    tasks = [asyncio.create_task(one.run()) for one in slow]
    for one in slow:
        await one.asked.wait()
    refused = await hostile.call("GET", "/nothing")
    assert refused.status_code == 404  # which costs nothing
    refused = await hostile.post("/check", {"source": ""})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["detail"].startswith("this key has 3 requests in progress: wait for their answers")
    assert (await api.post("/events", {"contact": "7", "name": "a.b"})).status_code == 202
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await hostile.post("/check", {})).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("POST", "/check"), ("POST", "/preview"), ("PUT", "/scenarios/a")])
async def test_a_check_beyond_those_of_its_key_is_refused_before_its_body_arrives(
    api: Api, method: str, path: str
) -> None:
    hostile = api.holding(await api.key("publish"))
    slow = [Slow(hostile, "POST", "/check") for _ in range(AUTHORING)]
    tasks = [asyncio.create_task(one.run()) for one in slow]
    for one in slow:
        await one.asked.wait()
    refused = Slow(hostile, method, path)
    assert await refused.run() == 503
    assert not refused.asked.is_set()
    assert (await api.post("/check", {})).status_code == 422
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await hostile.post("/check", {})).status_code == 422


async def test_large_bodies_take_the_bytes_of_their_key_alone(api: Api) -> None:
    bounded = Bounds(api.app, together=4000)
    hostile = connection(api, "POST", "/events")
    statuses: list[int] = []

    async def ask(given: dict[str, Any], *parts: int) -> None:
        left = list(parts)

        async def receive() -> Message:
            if not left:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b" " * left.pop(0), "more_body": bool(left) or parts[-1] == 600}

        async def send(message: Message) -> None:
            if "status" in message:
                statuses.append(message["status"])

        await bounded(given, receive, send)

    slow = asyncio.create_task(ask(hostile, 600))
    await asyncio.sleep(0)
    await asyncio.wait([slow], timeout=0.05)
    assert not slow.done()
    await ask(dict(hostile), 4000 // SHARE - 500)
    assert statuses == [429]
    await ask(connection(api.holding(await api.key()), "POST", "/events"), 4000 // SHARE - 500)
    assert statuses == [429, 400]  # blanks are no JSON
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await ask(dict(hostile), 4000 // SHARE - 500)
    assert statuses == [429, 400, 400]


def made(name: str, rate: float | None = None) -> Caller:
    return Caller(name, f"key {name}", SCOPES, rate=rate)


async def running(places: KeyPlaces, caller: Caller, work: Work, count: int) -> tuple[int, int]:
    """Return how many of so many requests are carried out at once, and how many are refused."""
    now = most = refused = 0

    async def one() -> None:
        nonlocal now, most, refused
        try:
            async with places.place(caller, work):
                now += 1
                most = max(most, now)
                for _ in range(5):
                    await asyncio.sleep(0)
                now -= 1
        except (Problem, Busy):
            refused += 1

    await asyncio.gather(*(one() for _ in range(count)))
    return most, refused


@pytest.mark.parametrize(
    ("work", "rate", "most", "refused"),
    [
        ("read", None, AT_ONCE["read"], 150 - REQUESTS),
        ("write", None, AT_ONCE["write"], 150 - REQUESTS),
        ("waiting", None, REQUESTS, 150 - REQUESTS),
        ("authoring", 3 * USUAL, AUTHORING, 150 - AUTHORING),
        ("read", USUAL / 10, AT_ONCE["read"], 150 - REQUESTS),
        ("read", 3 * USUAL, 3 * AT_ONCE["read"], 0),
    ],
)
async def test_a_key_has_few_requests_carried_out_at_once(
    work: Work, rate: float | None, most: int, refused: int
) -> None:
    places = KeyPlaces()
    assert await running(places, made("a", rate), work, 150) == (most, refused)
    assert await running(places, made("a", rate), work, 1) == (1, 0)


async def test_no_rate_lets_a_key_take_all_places() -> None:
    assert await running(KeyPlaces(), made("a", 100_000.0), "waiting", 500) == (MOST_REQUESTS, 100)


async def test_keys_do_not_wait_for_each_other() -> None:
    places = KeyPlaces()
    taken = [asyncio.create_task(held(places, "a")) for _ in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10), places.place(made("b"), "read"):
        assert not any(task.done() for task in taken)
    for task in taken:
        task.cancel()
    await asyncio.gather(*taken, return_exceptions=True)


async def test_no_request_waits_for_its_turn_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller gives up after ten seconds, and its body has to arrive within ten."""
    monkeypatch.setattr(limits, "TURN", 0.01)
    places = KeyPlaces()
    taken = [asyncio.create_task(held(places, "a")) for _ in range(AT_ONCE["read"])]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        async with places.place(made("a"), "read"):
            pass
    assert (refused.value.status_code, (refused.value.headers or {})["retry-after"]) == (503, "5")
    for task in taken:
        task.cancel()
    await asyncio.gather(*taken, return_exceptions=True)
    assert await running(places, made("a"), "read", 1) == (1, 0)


async def held(places: KeyPlaces, name: str) -> None:
    async with places.place(made(name), "read"):
        await asyncio.Event().wait()


def test_batches_of_a_key_share_their_turns_for_items() -> None:
    places = KeyPlaces()
    mine = places.turns(made("a"), "items")
    assert places.turns(made("a"), "items") is mine
    assert places.turns(made("b"), "items") is not mine


@pytest.mark.parametrize(
    ("method", "path", "headers", "work"),
    [
        ("GET", "/journeys", {}, "read"),
        ("POST", "/entries", {}, "write"),
        ("POST", "/entries", {"prefer": "wait=5"}, "waiting"),
        ("POST", "/entries/batch", {}, "waiting"),
        ("POST", "/preview", {}, "authoring"),
        ("PUT", "/scenarios/a", {"prefer": "wait=5"}, "authoring"),
        ("POST", "/journeys/a/1/pause", {}, "write"),
    ],
)
async def test_requests_take_turns_by_what_they_do(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, headers: dict[str, str], work: Work
) -> None:
    asked: list[Work] = []

    class Noting(KeyPlaces):
        def place(self, caller: Caller, work: Work) -> Any:
            asked.append(work)
            return super().place(caller, work)

    monkeypatch.setattr(api.keys, "places", Noting())
    await api.call(method, path, content=b"{", headers={"content-type": "application/json", **headers})
    assert asked == [work]
