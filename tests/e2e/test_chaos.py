"""Forty journeys of three webhooks each, while workers are killed, the receiver is down, the server restarts."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web

from gateway.client import Entered, ScenarioClient
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.store import Attempt, Store
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import Process, forget_the_dead, outcomes, process, publish, sealing
from tests.servers import reserved_port

JOURNEYS = 40
STEPS = ("first", "second", "third")
KILLS = (10, 44, 88)
"""After so many deliveries have arrived, the worker is killed."""
DOWN, RESTART = 36, 72
"""After so many the receiver goes down for a while; after so many Temporal's server is restarted."""

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


def working(address: str, store: str, book: Path, log: Path) -> AbstractAsyncContextManager[Process]:
    """A worker in a process of its own."""
    variables = {"TEMPORAL_ADDRESS": address, "SCENARIO_STORE": store, "SCENARIO_DESTINATIONS": str(book)}
    return process(sys.executable, "worker.py", log=log, environ=variables)


async def enter_all(client: ScenarioClient) -> list[Entered]:
    gate = asyncio.Semaphore(20)

    async def enter(number: int) -> Entered:
        async with gate:
            return await client.enter(
                {"scenario": "chaos", "contact": {"id": number}, "trigger": {"type": "segment"}}, settle=60
            )

    return await asyncio.gather(*(enter(number) for number in range(1, JOURNEYS + 1)))


@pytest.mark.nightly
@pytest.mark.timeout(600)  # it takes a minute, and several where the machine is busy
async def test_chaos_loses_nothing_and_every_duplicate_is_known_by_its_id(
    temporal_program: Path, tmp_path: Path
) -> None:
    del temporal_program  # it is there
    url, log = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}", tmp_path / "worker.log"
    port, book = reserved_port(), tmp_path / "destinations.yaml"

    async with Store.open(url) as store, Unsteady() as receiver:
        book.write_text(SHOP.replace("PORT", str(receiver.port)), "utf-8")
        server = DevServer(tmp_path / "state", port=port)
        await server.__aenter__()
        try:
            client = ScenarioClient(sealing(await connect(server.address, interceptors=[]), store), store)
            await publish(client, tmp_path, CHAOS)
            entering = asyncio.create_task(enter_all(client))

            async def kill_workers() -> None:
                for deliveries in (*KILLS, None):
                    async with working(server.address, url, book, log) as killed:
                        if deliveries is None:
                            await finished.wait()
                            return
                        await receiver.have(deliveries)
                        killed.kill()
                        assert await killed.wait() == -signal.SIGKILL
                    if entering.done():
                        await asyncio.gather(
                            *(forget_the_dead(client, journey) for journey in entering.result()), return_exceptions=True
                        )

            async def take_the_receiver_down() -> None:
                await receiver.have(DOWN)
                await receiver.down()
                await asyncio.sleep(2)
                await receiver.up()

            async def restart_the_server() -> None:
                nonlocal server
                await receiver.have(RESTART)
                await entering
                await server.__aexit__()
                server = DevServer(tmp_path / "state", port=port)
                await server.__aenter__()

            finished = asyncio.Event()
            troubles = asyncio.gather(kill_workers(), take_the_receiver_down(), restart_the_server())
            async with asyncio.timeout(570):
                await receiver.have(JOURNEYS * len(STEPS))
                journeys = await entering
                results: list[dict[str, Any]] = [await journey.result() for journey in journeys]
                finished.set()
                await troubles
        finally:
            await server.__aexit__()
        attempts = await store.deliveries(limit=100_000)

    assert {tuple(outcomes(result)) for result in results} == {tuple((step, "delivered") for step in STEPS)}

    expected = {
        delivery_id(journey.id, journey.run_id, step, 0): [number, step]
        for number, journey in enumerate(journeys, 1)
        for step in STEPS
    }
    assert set(receiver.calls) == set(expected)
    for identifier, bodies in receiver.calls.items():
        [body] = set(bodies)
        assert list(json.loads(body).values()) == [str(expected[identifier][0]), expected[identifier][1]]

    recorded: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        recorded[attempt.delivery_id].append(attempt)
    # In order, and none twice, apart from attempts that sent nothing, which do not count. A worker may die between
    # the receiver's answer and its own word to Temporal: then one attempt more follows.
    for rows in recorded.values():
        for one, following in pairwise(rows):
            numbers = (one.attempt, following.attempt)
            assert numbers[0] < numbers[1] or (numbers[0] == numbers[1] and one.outcome == "retry"), rows
    # A worker that is killed takes with it what it had not written yet: some tenths of a second, or more if it is busy.
    known = sum("delivered" in [row.outcome for row in rows] for rows in recorded.values())
    assert known >= 0.5 * len(expected)
    duplicates = sum(len(bodies) - 1 for bodies in receiver.calls.values())
    sys.stdout.write(f"{len(expected)} deliveries, {duplicates} requests more than that, {known} on record\n")
    assert duplicates
