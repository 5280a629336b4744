"""Keys, their scopes and their places are checked before anything of a body is read."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from unittest.mock import AsyncMock, patch

import httpx
import pytest
from fastapi import APIRouter, Body
from sqlalchemy import text
from starlette.types import Message

from gateway.api import limits
from gateway.api.app import PREFIX
from gateway.api.authentication import MISSES, REMEMBERED, Authorization, scope_of
from gateway.api.limits import AT_ONCE, AUTHORING, MOST_REQUESTS, REQUESTS, SHARE, USUAL, Bounds, KeyPlaces, Work
from gateway.api.problem import Problem
from runtime.api_keys import SCOPES, Scope, make_token
from runtime.store import Store
from service.caller import Caller
from service.errors import Busy
from tests.fakes import Clock
from tests.gateway.api.conftest import ROUTES, Client, Door, arriving, entered, http_scope

WITH_BODY = {"content-type": "application/json", "content-length": "1000", "idempotency-key": "k"}


def connection(api: Door, method: str, path: str) -> dict[str, Any]:
    return http_scope(method, f"{PREFIX}{path}", {"authorization": f"Bearer {api.token}", **WITH_BODY})


class Slow:
    """A request whose body never arrives."""

    def __init__(self, api: Door, method: str, path: str) -> None:
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


async def test_what_is_refused_is_refused_before_its_body_arrives(api: Door):
    for method, route in ROUTES:
        others: list[Scope] = [scope for scope in SCOPES if scope != scope_of(route)]
        slow = Slow(await api.limited(*others), method, route.path.replace("{", "").replace(":path}", ""))
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
async def checking(api: Door, count: int) -> AsyncGenerator[None]:
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


async def test_slow_bodies_take_the_places_of_their_key_alone(api: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api.keys, "places", KeyPlaces(3))
    hostile = await api.limited("publish")
    async with checking(hostile, 3):
        refused = await hostile.ask("GET", "/nothing")
        assert refused.status_code == 404  # which costs nothing
        refused = await hostile.post("/check", {"source": ""})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["detail"].startswith("this key has 3 requests in progress: wait for their answers")
        assert (await api.post("/events", {"contact": "7", "name": "a.b"})).status_code == 202
    assert (await hostile.post("/check", {})).status_code == 422


async def test_a_check_beyond_those_of_its_key_is_refused_before_its_body_arrives(api: Door):
    hostile = await api.limited("publish")
    async with checking(hostile, AUTHORING):
        refused = Slow(hostile, "PUT", "/scenarios/a")
        assert (await refused.run(), refused.asked.is_set()) == (503, False)
        assert (await api.post("/check", {})).status_code == 422
    assert (await hostile.post("/check", {})).status_code == 422


async def test_large_bodies_take_the_bytes_of_their_key_alone(api: Door):
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
    other = await api.limited()
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


async def test_requests_take_turns_by_what_they_do(api: Door, monkeypatch: pytest.MonkeyPatch):
    asked: list[Work] = []

    class Noting(KeyPlaces):
        def place(self, caller: Caller, work: Work) -> Any:
            asked.append(work)
            return super().place(caller, work)

    monkeypatch.setattr(api.keys, "places", Noting())
    for method, path, headers, _ in KINDS:
        await api.ask(method, path, content=b"{", headers={"content-type": "application/json", **headers})
    assert asked == [work for *_, work in KINDS]


ENTRY = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}
STRANGER = make_token()[0]
SHOWN: dict[str, Any] = {
    "nothing": {},
    "nothing behind the scheme": {"authorization": "Bearer"},
    "an empty key": {"authorization": "Bearer "},
    "another scheme": {"authorization": "Basic c3I6c3I="},
    "the key without a scheme": {"authorization": STRANGER},
    "a key that was never made": {"authorization": f"Bearer {STRANGER}"},
    "another form": {"authorization": "Bearer sr_short_00"},
    "a huge one": {"authorization": "Bearer " + "a" * 10_000},
    "not ASCII": {"authorization": "Bearer sr_é".encode("latin-1")},
    "several": [("authorization", f"Bearer {STRANGER}"), ("authorization", f"Bearer {STRANGER}")],
}


async def test_without_a_good_key_every_address_answers_the_same(api: Door, caplog: pytest.LogCaptureFixture):
    guesses = (f"{api.token[:-1]}{'0' if api.token[-1] != '0' else '1'}", api.token.upper())
    for shown in (*SHOWN.values(), *({"authorization": f"Bearer {guess}"} for guess in guesses)):
        for method, path in (("POST", "/v1/entries"), ("GET", "/v1/nothing"), ("HEAD", "/v1/entries")):
            request = httpx.Request(method, f"http://test{path}", headers=shown, content=b'{"a": NaN}')
            request.headers["idempotency-key"] = "k"
            answer = await api.http.send(request)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert method == "HEAD" or answer.json()["detail"] == "give a key: Authorization: Bearer sr_…"
    assert (api.client.asked, caplog.messages) == ([], []), "what others do wrong is no line of ours"
    database = api.store._database  # pyright: ignore[reportPrivateUsage]
    assert await database.read(text("SELECT 1 FROM api_answers")) == []


async def test_a_key_is_good_until_it_expires_whatever_the_case_of_the_scheme(api: Door):
    for seconds, scheme, status in ((-1, "Bearer ", 401), (3600, "bEARER  ", 202)):
        token = (await api.limited(expires_at=datetime.now(UTC) + timedelta(seconds=seconds))).token
        answer = await api.http.post("/v1/entries", json=ENTRY, headers={"authorization": scheme + token})
        assert answer.status_code == status


async def test_a_revoked_key_is_no_good_within_seconds(api: Door, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(api.keys, "_clock", clock)
    assert (await api.post("/entries", ENTRY)).status_code == 202
    await api.store.revoke_key(api.token.split("_")[1], datetime.now(UTC))
    clock.now = REMEMBERED
    assert (await api.post("/entries", ENTRY)).status_code == 401


async def test_guessed_keys_do_not_keep_the_store_from_known_ones(api: Door, monkeypatch: pytest.MonkeyPatch):
    unseen, stranger, clock = await api.limited(), api.holding(STRANGER), Clock(1000.0)
    for clocked in (api.keys, api.keys._misses):  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(clocked, "_clock", clock)
    with patch.object(api.store, "key", wraps=api.store.key) as look_up:
        for times in (1, 2):  # an unknown key is looked up once within seconds
            for _ in range(3):
                assert (await stranger.post("/entries", ENTRY)).status_code == 401
            assert look_up.call_count == times
            clock.now += REMEMBERED
        assert (await api.post("/entries", ENTRY)).status_code == 202
        for _ in range(MISSES):
            assert await api.keys.verify(make_token()[0]) is None
        assert look_up.call_count == 3 + MISSES
        for holder in (unseen, stranger):
            refused = await holder.post("/entries", ENTRY)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert look_up.call_count == 3 + MISSES
        clock.now += 0.99
        assert (await api.post("/entries", ENTRY)).status_code == 202
        clock.now += 0.01
        assert (await unseen.post("/entries", ENTRY)).status_code == 202


async def test_a_key_is_good_for_its_scopes_and_scenarios(api: Door):
    other = await api.limited("enter", scenarios=["other"])
    for holder, entry, status, why in (
        (await api.limited("read"), ENTRY, 403, "this key lacks the scope 'enter'"),
        (other, ENTRY, 403, "this key is for other scenarios"),
        (other, {**ENTRY, "scenario": "other@3"}, 202, None),
    ):
        answer = await holder.post("/entries", entry)
        assert (answer.status_code, answer.json().get("detail")) == (status, why)


async def test_too_many_requests_of_a_key_have_to_wait(store: Store):
    async with entered(Client(store), rate=2.0) as api:
        other = await api.limited(rate=50.0)
        answers = [await api.post("/entries", ENTRY) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [202] * 4 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) in (1, 2)
        assert (await other.post("/entries", ENTRY)).status_code == 202


async def test_what_an_address_does_not_take_is_told_to_who_has_a_key(api: Door):
    for method in ("HEAD", "OPTIONS", "DELETE"):
        answer = await api.ask(method, "/entries")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_pages_elsewhere_may_use_it_where_they_are_named(store: Store):
    shop = "https://shop.example.com"
    for origins, origin, allowed in (
        ([], shop, None),
        ([shop], shop, shop),
        ([shop], "https://elsewhere.example.com", None),
    ):
        async with entered(Client(store), origins=origins) as api:
            preflight = {"origin": origin, "access-control-request-method": "POST"}
            for answer in (
                await api.http.options("/v1/entries", headers=preflight),
                await api.post("/entries", ENTRY, origin=origin),
            ):
                assert answer.headers.get("access-control-allow-origin") == allowed


async def test_no_cache_keeps_an_answer_and_the_description_is_anybodys(api: Door):
    stranger = api.holding("")
    for caller, method, path, status in (
        (stranger, "GET", "/openapi.json", 200),
        (stranger, "POST", "/openapi.json", 401),
        (stranger, "GET", "/nothing", 401),
        (api, "PUT", "/entries", 405),
        (api, "POST", "/entries", 202),
    ):
        answer = await caller.ask(method, path, **({"json": ENTRY} if path == "/entries" else {}))
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
