"""The scope and the places of a key are checked before anything of a body is read."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from unittest.mock import AsyncMock

import pytest
from fastapi import APIRouter, Body
from starlette.types import Message

from gateway.api import limits
from gateway.api.app import PREFIX
from gateway.api.authentication import Authorization, scope_of
from gateway.api.limits import AT_ONCE, AUTHORING, MOST_REQUESTS, REQUESTS, SHARE, USUAL, Bounds, KeyPlaces, Work
from gateway.api.problem import Problem
from gateway.errors import Busy
from gateway.service.caller import Caller
from runtime.api_keys import SCOPES, Scope
from tests.gateway.api.conftest import Api, arriving, http_scope
from tests.gateway.api.doors import ROUTES

WITH_BODY = {"content-type": "application/json", "content-length": "1000", "idempotency-key": "k"}


def connection(api: Api, method: str, path: str) -> dict[str, Any]:
    return http_scope(method, f"{PREFIX}{path}", {"authorization": f"Bearer {api.token}", **WITH_BODY})


class Slow:
    """A request whose body never arrives."""

    def __init__(self, api: Api, method: str, path: str) -> None:
        self.asked = asyncio.Event()
        self._given = connection(api, method, path)
        self._app, self._send = Bounds(api.app), AsyncMock()

    async def run(self) -> int:
        await self._app(self._given, self._receive, self._send)
        return self._send.call_args_list[0].args[0]["status"]

    async def _receive(self) -> Message:
        self.asked.set()
        await asyncio.Event().wait()
        return {}


async def test_what_is_refused_is_refused_before_its_body_arrives(api: Api):
    for method, route in ROUTES:
        others: list[Scope] = [scope for scope in SCOPES if scope != scope_of(route)]
        slow = Slow(api.holding(await api.key(*others)), method, route.path.replace("{", "").replace(":path}", ""))
        assert (await slow.run(), slow.asked.is_set()) == (403, False), f"{method} {route.path}"
    for method, path, status in (("POST", "/nothing", 404), ("PUT", "/entries", 405)):
        slow = Slow(api, method, path)
        assert (await slow.run(), slow.asked.is_set()) == (status, False)


def test_a_route_without_a_scope_cannot_be_served():
    router = APIRouter()

    @router.post("/forgotten")
    async def forgotten(body: Annotated[dict[str, Any], Body()]) -> None:
        raise AssertionError(body)

    nothing: Any = None
    with pytest.raises(TypeError, match=r"^/forgotten must declare one scope"):
        Authorization(nothing, nothing, router.routes)


@asynccontextmanager
async def checking(api: Api, count: int) -> AsyncGenerator[None]:
    """Requests for checks whose bodies do not arrive."""
    slow = [Slow(api, "POST", "/check") for _ in range(count)]
    tasks = [asyncio.create_task(one.run()) for one in slow]
    for one in slow:
        await one.asked.wait()
    yield
    await cancelled(tasks)


async def cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slow_bodies_take_the_places_of_their_key_alone(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api.keys, "places", KeyPlaces(3))
    hostile = api.holding(await api.key("publish"))
    async with checking(hostile, 3):
        refused = await hostile.call("GET", "/nothing")
        assert refused.status_code == 404  # which costs nothing
        refused = await hostile.post("/check", {"source": ""})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["detail"].startswith("this key has 3 requests in progress: wait for their answers")
        assert (await api.post("/events", {"contact": "7", "name": "a.b"})).status_code == 202
    assert (await hostile.post("/check", {})).status_code == 422


async def test_a_check_beyond_those_of_its_key_is_refused_before_its_body_arrives(api: Api):
    hostile = api.holding(await api.key("publish"))
    async with checking(hostile, AUTHORING):
        refused = Slow(hostile, "PUT", "/scenarios/a")
        assert (await refused.run(), refused.asked.is_set()) == (503, False)
        assert (await api.post("/check", {})).status_code == 422
    assert (await hostile.post("/check", {})).status_code == 422


async def test_large_bodies_take_the_bytes_of_their_key_alone(api: Api):
    bounded = Bounds(api.app, together=4000)
    hostile = connection(api, "POST", "/events")
    statuses: list[int] = []

    async def ask(given: dict[str, Any], size: int, *, more: bool = False) -> None:
        send = AsyncMock()
        await bounded(given, arriving({"type": "http.request", "body": b" " * size, "more_body": more}), send)
        statuses.append(send.call_args_list[0].args[0]["status"])

    slow = asyncio.create_task(ask(hostile, 600, more=True))
    await asyncio.wait([slow], timeout=0.05)
    assert not slow.done()
    large = 4000 // SHARE - 500
    await ask(dict(hostile), large)
    other = api.holding(await api.key())
    await ask(connection(other, "POST", "/events"), large)
    assert statuses == [429, 400]  # blanks are no JSON
    await cancelled([slow])
    await ask(dict(hostile), large)
    assert statuses == [429, 400, 400]


def made(name: str, rate: float | None = None) -> Caller:
    return Caller(name, f"key {name}", SCOPES, rate=rate)


async def running(places: KeyPlaces, caller: Caller, work: Work, count: int) -> tuple[int, int]:
    """Return how many of so many requests are carried out at once, and how many are refused."""
    now = most = 0

    async def one() -> None:
        nonlocal now, most
        async with places.place(caller, work):
            now += 1
            most = max(most, now)
            for _ in range(5):
                await asyncio.sleep(0)
            now -= 1

    answers = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    return most, sum(isinstance(answer, Problem | Busy) for answer in answers)


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
async def test_a_key_has_few_requests_carried_out_at_once(work: Work, rate: float | None, most: int, refused: int):
    places = KeyPlaces()
    assert await running(places, made("a", rate), work, 150) == (most, refused)
    assert await running(places, made("a", rate), work, 1) == (1, 0)
    assert await running(KeyPlaces(), made("a", 100_000.0), "waiting", 500) == (MOST_REQUESTS, 100), "nor all places"


async def test_a_request_waits_briefly_for_those_of_its_key_and_not_for_others(monkeypatch: pytest.MonkeyPatch):
    """Its caller gives up after ten seconds, and its body has to arrive within ten."""
    monkeypatch.setattr(limits, "TURN", 0.01)
    places = KeyPlaces()
    taken = [asyncio.create_task(held(places, "a")) for _ in range(AT_ONCE["read"])]
    await asyncio.sleep(0)
    async with places.place(made("b"), "read"):
        assert not any(task.done() for task in taken)
    with pytest.raises(Problem) as refused:
        async with places.place(made("a"), "read"):
            pass
    assert (refused.value.status_code, (refused.value.headers or {})["retry-after"]) == (503, "5")
    await cancelled(taken)
    assert await running(places, made("a"), "read", 1) == (1, 0)


async def held(places: KeyPlaces, name: str) -> None:
    async with places.place(made(name), "read"):
        await asyncio.Event().wait()


def test_batches_of_a_key_share_their_turns_for_items():
    places = KeyPlaces()
    mine = places.turns(made("a"), "items")
    assert places.turns(made("a"), "items") is mine
    assert places.turns(made("b"), "items") is not mine


KINDS: list[tuple[str, str, dict[str, str], Work]] = [
    ("GET", "/journeys", {}, "read"),
    ("POST", "/entries", {}, "write"),
    ("POST", "/entries", {"prefer": "wait=5"}, "waiting"),
    ("POST", "/entries/batch", {}, "waiting"),
    ("POST", "/check", {}, "authoring"),
    ("POST", "/preview", {}, "authoring"),
    ("PUT", "/scenarios/a", {"prefer": "wait=5"}, "authoring"),
]


async def test_requests_take_turns_by_what_they_do(api: Api, monkeypatch: pytest.MonkeyPatch):
    asked: list[Work] = []

    class Noting(KeyPlaces):
        def place(self, caller: Caller, work: Work) -> Any:
            asked.append(work)
            return super().place(caller, work)

    monkeypatch.setattr(api.keys, "places", Noting())
    for method, path, headers, _ in KINDS:
        await api.call(method, path, content=b"{", headers={"content-type": "application/json", **headers})
    assert asked == [work for *_, work in KINDS]
