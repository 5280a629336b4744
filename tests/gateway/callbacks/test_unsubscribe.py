"""Where contacts unsubscribe, with stand-ins for store and journeys."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities.suppressions import Suppressor
from gateway.callbacks.app import Receiving
from gateway.callbacks.unsubscribe import MAX_BODY, Unsubscriptions
from gateway.errors import BadInput
from gateway.limits import RateLimit
from runtime.derived_keys import AddressHashes
from runtime.process.http_server import HttpServer
from runtime.public_links import Callbacks, Subscriber, Unsubscribing
from runtime.store import StoreUnavailable
from runtime.store.erasures import ERASED
from scenario.policies.suppression import Suppression

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HASHES, UNSUBSCRIBING = AddressHashes([KEY]), Unsubscribing("", [KEY])
ADA = Subscriber("email", "newsletter", "3028687", "ada@example.com")
PATH = UNSUBSCRIBING.url(ADA)
FORGED = Unsubscribing("", [OTHER]).url(ADA)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
AWAY = RPCError("no", RPCStatusCode.UNAVAILABLE, b"")
TOLD = ("3028687", "contact.unsubscribed", {"channel": "email", "scope": "newsletter"})


@dataclass
class World:
    """Stands in for the store, which may be away or never answer (True), and for Temporal, which may be deaf."""

    rows: list[Suppression] = field(default_factory=list[Suppression])
    told: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    platform: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    away: Exception | bool = False
    deaf: list[Exception] = field(default_factory=list[Exception])

    async def suppress(self, suppression: Suppression) -> bool:
        if isinstance(self.away, Exception):
            raise self.away
        if self.away:
            await asyncio.sleep(30)
        if any((row.address_hash, row.scope) == (suppression.address_hash, suppression.scope) for row in self.rows):
            return False
        self.rows.append(suppression)
        return True

    async def suppressed(self, channel: str, addresses: Sequence[str]) -> list[Suppression]:
        return [row for row in self.rows if row.channel == channel and row.address_hash in addresses]

    async def record_soft_bounce(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        raise AssertionError("nothing bounces")

    async def news(self, suppression: Suppression, address: str) -> None:
        self.platform.append((suppression.source, suppression.scope, address))

    async def tell(self, contact: str, name: str, properties: Mapping[str, Any], identifier: str) -> int:
        if self.deaf:
            raise self.deaf.pop(0)
        self.told.append((contact, name, properties, identifier))
        return 1


def receiving(world: World, **options: Any) -> Receiving:
    suppressor = Suppressor(world, HASHES, world.news)
    ours = Unsubscriptions(UNSUBSCRIBING, suppressor, world.tell, pauses=(0.0, 0.0), **options)
    return Receiving(Callbacks("", [KEY]), world.tell, more=ours.routes)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def serve(world: World) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(receiving(world, **options).application)
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))

        yield start


@pytest.fixture
async def http(serve: Callable[..., Any]) -> httpx.AsyncClient:
    return await serve()


def words(answer: httpx.Response) -> str:
    return re.findall(r"<p>(.*?)</p>", answer.text)[0]


async def until_told(world: World, times: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(world.told) < times:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        ({"data": ONE_CLICK}, "one click"),
        ({"files": {"List-Unsubscribe": (None, "One-Click")}}, "one click"),
        ({"content": b"\xff\x00 whatever", "headers": {"content-type": "application/json"}}, "one click"),
        ({"data": {**ONE_CLICK, "by": "page"}}, "a button on the page"),
    ],
    ids=["urlencoded", "multipart", "nonsense", "page"],
)
async def test_one_click_unsubscribes_whatever_the_body(
    http: httpx.AsyncClient, world: World, body: dict[str, Any], evidence: str
):
    answer = await http.post(PATH, **body)
    assert (answer.status_code, words(answer)) == (200, "You are unsubscribed. You can close this page.")
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    [row] = world.rows
    assert (row.channel, row.source, row.scope, row.evidence) == ("email", "unsub", "newsletter", evidence)
    assert (row.address_hash,) == HASHES.of("email", "ADA@example.com")
    await until_told(world)
    assert world.told[0][:3] == TOLD
    assert world.platform == [("unsub", "newsletter", "ada@example.com")]


async def test_a_link_scanner_unsubscribes_nobody(http: httpx.AsyncClient, world: World):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await http.request(method, PATH)).status_code == 405
    for method in ("HEAD", "GET"):
        answer = await http.request(method, PATH)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "form-action 'self'; frame-ancestors 'none'; base-uri 'none'" in policy
    assert (world.rows, world.told) == ([], [])
    assert "<script" not in answer.text
    assert '<form method="post">' in answer.text
    assert PATH not in answer.text, "nothing of the address is repeated"
    assert words(answer) == "Press the button to unsubscribe."
    answer = await http.get(PATH, headers={"accept-language": "fr-FR,fr;q=0.9,en;q=0.8"})
    assert words(answer) == "Cliquez sur le bouton pour vous désabonner."


async def test_again_it_is_the_same_and_after_subscribing_it_is_news(http: httpx.AsyncClient, world: World):
    world.deaf = [AWAY]  # so it is told again
    answers = [await http.post(PATH, data=ONE_CLICK) for _ in range(2)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len(world.rows) == 1
    await until_told(world, 2)
    assert len({told[3] for told in world.told}) == 1, "under one id, so that it counts once"
    world.rows.clear()
    await http.post(PATH, data=ONE_CLICK)
    await until_told(world, 3)
    assert len({told[3] for told in world.told}) == 2


async def test_an_address_that_was_never_given_out_is_answered_the_same_and_does_nothing(
    http: httpx.AsyncClient, world: World
):
    good = await http.post(PATH, data=ONE_CLICK)
    for path in (FORGED, PATH[:-1], PATH + "x", "/u/" + "A" * 5000, "/u/u1" + "A" * 80):
        answer = await http.post(path, data=ONE_CLICK)
        assert (answer.status_code, answer.content) == (good.status_code, good.content)
        assert {**answer.headers, "date": ""} == {**good.headers, "date": ""}
        # A person is told, before a button is pressed.
        opened = await http.get(path)
        said = "This link does not work: open it exactly as it was sent to you."
        assert (opened.status_code, words(opened), "<form" in opened.text) == (404, said, False)
    for beside in ("/u/", "/u", PATH + "/", PATH + "/x"):
        assert (await http.post(beside, data=ONE_CLICK)).status_code == 404
    assert len(world.rows) == 1


async def test_where_the_store_is_away_the_sender_comes_again(serve: Callable[..., Any], world: World):
    http = await serve(patience=0.05)
    for world.away in (StoreUnavailable("The store x cannot be used now: check it."), True):
        answer = await http.post(PATH, data=ONE_CLICK)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert words(answer) == "This is not possible now. Please try again in a few minutes."
        assert (await http.post(FORGED, data=ONE_CLICK)).status_code == 200, "of which nobody asks the store"
    assert (world.rows, world.told) == ([], [])
    world.away = False
    assert (await http.post(PATH, data=ONE_CLICK)).status_code == 200
    assert len(world.rows) == 1


async def test_who_has_unsubscribed_is_so_although_no_journey_can_be_told(
    http: httpx.AsyncClient, world: World, caplog: pytest.LogCaptureFixture
):
    world.deaf = [AWAY, AWAY]
    assert (await http.post(PATH, data=ONE_CLICK)).status_code == 200
    assert len(world.rows) == 1
    async with asyncio.timeout(60):
        while caplog.text.count("were not told") < 2:
            await asyncio.sleep(0.01)
    assert "the journeys of contact 3028687 were not told of contact.unsubscribed: UNAVAILABLE" in caplog.text
    assert world.told == []


async def test_an_erased_contact_unsubscribes_as_anybody(
    http: httpx.AsyncClient, world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    world.deaf = [BadInput(ERASED)]
    assert (await http.post(PATH, data=ONE_CLICK)).status_code == 200
    async with asyncio.timeout(60):
        while "were not told of contact.unsubscribed: the contact was erased" not in caplog.text:
            await asyncio.sleep(0.01)
    assert (len(world.rows), len(world.platform), world.told) == (1, 1, [])
    assert "Traceback" not in caplog.text


async def test_bodies_are_bounded(http: httpx.AsyncClient, world: World):
    assert (await http.post(PATH, content=b"x" * (MAX_BODY + 1))).status_code == 413
    async with HttpServer() as server:
        server.start(receiving(world, patience=0.2).application)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 26\r\n\r\nList-".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
    assert world.rows == []


async def test_a_token_is_not_used_without_end(serve: Callable[..., Any], world: World):
    http = await serve(pace=RateLimit(2, 60.0))
    answers = [await http.post(PATH, data=ONE_CLICK) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    other = UNSUBSCRIBING.url(Subscriber("sms", "", "1", "+33612345678"))
    assert (await http.post(other)).status_code == 200
    assert [row.channel for row in world.rows] == ["email", "sms"]


async def test_no_log_says_whose_address_it_was(
    http: httpx.AsyncClient, world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    await http.post(PATH, data=ONE_CLICK)
    world.away = StoreUnavailable("The store x cannot be used now: check it.")
    await http.post(PATH, data=ONE_CLICK)
    await http.get(PATH)
    ours = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("gateway", "uvicorn", "runtime"))
    )
    assert "contact 3028687 unsubscribed from newsletter by email" in ours
    assert "contact 3028687 cannot unsubscribe now: The store x cannot be used now" in ours
    assert not any(part in ours for part in (PATH.rpartition("/")[2], "ada", "example.com"))
