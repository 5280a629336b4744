"""A scenario of three webhooks, their destination, and a receiver with intermittent failures."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.servers import reserved_port

STEPS = ("first", "second", "third")
CHAOS = """
scenario: chaos
trigger: segment
steps:
""" + "".join(
    f"""
  - webhook: {step}
    to: shop
    path: /{step}
    body: {{contact: "{{{{ contact.id }}}}", step: {step}}}
    timeout: 1s
    retry: {{initial_interval: 1s, backoff_coefficient: 1.5, maximum_interval: 3s}}
"""
    for step in STEPS
)

SHOP = """
destinations:
  shop:
    url: http://127.0.0.1:PORT/hooks
    ports: [PORT]
    allow_http: true
    allow_private: true
    breaker: {pause: 2s}
"""


@dataclass
class UnsteadyReceiver:
    """A receiver that sometimes responds 503, or drops the connection after reading a request. It can be stopped.

    Attributes:
        calls: Bodies of all requests, by delivery id.
        taken: Ids of deliveries that it accepted, even if the sender got no response.
        answers: Number of responses, by status; "none" if the connection was dropped.
        times: Times of the responses 200, in seconds since 1970.
        more: Set when a delivery was accepted.
        numbers: Numbers of the requests, which decide the failures.
    """

    port: int = field(default_factory=reserved_port)
    calls: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict[str, list[bytes]](list))
    taken: set[str] = field(default_factory=set[str])
    answers: Counter[str] = field(default_factory=Counter[str])
    times: list[float] = field(default_factory=list[float])
    more: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._receive)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Stop listening, so that connections are refused."""
        if self.runner is not None:
            await self.runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _receive(self, request: web.Request) -> web.Response:
        identifier, number = request.headers["webhook-id"], next(self.numbers)
        body = await request.read()
        self.calls[identifier].append(body)
        if number % 13 == 5:
            self.answers["503"] += 1
            return web.Response(status=503, body=body)
        answer = "200"
        if number % 17 == 7 and request.transport is not None:
            request.transport.abort()  # read, but the sender cannot tell
            answer = "none"
        self.answers[answer] += 1
        if answer == "200":
            self.times.append(time.time())
        self.taken.add(identifier)
        self.more.set()
        return web.Response()

    async def wait_for(self, deliveries: int) -> None:
        """Wait until this number of deliveries has arrived."""
        while len(self.taken) < deliveries:
            self.more.clear()
            await self.more.wait()
