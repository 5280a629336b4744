"""A receiver that misbehaves on purpose, in plain asyncio on a port that the system gives.

    async with receiver(answer(503), answer(200)) as there:
        ...                                    # send to there.url("/hook", "http")
        assert [call.method for call in there.calls] == ["POST", "POST"]

Each request gets the next behaviour of the script; the last one goes on forever. A behaviour is a list of pieces of
raw bytes, a pause between them, and how it ends, so that any fault of HTTP can be written down as what is on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

import pytest

from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport


class End(Enum):
    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


@dataclass(frozen=True)
class Behaviour:
    pieces: tuple[bytes, ...] = ()
    pause: float = 0.0
    end: End = End.KEEP
    delay: float = 0.0
    together: asyncio.Barrier | None = None


@dataclass(frozen=True)
class Call:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), strict_parsing=True))

    def header(self, name: str) -> str | None:
        """The only value of a header, or None. Two of a kind are an error."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


@dataclass
class Receiver:
    host: str
    port: int
    connections: int = 0
    """Accepted so far."""
    open: int = 0
    """Open now."""
    calls: list[Call] = field(default_factory=list[Call])
    server_names: list[str | None] = field(default_factory=list[str | None])
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request has arrived."""
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client went away before it was sent everything."""
    pieces: int = 0
    """Sent so far, of all answers."""
    behaviour: Behaviour | None = None
    """Instead of the script's."""

    def url(self, path: str = "/", scheme: str = "http", host: str | None = None) -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"


def raw(*pieces: bytes, pause: float = 0.0, end: End = End.KEEP, delay: float = 0.0) -> Behaviour:
    """Exactly these bytes; `delay` seconds before the first, `pause` seconds between them."""
    return Behaviour(pieces, pause, end, delay)


def head(status: int = 200, *lines: str, length: int | None = None, version: str = "1.1") -> bytes:
    sized = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([f"HTTP/{version} {status} Status", *lines, *sized, "", ""]).encode()


def answer(status: int = 200, body: bytes = b"ok", *lines: str, end: End = End.KEEP, delay: float = 0.0) -> Behaviour:
    return raw(head(status, *lines, length=len(body)) + body, end=end, delay=delay)


def together(number: int) -> Behaviour:
    """A well-behaved answer that is given as soon as so many requests wait for it."""
    return Behaviour((head(length=2) + b"ok",), together=asyncio.Barrier(number))


def silence() -> Behaviour:
    return raw(end=End.HANG)


def reset_before_headers() -> Behaviour:
    return raw(end=End.RESET)


def close_unanswered() -> Behaviour:
    """Takes the request and closes politely, as a server does that restarts or whose keep-alive just ended."""
    return raw(end=End.CLOSE)


def wrong_length(status: int = 200) -> Behaviour:
    return raw(head(status, length=100) + b"begin", end=End.CLOSE)


def malformed() -> Behaviour:
    return raw(b"SSH-2.0-OpenSSH_9.6\r\n", end=End.CLOSE)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[Receiver]:
    there = Receiver(host, port)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.connections += 1
        there.open += 1
        try:
            await handler(reader, writer)
        except ConnectionError:
            there.cut_off.set()
        finally:
            there.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: there.server_names.append(name)
    server = await asyncio.start_server(accept, host, port, ssl=tls)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def receiver(
    *script: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[Receiver]:
    steps = iter(script)
    last = script[-1] if script else answer()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (call := await _read(reader)) is not None:
            there.calls.append(call)
            there.called.set()
            if not await _play(there.behaviour or next(steps, last), there, reader, writer):
                break

    async with serving(converse, tls=tls, host=host, port=port) as there:
        yield there


async def _read(reader: asyncio.StreamReader) -> Call | None:
    try:
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = start.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Call(method, target, headers, await reader.readexactly(length))


async def _play(
    behaviour: Behaviour, there: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await asyncio.sleep(behaviour.delay)
    if behaviour.together is not None:
        await behaviour.together.wait()
    for number, piece in enumerate(behaviour.pieces):
        if number:
            await asyncio.sleep(behaviour.pause)
        writer.write(piece)
        await writer.drain()
        there.pieces += 1
    match behaviour.end:
        case End.HANG:
            await reader.read()  # until the client gives up
        case End.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        case End.KEEP | End.CLOSE:
            pass
    return behaviour.end is End.KEEP


async def failure(transport: Transport, request: Request) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        await transport.send(request)
    return caught.value
