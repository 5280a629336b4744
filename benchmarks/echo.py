"""A receiver that costs next to nothing, in its own process: `python -m benchmarks.echo MILLISECONDS [EVERY]`.

It prints its port, answers every request with 200 after so many milliseconds, and prints at the end of its standard
input how many requests came over how many connections. With EVERY, one of so many messages is answered with 500 at
first, and it also prints the number of different messages, and of those that came again with another body. No HTTP
library, so that the sender's cost is what is seen.
"""

from __future__ import annotations

import asyncio
import re
import sys
from zlib import crc32

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"ok": true}'
_SORRY = _ANSWER.replace(b"200 OK", b"500 Sorry")
_MESSAGE = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
COUNTS = {"connections": 0, "requests": 0, "different": 0}
SEEN: dict[int, int] = {}
"""The checksum of the body of each message, by the hash of its id."""


class Echo(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, delay: float, every: int) -> None:
        self._delay, self._every = delay, every
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        COUNTS["connections"] += 1

    def data_received(self, data: bytes) -> None:
        """Answers, once a request is complete."""
        self._waiting += data
        head = self._waiting.find(b"\r\n\r\n")
        if head < 0:
            return
        found = _LENGTH.search(self._waiting, 0, head + 2)
        if len(self._waiting) < head + 4 + (int(found[1]) if found else 0):
            return
        answer = self._judge(head) if self._every else _ANSWER
        self._waiting = b""
        COUNTS["requests"] += 1
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer, answer)
        else:
            self._answer(answer)

    def _judge(self, head: int) -> bytes:
        """Remembers a message, and returns the answer to it."""
        message = _MESSAGE.search(self._waiting, 0, head + 2)
        if message is None:
            return _ANSWER
        name, body = hash(message[1]), crc32(self._waiting[head:])
        known = SEEN.setdefault(name, body)
        if known != body:
            COUNTS["different"] += 1
        is_first = len(SEEN) != COUNTS.get("messages", 0)
        COUNTS["messages"] = len(SEEN)
        return _SORRY if is_first and crc32(message[1]) % self._every == 0 else _ANSWER

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def main(milliseconds: float, every: int) -> None:
    """Serves until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(milliseconds / 1000, every), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    more = f" {len(SEEN)} {COUNTS['different']}" if every else ""
    sys.stdout.write(f"{COUNTS['requests']} {COUNTS['connections']}{more}\n")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0))
