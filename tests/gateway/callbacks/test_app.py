"""The way in over HTTP, with sockets on one side and a stand-in for the journeys on the other."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.callbacks.app import MAX_BODY, CallbackEvent, Receiving, Unsettled
from gateway.limits import RateLimit
from runtime.process.http_server import HttpServer
from runtime.public_links import CallbackClaim, Callbacks

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
JOURNEY = "post-purchase/3028687/CGX0094"
ROOT = "0199a1b2-0000-7000-8000-0123456789ab"
DELIVERY = "msg_00112233445566778899aabbccddeeff"
EVENT = {"name": "whatsapp.replied", "properties": {"text": "yes"}}
GONE = {"error": "this callback address has expired, or its journey is over"}
NOBODY = {"error": "there is no such callback address: post to it exactly as it was sent to you"}


@dataclass
class Journeys:
    """Stands in for Temporal: notes what it is told, and answers as the test says."""

    told: list[tuple[CallbackClaim, CallbackEvent, str | None]] = field(
        default_factory=list[tuple[CallbackClaim, CallbackEvent, str | None]]
    )
    answer: bool | Exception | None = True

    async def tell(self, claim: CallbackClaim, event: CallbackEvent, identifier: str | None) -> bool:
        self.told.append((claim, event, identifier))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.sleep(30)
        return bool(self.answer)

    @property
    def ids(self) -> list[str | None]:
        return [identifier for _, _, identifier in self.told]


@dataclass(frozen=True)
class Gateway:
    client: httpx.AsyncClient
    port: int = 0  # if it listens

    def path(self, key: bytes = KEY, *, age: timedelta = timedelta(), workflow_id: str = JOURNEY) -> str:
        callbacks = Callbacks("", [key])
        return callbacks.url(workflow_id, ROOT, DELIVERY, datetime.now(UTC) - age)

    async def post(self, event: Any = EVENT, path: str | None = None, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path or self.path(), json=event, headers=given)

    async def raw(self, head: str, *chunks: bytes, pause: float = 0.0) -> bytes:
        """What is answered to a request that no client would write."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"POST {self.path()} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode())
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read(4096)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()


@pytest.fixture
def journeys() -> Journeys:
    return Journeys()


@pytest.fixture
async def serve(journeys: Journeys) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Gateway:
            transport = httpx.ASGITransport(Receiving(Callbacks("", [KEY]), journeys.tell, **options).application)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            return Gateway(await stack.enter_async_context(client))

        yield start


@pytest.fixture
async def listen(journeys: Journeys) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(head: float = 10.0, **options: Any) -> Gateway:
            listening = await stack.enter_async_context(HttpServer())
            listening.start(Receiving(Callbacks("", [KEY]), journeys.tell, **options).application, patience=head)
            client = httpx.AsyncClient(base_url=listening.url, trust_env=False, verify=False)
            return Gateway(await stack.enter_async_context(client), listening.port)

        yield start


@pytest.fixture
async def gateway(serve: Callable[..., Any]) -> Gateway:
    return await serve()


@pytest.fixture
async def listening(listen: Callable[..., Any]) -> Gateway:
    return await listen()


async def test_an_event_reaches_the_journey_of_the_address_and_is_answered_202(gateway: Gateway, journeys: Journeys):
    answer = await gateway.post()
    assert (answer.status_code, answer.json()) == (202, {})
    [(claim, event, identifier)] = journeys.told
    assert (claim.workflow_id, claim.root, claim.delivery_id) == (JOURNEY, ROOT, DELIVERY)
    assert (event, identifier) == (CallbackEvent(name="whatsapp.replied", properties={"text": "yes"}), None)


IDENTIFIED: list[tuple[dict[str, Any], dict[str, str], str | None]] = [
    (EVENT, {"idempotency_key": '"8e03978e-40d5"'}, "8e03978e-40d5"),
    (EVENT, {"idempotency_key": "8e03978e-40d5"}, "8e03978e-40d5"),
    (EVENT | {"id": "evt_1"}, {"webhook_id": "msg_9", "idempotency_key": "k"}, "evt_1"),
    (EVENT, {"webhook_id": "msg_9", "idempotency_key": "k"}, "msg_9"),
    (EVENT, {"webhook_id": ""}, None),
]


async def test_an_event_that_is_sent_twice_can_be_recognised(gateway: Gateway, journeys: Journeys):
    for event, headers, identifier in IDENTIFIED:
        assert (await gateway.post(event, **headers)).status_code == 202
        assert journeys.ids[-1] == identifier


async def test_an_address_that_is_not_good_does_nothing(gateway: Gateway, journeys: Journeys):
    good, month = gateway.path(), timedelta(days=31)
    nothing = {"error": "there is nothing here"}
    for path, status, said in (
        (gateway.path(OTHER), 404, NOBODY),
        (gateway.path(OTHER, age=month), 404, NOBODY),
        (f"{good}x", 404, NOBODY),
        (f"/callbacks/{'A' * 5000}", 404, NOBODY),
        (gateway.path(age=month), 410, GONE),
        (f"{good}{good}", 404, nothing),
        (f"{good}/", 404, nothing),
        ("/callbacks/", 404, nothing),
    ):
        answer = await gateway.post(path=path)
        assert (answer.status_code, answer.json(), journeys.told) == (status, said, [])
        assert "location" not in answer.headers


async def test_only_post_acts(gateway: Gateway, journeys: Journeys):
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = await gateway.client.request(method, gateway.path())
        assert (answer.status_code, answer.headers["allow"], journeys.told) == (405, "POST", [])


async def test_only_json_is_taken(gateway: Gateway, journeys: Journeys):
    for form, coding, status in (
        ("Application/JSON; charset=utf-8", "", 202),
        ("application/cloudevents+json", "identity", 202),
        ("application/json", "gzip", 415),
        ("text/plain", "", 415),
        ("text/evil+json", "", 415),
        ("", "", 415),
    ):
        headers = {name: value for name, value in (("content-type", form), ("content-encoding", coding)) if value}
        answer = await gateway.client.post(gateway.path(), content=json.dumps(EVENT).encode(), headers=headers)
        assert answer.status_code == status
    assert len(journeys.told) == 2


async def test_what_is_no_event_is_answered_400_in_a_sentence(gateway: Gateway, journeys: Journeys):
    for event, headers in (({"name": "a b"}, {}), (EVENT, {"webhook_id": "x" * 129})):
        answer = await gateway.post(event, **headers)
        assert (answer.status_code, list(answer.json()), journeys.told) == (400, ["error"], [])


async def test_a_body_of_64_kb_is_taken_and_one_more_byte_is_not(gateway: Gateway, journeys: Journeys):
    headers = {"content-type": "application/json"}
    filled = b'{"name": "x"}'.ljust(MAX_BODY)
    assert (await gateway.client.post(gateway.path(), content=filled, headers=headers)).status_code == 202
    assert (await gateway.client.post(gateway.path(), content=filled + b" ", headers=headers)).status_code == 413
    assert len(journeys.told) == 1


async def test_what_comes_is_counted_and_not_what_is_said(listening: Gateway, journeys: Journeys):
    head = "content-type: application/json\r\ntransfer-encoding: chunked"
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    answer = await listening.raw(head, *[chunk] * 3)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert journeys.told == []


async def test_a_body_that_does_not_come_is_not_waited_for(listen: Callable[..., Any], journeys: Journeys):
    gateway = await listen(patience=0.2)
    head = "content-type: application/json\r\ncontent-length: 100"
    # Nor is one that comes drop by drop.
    drops = [b"{"] * 4
    answer = await gateway.raw(head, *drops, pause=0.04)
    # Who writes on to a connection that is closed may lose what was answered before (RFC 9112 §9.6).
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b"reset"
    assert journeys.told == []


async def test_a_request_that_takes_longer_than_its_head_may_is_answered(
    listen: Callable[..., Any], journeys: Journeys
):
    gateway = await listen(head=0.25)
    body = json.dumps(EVENT).encode()
    head = f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}"
    answer = await gateway.raw(head, body[:9], body[9:], pause=0.5)
    assert answer.startswith(b"HTTP/1.1 202")
    assert len(journeys.told) == 1


async def test_a_client_that_goes_away_in_the_middle_is_no_trouble(
    listening: Gateway, journeys: Journeys, caplog: pytest.LogCaptureFixture
):
    _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(f"POST {listening.path()} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode())
    writer.write(b"content-length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    assert (await listening.post()).status_code == 202
    assert len(journeys.told) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_journey_that_is_over_is_gone(gateway: Gateway, journeys: Journeys):
    journeys.answer = False
    answer = await gateway.post()
    assert (answer.status_code, answer.json()) == (410, GONE)


async def test_an_event_that_cannot_be_told_now_may_be_sent_again(
    serve: Callable[..., Any], journeys: Journeys, caplog: pytest.LogCaptureFixture
):
    gateway = await serve(patience=0.2)
    for journeys.answer in (RPCError("secret text", RPCStatusCode.UNAVAILABLE, b""), Unsettled(), None):
        answer = await gateway.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json() == {"error": "the event cannot be taken now: try again"}
    assert "secret" not in caplog.text


async def test_one_address_cannot_drown_its_journey(serve: Callable[..., Any], journeys: Journeys):
    gateway = await serve(pace=RateLimit(2, 60, lambda: 0))
    answers = [await gateway.post() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].headers["retry-after"] == "60"
    assert len(journeys.told) == 2


async def test_health_needs_no_journey(gateway: Gateway):
    answer = await gateway.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})
    assert (await gateway.client.post("/healthz")).status_code == 405


async def test_no_token_and_no_property_is_logged(
    listening: Gateway, journeys: Journeys, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    path = listening.path()
    await listening.post({"name": "whatsapp.replied", "properties": {"text": "zoe.obrien@example.com"}}, path)
    await listening.client.get(path)
    journeys.answer = ValueError("zoe: a bug")
    answer = await listening.post(path=path)
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    journeys.answer = False
    await listening.post(path=path)
    said = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert f"event whatsapp.replied for {JOURNEY} by {DELIVERY}" in said
    assert path.rpartition("/")[2] not in "\n".join(said)
    assert "zoe" not in "\n".join(said)


LINK = "?name=newsletter.confirmed&score=9&q=%3Cscript%3E"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class TestALink:
    """A callback address that names an event, in a message that people read."""

    async def test_opened_shows_a_page_that_asks_and_tells_nobody(self, gateway: Gateway, journeys: Journeys):
        for method in ("HEAD", "GET"):
            answer = await gateway.client.request(method, gateway.path() + LINK)
            assert (answer.status_code, journeys.told) == (200, [])
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
            assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert '<form method="post"><button>Confirm</button></form>' in answer.text
        assert "script" not in answer.text  # neither ours nor anybody's

    async def test_s_button_tells_the_journey_once_however_often_it_is_pressed(
        self, gateway: Gateway, journeys: Journeys
    ):
        path = gateway.path()
        for _ in range(2):
            answer = await gateway.client.post(path + LINK, headers=FORM)
            assert (answer.status_code, "Thank you" in answer.text) == (200, True)
        assert [told for _, told, _ in journeys.told] == [
            CallbackEvent(name="newsletter.confirmed", properties={"score": "9", "q": "<script>"})
        ] * 2
        assert len(set(journeys.ids)) == 1
        await gateway.client.post(path + LINK.replace("=9", "=8"), headers=FORM)
        assert len(set(journeys.ids)) == 2

    async def test_that_leads_nowhere_says_so_to_people(self, gateway: Gateway, journeys: Journeys):
        for path, status, words in (
            (gateway.path(OTHER) + LINK, 404, "does not work"),
            (gateway.path(age=timedelta(days=31)) + LINK, 410, "has expired"),
            (gateway.path() + "?name=a%20b", 400, "does not work"),
        ):
            for method in ("GET", "POST"):
                answer = await gateway.client.request(method, path, headers=FORM)
                assert (answer.status_code, words in answer.text, "<form" in answer.text) == (status, True, False)
        assert journeys.told == []

    async def test_into_a_journey_that_is_over_or_away_says_so_to_people(self, gateway: Gateway, journeys: Journeys):
        for journeys.answer, status, words in (
            (False, 410, "has expired"),
            (Unsettled("it does not stand still"), 503, "try again in a few minutes"),
        ):
            answer = await gateway.client.post(gateway.path() + LINK, headers=FORM)
            assert (answer.status_code, words in answer.text) == (status, True)
        assert answer.headers["retry-after"] == "5"

    async def test_speaks_the_language_of_the_browser(self, gateway: Gateway):
        for asked, sentence in (
            ("fr-FR,fr;q=0.9,en;q=0.8", "Cliquez sur le bouton pour confirmer."),
            ("xx, es", "Pulse el botón para confirmar."),
            ("", "Please press the button to confirm."),
        ):
            answer = await gateway.client.get(gateway.path() + LINK, headers={"accept-language": asked})
            assert f"<p>{sentence}</p>" in answer.text

    async def test_takes_an_event_of_a_program_all_the_same(self, gateway: Gateway, journeys: Journeys):
        answer = await gateway.post(path=gateway.path() + LINK)
        assert (answer.status_code, journeys.told[0][1].name) == (202, "whatsapp.replied")
