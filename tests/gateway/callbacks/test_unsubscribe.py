"""Where contacts unsubscribe, with a real store, and mocks for journeys and the platform."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.applications import Starlette
from temporalio.service import RPCError, RPCStatusCode

from activities.suppressions import Suppressor
from authoring.errors import BadInput
from gateway.callbacks.app import Receiving
from gateway.callbacks.links import MAX_BODY, Unsubscriptions
from runtime.derived_keys import AddressHashes
from runtime.public_links import Callbacks, Subscriber, Unsubscribing
from runtime.store import Store, StoreUnavailable
from runtime.store.erasures import ERASED
from service.concurrency import RateLimit

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
    """The store, and what stands in for Temporal and for the customer's platform."""

    store: Store
    tell: AsyncMock = field(default_factory=lambda: AsyncMock(return_value=1))
    news: AsyncMock = field(default_factory=AsyncMock)

    def application(self, **options: Any) -> Starlette:
        suppressor = Suppressor(self.store, HASHES, self.news)
        ours = Unsubscriptions(UNSUBSCRIBING, suppressor, self.tell, pauses=(0.0, 0.0), **options)
        return Receiving(Callbacks("", [KEY]), self.tell, more=ours.routes).application

    def serve(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.application(**options)), base_url="http://test")

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """Contact, event, properties and id of each event."""
        return [call.args for call in self.tell.call_args_list]

    async def until_told(self, times: int = 1) -> None:
        async with asyncio.timeout(60):
            while self.tell.call_count < times:
                await asyncio.sleep(0.01)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def http(world: World) -> httpx.AsyncClient:
    return world.serve()


def words(answer: httpx.Response) -> str:
    return re.findall(r"<p>(.*?)</p>", answer.text)[0]


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
    assert not {"set-cookie", "location"} & answer.headers.keys()
    [row] = await world.store.suppressions()
    assert (row.channel, row.source, row.scope, row.evidence) == ("email", "unsub", "newsletter", evidence)
    assert (row.address_hash,) == HASHES.of("email", "ADA@example.com")
    await world.until_told()
    assert world.told[0][:3] == TOLD
    world.news.assert_awaited_once_with(row, "ada@example.com")


async def test_a_link_scanner_unsubscribes_nobody(http: httpx.AsyncClient, world: World):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await http.request(method, PATH)).status_code == 405
    headers = {"cache-control": "no-store", "x-robots-tag": "noindex", "referrer-policy": "no-referrer"}
    for method in ("HEAD", "GET"):
        answer = await http.request(method, PATH)
        assert answer.status_code == 200
        assert headers.items() <= dict(answer.headers).items()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "form-action 'self'; frame-ancestors 'none'; base-uri 'none'" in policy
    assert (await world.store.suppressions(), world.told) == ([], [])
    assert "<script" not in answer.text
    assert '<form method="post">' in answer.text
    assert PATH not in answer.text, "nothing of the address is repeated"
    assert words(answer) == "Press the button to unsubscribe."
    answer = await http.get(PATH, headers={"accept-language": "fr-FR,fr;q=0.9,en;q=0.8"})
    assert words(answer) == "Cliquez sur le bouton pour vous désabonner."


async def test_again_it_is_the_same_and_after_subscribing_it_is_news(http: httpx.AsyncClient, world: World):
    world.tell.side_effect = [AWAY, 1, 1, 1]  # so it is told again
    answers = [await http.post(PATH, data=ONE_CLICK) for _ in range(2)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len(await world.store.suppressions()) == 1
    await world.until_told(3)
    assert len({told[3] for told in world.told}) == 1, "under one id, so that it counts once"
    await world.store.unsuppress("email", HASHES.of("email", "ada@example.com"))
    await http.post(PATH, data=ONE_CLICK)
    await world.until_told(4)
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
    assert len(await world.store.suppressions()) == 1


async def never(*_: Any) -> None:
    await asyncio.Event().wait()


async def test_where_the_store_is_away_the_sender_comes_again(world: World, monkeypatch: pytest.MonkeyPatch):
    http = world.serve(patience=0.05)
    for error in (StoreUnavailable("The store x cannot be used now: check it."), never):
        with monkeypatch.context() as away:
            away.setattr(world.store, "suppress", AsyncMock(side_effect=error))
            answer = await http.post(PATH, data=ONE_CLICK)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            assert words(answer) == "This is not possible now. Please try again in a few minutes."
            assert (await http.post(FORGED, data=ONE_CLICK)).status_code == 200, "of which nobody asks the store"
    assert (await world.store.suppressions(), world.told) == ([], [])
    assert (await world.serve().post(PATH, data=ONE_CLICK)).status_code == 200
    assert len(await world.store.suppressions()) == 1


async def until_logged(caplog: pytest.LogCaptureFixture, text: str, times: int = 1) -> None:
    async with asyncio.timeout(60):
        while caplog.text.count(text) < times:
            await asyncio.sleep(0.01)


async def test_who_has_unsubscribed_is_so_although_no_journey_can_be_told(
    http: httpx.AsyncClient, world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    world.tell.side_effect = [AWAY, AWAY]
    assert (await http.post(PATH, data=ONE_CLICK)).status_code == 200
    assert len(await world.store.suppressions()) == 1
    await until_logged(caplog, "were not told", times=2)
    assert "the journeys of contact 3028687 were not told of contact.unsubscribed: UNAVAILABLE" in caplog.text
    await world.store.unsuppress("email", HASHES.of("email", "ada@example.com"))
    world.tell.side_effect = [BadInput(ERASED)]
    assert (await http.post(PATH, data=ONE_CLICK)).status_code == 200
    await until_logged(caplog, "were not told of contact.unsubscribed: the contact was erased")
    assert (len(await world.store.suppressions()), world.news.call_count) == (1, 2)
    assert "Traceback" not in caplog.text


async def test_bodies_are_bounded(http: httpx.AsyncClient, world: World):
    async def slow() -> AsyncIterator[bytes]:
        yield b"List-"
        await asyncio.Event().wait()

    assert (await http.post(PATH, content=b"x" * (MAX_BODY + 1))).status_code == 413
    assert (await world.serve(patience=0.2).post(PATH, content=slow())).status_code == 408
    assert await world.store.suppressions() == []


async def test_a_token_is_not_used_without_end(world: World):
    http = world.serve(pace=RateLimit(2, 60.0))
    answers = [await http.post(PATH, data=ONE_CLICK) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    other = UNSUBSCRIBING.url(Subscriber("sms", "", "1", "+33612345678"))
    assert (await http.post(other)).status_code == 200
    assert {row.channel for row in await world.store.suppressions()} == {"email", "sms"}


async def test_no_log_says_whose_address_it_was(
    http: httpx.AsyncClient, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.DEBUG)
    await http.post(PATH, data=ONE_CLICK)
    error = StoreUnavailable("The store x cannot be used now: check it.")
    monkeypatch.setattr(world.store, "suppress", AsyncMock(side_effect=error))
    await http.post(PATH, data=ONE_CLICK)
    await http.get(PATH)
    names = ("gateway", "uvicorn", "runtime")
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith(names))
    assert "contact 3028687 unsubscribed from newsletter by email" in ours
    assert "contact 3028687 cannot unsubscribe now: The store x cannot be used now" in ours
    assert not any(part in ours for part in (PATH.rpartition("/")[2], "ada", "example.com"))
