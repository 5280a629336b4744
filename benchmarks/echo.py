"""A minimal receiver in its own process: `python -m benchmarks.echo MILLISECONDS [EVERY]`.

It prints its port and responds to every request with 200 after the delay. When its standard input ends, it prints the
numbers of requests and connections. With EVERY, the first request of one in EVERY messages gets a 500. It then also
prints the number of distinct messages, and of repeated requests with another body. It uses no HTTP library, so that
measurements show the sender's cost.
"""

from __future__ import annotations

import asyncio
import re
import sys
from zlib import crc32

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"ok": true}'
_ERROR = _OK.replace(b"200 OK", b"500 Sorry")
_MESSAGE = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
COUNTS = {"connections": 0, "requests": 0, "different": 0}
SEEN: dict[int, int] = {}
"""Checksum of each message's first body, by the hash of the message's id."""


class Echo(asyncio.Protocol):
    """A connection, without pipelining: each request follows the response to the previous one."""

    def __init__(self, delay: float, every: int) -> None:
        self._delay, self._every = delay, every
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        COUNTS["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        found = _LENGTH.search(self._received, 0, head + 2)
        if len(self._received) < head + 4 + (int(found[1]) if found else 0):
            return
        response = self._respond(head) if self._every else _OK
        self._received = b""
        COUNTS["requests"] += 1
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._write, response)
        else:
            self._write(response)

    def _respond(self, head: int) -> bytes:
        """Record a message, and return the response to it."""
        message = _MESSAGE.search(self._received, 0, head + 2)
        if message is None:
            return _OK
        name, body = hash(message[1]), crc32(self._received[head:])
        known = SEEN.setdefault(name, body)
        if known != body:
            COUNTS["different"] += 1
        is_first = len(SEEN) != COUNTS.get("messages", 0)
        COUNTS["messages"] = len(SEEN)
        return _ERROR if is_first and crc32(message[1]) % self._every == 0 else _OK

    def _write(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


async def main(milliseconds: float, every: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(milliseconds / 1000, every), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    more = f" {len(SEEN)} {COUNTS['different']}" if every else ""
    sys.stdout.write(f"{COUNTS['requests']} {COUNTS['connections']}{more}\n")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0))
