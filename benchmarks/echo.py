"""A receiver that costs next to nothing, in a process of its own: `python -m benchmarks.echo MILLISECONDS`.

It prints its port, answers every request with 200 after so many milliseconds, and prints at the end of its standard
input how many requests came over how many connections. No HTTP library, so that the sender's cost is what is seen.
"""

from __future__ import annotations

import asyncio
import re
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"ok": true}'
COUNTS = {"connections": 0, "requests": 0}


class Echo(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
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
        self._waiting = b""
        COUNTS["requests"] += 1
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def main(milliseconds: float) -> None:
    """Serves until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(milliseconds / 1000), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    sys.stdout.write(f"{COUNTS['requests']} {COUNTS['connections']}\n")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
