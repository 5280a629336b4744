"""Nobody who sends too slowly, too much or nonsense keeps the API or the pages from others, or fills memory or log."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.client import Client

from gateway.api import limits
from gateway.serving import Front, Parts, parts_of
from runtime.process.http_server import HttpServer
from runtime.store import Store
from service.client import ScenarioClient
from tests.factories import add_key, present

MARK = "zoe-obrien"
"""Stands in for what is somebody's own: no log may have it."""
PLACES = 8
SLOW = 0.3
"""Seconds that a body has to arrive in."""
MUCH = 32 * 1024 * 1024
"""More bytes than anybody may send."""


@dataclass
class Target:
    """A gateway under attack."""

    server: HttpServer
    key: str
    connections: AsyncExitStack

    def head(self, path: str, *headers: str, method: str = "POST") -> bytes:
        """The head of a request, by somebody with a key where the API wants one."""
        form = "application/json" if path.startswith("/v1/") else "application/x-www-form-urlencoded"
        lines = (f"{method} {path} HTTP/1.1", "host: x", f"authorization: Bearer {self.key}", f"content-type: {form}")
        return "\r\n".join((*lines, *headers, "", "")).encode("latin-1")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.connections.callback(writer.close)
        return reader, writer

    async def ask(self, what: bytes) -> bytes:
        """The answer to a request, as far as it comes."""
        reader, writer = await self.connect()
        writer.write(what)
        return await answer(reader)

    async def alive(self) -> bool:
        return b'{"alive":true}' in await self.ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The whole answer: its end is that of the connection, or of the body whose length it says."""
    head = b""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return head + await reader.readexactly(int(length.partition(b":")[2]))
    except asyncio.IncompleteReadError as error:
        return head + error.partial
    except (StopIteration, ConnectionError):
        return head


def status(answered: bytes) -> int:
    return int(answered.split(b" ", 2)[1])


@pytest.fixture
async def target(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Target]:
    token, _ = await add_key(store, rate=10_000.0)
    monkeypatch.setitem(present(limits.Bounds.__init__.__kwdefaults__), "patience", SLOW)
    client = ScenarioClient(AsyncMock(Client, namespace="default", identity="x", data_converter=Mock()), store)
    async with AsyncExitStack() as connections, HttpServer() as server:
        server.start(Front(parts_of(client, store, Parts(api=True, pages=True))), requests=PLACES)
        yield Target(server, token, connections)


FORMS = ("/v1/entries", "/sign-in")


@pytest.mark.parametrize("path", FORMS)
async def test_bodies_that_trickle_are_cut_off_and_others_are_served_meanwhile(target: Target, path: str):
    slow = [await target.connect() for _ in range(PLACES)]
    for _, writer in slow:
        writer.write(target.head(path, "content-length: 1000") + b'{"')

    async def trickle() -> None:
        while True:
            for _, writer in slow:
                writer.write(b"a")
            await asyncio.sleep(SLOW / 20)

    async with asyncio.TaskGroup() as tasks:
        trickling = tasks.create_task(trickle())
        while status(await target.ask(target.head("/v1/nothing", method="GET"))) != 503:
            await asyncio.sleep(0.001)  # until all places are taken
        assert await target.alive()
        answers = [await answer(reader) for reader, _ in slow]
        trickling.cancel()
    # Who writes on to a connection that is closed may lose what was answered before (RFC 9112 §9.6).
    assert {status(answered) for answered in answers if answered} == {408}
    assert status(await target.ask(target.head("/v1/nothing", method="GET"))) == 404


async def test_what_is_too_large_is_read_to_the_bound_and_no_further(target: Target):
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    for path in FORMS:
        answered = await target.ask(target.head(path, f"content-length: {MUCH}"))  # it says so
        assert status(answered) == 413
        assert b"connection: close" in answered.lower()
        reader, writer = await target.connect()
        writer.write(target.head(path, "transfer-encoding: chunked"))
        sent = 0
        try:
            while sent < MUCH and not reader.at_eof():
                writer.write(chunk)
                sent += len(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        assert sent < MUCH
        answered = await answer(reader)
        assert not answered or status(answered) == 413  # to send on after it is answered may end the connection first
        assert await target.alive()


async def test_what_all_bodies_have_together_is_bounded_too():
    kept, go = 0, asyncio.Event()

    async def keep(request: Request) -> Response:
        nonlocal kept
        await request.body()
        kept += 1
        await go.wait()
        return Response()

    guarded = limits.Bounds(Starlette(routes=[Route("/", keep, methods=["POST"])]), together=1000)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://here") as client:
        first = [asyncio.create_task(client.post("/", content=bytes(400))) for _ in range(2)]
        while kept < 2:
            await asyncio.sleep(0.001)
        refused = await client.post("/", content=bytes(400))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        go.set()
        assert [answered.status_code for answered in await asyncio.gather(*first)] == [200, 200]
        assert (await client.post("/", content=bytes(900))).status_code == 200


# `tests/gateway/api/test_middleware.py` has more of them, without a socket.
NONSENSE = {
    "a large number": ("/v1/entries", b'{"scenario": 1e999999}'),
    "many keys": ("/v1/entries", json.dumps({f"k{number}": MARK for number in range(20_000)}).encode()),
    "many fields": ("/sign-in", b"&".join(b"key=%d" % number for number in range(2_000))),
    "no form": ("/sign-in", bytes(range(256))),
    "a stranger's form": ("/sign-out", b"token=" + MARK.encode()),
}


HEADS = {
    "no length": (b"POST", b"/v1/entries", b"content-length: -1\r\n", 400),
    "packed": (b"POST", b"/v1/entries", b"content-length: 2\r\ncontent-encoding: gzip\r\n", 415),
    "a packed form": (b"POST", b"/sign-in", b"content-length: 2\r\ncontent-encoding: gzip\r\n", 415),
    "a large head": (b"GET", b"/v1/nothing", b"cookie: session=%s\r\n" % (b"a" * 70_000), 431),
    "many heads": (b"GET", b"/v1/nothing", b"cookie: session=a\r\n" * 4_000, 431),
    "a long path": (b"GET", b"/v1/" + b"a" * 12_000, b"", 404),
    "bytes in a path": (b"GET", b"/v1/%ff%fe%00", b"", 404),
    "bytes in a page's path": (b"GET", b"/%ff%fe%00", b"", 404),
    "another method": (b"TRACE", b"/v1/entries", b"", 405),
    "a method of their own": (b"FROBNICATE", b"/sign-in", b"", 405),
    "another origin": (b"OPTIONS", b"/v1/entries", b"origin: https://evil.example.com\r\n", 405),
    "a bad cookie": (b"GET", b"/", b"cookie: session=\xff.\xb2.\xff; session=1.2.3\r\n", 303),
    "a bad key": (b"GET", b"/v1/nothing", b"authorization: Bearer \xff\xfe\r\n", 401),
    "no HTTP": (b"\x16\x03\x01", b"/", b"", 400),
}


async def test_nonsense_is_refused(target: Target, caplog: pytest.LogCaptureFixture):
    for method, path, headers, expected in HEADS.values():
        key = b"" if b"authorization" in headers else b"authorization: Bearer %s\r\n" % target.key.encode()
        answered = await target.ask(b"%s %s HTTP/1.1\r\nhost: x\r\n%s%s\r\n{}" % (method, path, key, headers))
        assert status(answered) == expected, answered
        assert answered.count(b"HTTP/1.1 ") == 1
        assert b"access-control" not in answered.lower()
    for path, body in NONSENSE.values():
        answered = await target.ask(target.head(path, f"content-length: {len(body)}") + body)
        assert 300 <= status(answered) < 500, answered
        assert MARK.encode() not in answered
    # What others do wrong is no line of ours.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
