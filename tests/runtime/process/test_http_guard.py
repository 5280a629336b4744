"""Nobody who opens connections or writes what is not HTTP keeps anybody else out, or fills the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runtime.process.http_server import SPARE, HttpServer, MalformedCounter

PLACES = 3
GET = b"GET /%s HTTP/1.1\r\nhost: x\r\n%s\r\n"


@dataclass
class Site:
    """A server whose page `slow` is answered when the test says so."""

    listening: HttpServer
    connections: AsyncExitStack
    go: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list[str])

    def start(self, drain: int = 15) -> None:
        async def page(request: Request) -> Response:
            self.seen.append(request.url.path)
            if request.url.path == "/slow":
                await self.go.wait()
            return Response("here")

        pages = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
        self.listening.start(pages, requests=PLACES, drain=drain)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listening.port)
        self.connections.callback(writer.close)
        return reader, writer

    async def ask(self, what: bytes) -> asyncio.StreamReader:
        reader, writer = await self.connect()
        writer.write(what)
        await writer.drain()
        return reader

    async def status(self, path: bytes) -> int:
        return await _status(await self.ask(GET % (path, b"")))

    async def occupy(self, requests: int) -> list[asyncio.StreamReader]:
        asked = [await self.ask(GET % (b"slow", b"")) for _ in range(requests)]
        while self.seen.count("/slow") < requests:
            await asyncio.sleep(0.001)
        return asked


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as connections, HttpServer() as listening:
        made = Site(listening, connections)
        made.start()
        yield made
        made.go.set()


async def test_connections_on_which_nothing_comes_keep_nobody_out(site: Site):
    slow = await site.occupy(1)
    for _ in range(2 * (PLACES + SPARE)):
        await site.connect()
    assert await site.status(b"healthz") == 200
    assert await site.status(b"callbacks/x") == 200
    site.go.set()
    assert [await _status(reader) for reader in slow] == [200], "what is under way is not cut off"


async def test_half_a_head_keeps_nobody_out_either(site: Site):
    halves = [await site.ask(b"GET / HTTP/1.1\r\nhost: x\r\n") for _ in range(3 * (PLACES + SPARE))]
    assert await site.status(b"healthz") == 200
    assert site.listening.connections <= PLACES + SPARE + 1
    assert [await reader.read() for reader in halves[:2]] == [b"", b""], "the oldest were closed"


async def test_too_many_requests_are_told_so_and_the_process_is_still_alive(site: Site):
    slow = await site.occupy(PLACES)
    refused = await (await site.ask(GET % (b"callbacks/x", b""))).read()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5\r\n" in refused
    assert refused.endswith(b'{"error":"too many requests are in progress: try again"}')
    assert await site.status(b"healthz") == 200
    site.go.set()
    assert [await _status(reader) for reader in slow] == [200] * PLACES
    assert await site.status(b"callbacks/x") == 200


@pytest.mark.parametrize(
    "lengths",
    [b"content-length: 4\r\ntransfer-encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"],
)
async def test_a_request_with_two_lengths_is_refused_and_what_follows_it_is_not_read(site: Site, lengths: bytes):
    hidden = GET % (b"hidden", b"")
    answer = await (await site.ask(b"POST / HTTP/1.1\r\nhost: x\r\n%s\r\n0\r\n\r\n%s" % (lengths, hidden))).read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b'{"error":"give content-length or transfer-encoding, not both"}')
    assert site.seen == []


LARGE = 16 * 1024 * 1024
"""More bytes than a connection's buffers hold."""


@pytest.mark.parametrize("way", ["streamed", "at once", "then broken"])
async def test_whoever_does_not_read_the_answer_is_left(caplog: pytest.LogCaptureFixture, way: str):
    ended = asyncio.Event()

    async def page(_request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(LARGE // 2**16):
                    yield bytes(2**16)
            finally:
                ended.set()

        if way == "at once":
            ended.set()
            return Response(bytes(LARGE))
        return StreamingResponse(body())

    async with HttpServer() as listening:
        listening.start(Starlette(routes=[Route("/", page)]), patience=0.02)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, limit=2**10)
        writer.write(GET % (b"", b""))
        await reader.readline()
        if way == "then broken":  # what follows is no HTTP: the connection is closed with its answer not taken
            writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        await ended.wait()
        while listening.connections:
            await asyncio.sleep(0.001)
        writer.close()
    assert not [record for record in caplog.records if record.exc_info]


CHUNKED = b"POST /%s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_what_is_not_http_is_counted_and_not_logged_one_by_one(site: Site, caplog: pytest.LogCaptureFixture):
    for what in [b"\x16\x03\x01 no HTTP\r\n\r\n"] * 20 + [b"GET / HTTP/1.1\r\n: x\r\n\r\n"] * 20:
        assert (await (await site.ask(what)).read()).startswith(b"HTTP/1.1 400 ")
    # Behind the head of a request that has been answered, that is under way, and that has not been seen yet.
    for path, status in [("", 200), ("slow", 400)]:
        reader, writer = await site.connect()
        writer.write(CHUNKED % path.encode())
        while f"/{path}" not in site.seen:
            await asyncio.sleep(0.001)
        writer.write(b"no chunk\r\n")
        answer = await reader.read()
        assert (answer.count(b"HTTP/1.1 "), answer[:12]) == (1, b"HTTP/1.1 %d" % status)
    assert await _status(await site.ask(CHUNKED % b"" + b"no chunk\r\n")) == 400
    assert _warnings(caplog) == []
    site.go.set()
    await site.listening.__aexit__()
    assert _warnings(caplog) == ["43 malformed requests were refused within 60 s"]


async def test_they_are_told_at_intervals(caplog: pytest.LogCaptureFixture):
    malformed = MalformedCounter(every=0.001)
    for count in (3, 2):
        for _ in range(count):
            malformed.add()
        while not (_warnings(caplog) and _warnings(caplog)[-1].startswith(f"{count} ")):
            await asyncio.sleep(0.001)
    malformed.tell()
    assert len(_warnings(caplog)) == 2


async def test_whoever_wants_another_protocol_gets_http_and_no_line_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
):
    reader = await site.ask(GET % (b"", b"connection: upgrade\r\nupgrade: websocket\r\n"))
    assert await _status(reader) == 200
    assert _warnings(caplog) == []


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_under_way_at_the_stop_may_come_again(caplog: pytest.LogCaptureFixture, begun: bool):
    waiting = asyncio.Event()

    async def page(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"begun"
            waiting.set()
            await asyncio.Event().wait()

        if not begun:
            waiting.set()
            await asyncio.Event().wait()
        return StreamingResponse(body())

    async with HttpServer() as listening:
        listening.start(Starlette(routes=[Route("/slow", page)]), drain=0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(GET % (b"slow", b""))
        await waiting.wait()
    answer = await reader.read()
    writer.close()
    if begun:
        assert answer.startswith(b"HTTP/1.1 200 ")
    else:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b'{"error":"this server is stopping: try again"}')
    assert not [record for record in caplog.records if record.exc_info]
