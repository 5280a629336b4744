"""A scenario of three webhooks, their destination, and a receiver that fails now and then."""

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
class Unsteady:
    """A receiver that answers 503 now and then, sometimes hangs up after it has read a request, and can be down."""

    port: int = field(default_factory=reserved_port)
    calls: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict[str, list[bytes]](list))
    taken: set[str] = field(default_factory=set[str])
    answers: Counter[str] = field(default_factory=Counter[str])
    times: list[float] = field(default_factory=list[float])
    more: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    runner: web.AppRunner | None = None

    async def up(self) -> None:
        """Begins to listen."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._receive)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def down(self) -> None:
        """Refuses connections from now on."""
        if self.runner is not None:
            await self.runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def _receive(self, request: web.Request) -> web.Response:
        identifier, number = request.headers["webhook-id"], next(self.numbers)
        body = await request.read()
        self.calls[identifier].append(body)
        if number % 13 == 5:
            self.answers["503"] += 1
            return web.Response(status=503, body=body)
        answer = "200"
        if number % 17 == 7 and request.transport is not None:
            request.transport.abort()  # it was read, and nobody will know
            answer = "none"
        self.answers[answer] += 1
        if answer == "200":
            self.times.append(time.time())
        self.taken.add(identifier)
        self.more.set()
        return web.Response()

    async def have(self, deliveries: int) -> None:
        """Waits until so many deliveries have arrived."""
        while len(self.taken) < deliveries:
            self.more.clear()
            await self.more.wait()
