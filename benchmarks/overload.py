"""Ten times the capacity: does every channel keep moving, and is nothing sent after an accepted exit?

Run by hand, from the project's folder: ``python -m benchmarks.overload``. A journey has a webhook, an SMS, an e-mail
and a webhook. The bench first measures how many journeys a second one worker completes. It then enters ten times as
many a second, a tenth of them transactional. A third of the webhooks fails twice, and a third of the contacts is told
to leave, at any time. The exit status is 1 if a channel stalled, if a journey did not end as it should, or if an
attempt sent something that was not in flight when the exit of its journey was accepted. ``--seconds 1 --slow 5`` is
short, with a server that takes 5 s to record that an SMS is about to leave.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from aiohttp import web
from pydantic import SecretStr
from temporalio.client import HeartbeatAsyncActivityInput, Interceptor, OutboundInterceptor
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import override

from activities.channel_registry import CHANNELS, QUEUES
from activities.dependencies import services
from activities.interface import JOURNEYS
from activities.webhook.route import Diverted
from benchmarks.stops import say
from gateway.client import ScenarioClient
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.process.shutdown import exit_process
from runtime.process.workers import running_workers
from runtime.settings import Settings
from runtime.store import Attempt
from tests.e2e.conftest import SENDER, publish
from worker import workers

SCENARIO: Final = """
scenario: PURPOSE
trigger: segment
purpose: PURPOSE
exit:
  - event: order.returned
    if: event.n == 1
steps:
  - webhook: first
    url: https://hooks.example.com/first
    body: {contact: "{{ contact.id }}"}
    retry: {initial_interval: 2s, backoff_coefficient: 1}
  - sms: second
    text: "{{ contact.id }}"
  - email: third
    subject: "{{ contact.id }}"
    text: hi
  - webhook: fourth
    url: https://hooks.example.com/fourth
    body: {contact: "{{ contact.id }}"}
    retry: {initial_interval: 2s, backoff_coefficient: 1}
"""
PURPOSES: Final = ("marketing", "transactional")
TIMES: Final = 10
REFUSED: Final = 2
"""Requests of each third webhook that are answered 503. With more, the breaker would open."""
WRITTEN: Final = 3.0
"""Seconds after which all attempts are in the log."""
BEFORE: Final = 200
"""Journeys that measure the capacity. No webhook fails meanwhile."""
IN_FLIGHT: Final = 0.25
"""Seconds for which an attempt counts as in flight before it begins: within them, the first one does not ask."""
STALLED: Final = 15.0
"""Seconds without a delivery after which a channel counts as stalled, beside the time that the server is slow."""


class Receiver:
    """A receiver of webhooks: while it is unsteady, it answers the first requests of each third webhook with 503."""

    def __init__(self) -> None:
        self.url, self.unsteady = "", False
        self._seen: Counter[str] = Counter()

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen until the stack is closed."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.Response:
        delivery = request.headers["webhook-id"]
        self._seen[delivery] += 1
        fails = self.unsteady and int(delivery[-1], 16) % 3 == 0 and self._seen[delivery] <= REFUSED
        return web.Response(status=503 if fails else 200)


class Slow(Interceptor):
    """A server that takes long to record that a message is about to leave."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @override
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Slowly(next, self._seconds)


class _Slowly(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, seconds: float) -> None:
        super().__init__(following)
        self._seconds = seconds

    @override
    async def heartbeat_async_activity(self, input: HeartbeatAsyncActivityInput) -> None:
        given = cast("timedelta", input.rpc_timeout).total_seconds()
        await asyncio.sleep(min(given, self._seconds))
        if given < self._seconds:
            raise RPCError("deadline", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        await super().heartbeat_async_activity(input)


@dataclass
class Load:
    """Journeys that are entered, of which some are told to leave.

    Attributes:
        client: The client that enters them.
        journeys: Ids of all of them, by purpose.
        accepted: Time at which the exit of a journey was accepted.
        wrong: Ids of those that neither finished nor left.
    """

    client: ScenarioClient
    journeys: dict[str, list[str]] = field(default_factory=lambda: {purpose: [] for purpose in PURPOSES})
    accepted: dict[str, datetime] = field(default_factory=dict[str, datetime])
    wrong: list[str] = field(default_factory=list[str])

    async def one(self, number: int, purpose: str, leaves: float | None = None) -> None:
        """Enter a contact, tell it to leave after some seconds if it is to, and wait for the journey's end."""
        contact = {"id": number, "cellphone": "+33612345678", "email": f"{number}@example.com"}
        entry = {"scenario": purpose, "contact": contact, "trigger": {"type": "segment"}}
        journey = await self.client.enter(entry, settle=0)
        self.journeys[purpose].append(journey.id)
        if leaves is not None:
            await asyncio.sleep(leaves)
            heard = await self.client.event(str(number), "order.returned", {"n": 1})
            if heard.told or heard.pending:
                self.accepted[journey.id] = datetime.now(UTC)
        result = await journey.result()
        if (result["outcome"], result["reason"]) not in (("finished", ""), ("exited", "event order.returned")):
            self.wrong.append(journey.id)

    async def attempts(self) -> list[Attempt]:
        """All attempts of the journeys."""
        ids = [one for some in self.journeys.values() for one in some]
        return [attempt for one in ids for attempt in await self.client.store.deliveries(one)]

    async def lifetimes(self, journeys: Collection[str], outcome: str = "finished") -> list[tuple[datetime, datetime]]:
        """The admission and the end of those journeys that ended so. The client sees an end later than the store."""
        found = [await self.client.store.entry(one) for one in journeys]
        return [(one.admitted_at, one.ended_at) for one in found if one and one.ended_at and one.outcome == outcome]


def sent(attempt: Attempt) -> bool:
    """Whether something left with an attempt."""
    return attempt.outcome == "delivered" or attempt.status is not None


async def capacity_of(client: ScenarioClient) -> float:
    """Measure how many journeys a second are completed."""
    load, began = Load(client), datetime.now(UTC)
    await asyncio.gather(*(load.one(-number, "marketing") for number in range(1, BEFORE + 1)))
    ends = [end for _, end in await load.lifetimes(load.journeys["marketing"])]
    return len(ends) / (max(ends) - began).total_seconds()


async def exceed(client: ScenarioClient, count: int, capacity: float, chance: random.Random) -> Load:
    """Enter contacts at ten times the capacity, and wait for the end of all journeys."""
    load, lasts, began = Load(client), count / capacity, time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(1, count + 1):
            purpose = PURPOSES[chance.random() < 0.1]
            leaves = chance.uniform(0, lasts) if chance.random() < 1 / 3 else None
            group.create_task(load.one(number, purpose, leaves))
            await asyncio.sleep(max(0.0, began + number / (TIMES * capacity) - time.monotonic()))
    return load


def longest_gap(attempts: Sequence[Attempt]) -> float:
    """The longest time, in seconds, without a delivery between the first and the last."""
    ends = sorted(one.started_at + timedelta(milliseconds=one.milliseconds) for one in attempts)
    return max(((after - before).total_seconds() for before, after in itertools.pairwise(ends)), default=0.0)


async def report(load: Load, slow: float) -> list[str]:
    """Print what the load came to. Return a sentence for each thing that is wrong."""
    wrong = [f"{len(load.wrong)} journeys neither finished nor left"] if load.wrong else []
    made = await load.attempts()
    for channel in [name for name, one in CHANNELS.items() if one.queue != JOURNEYS]:
        of_it = [one for one in made if one.channel == channel]
        delivered = [one for one in of_it if one.outcome == "delivered"]
        unsent, gap = Counter(one.error for one in of_it if not sent(one)), longest_gap(delivered)
        say(f"{channel:13} {len(delivered):5} delivered, at most {gap:.1f} s without one; sent nothing: {dict(unsent)}")
        if not delivered or gap > STALLED + slow:
            wrong.append(f"{channel} stalled")
    for purpose, journeys in load.journeys.items():
        took = [(end - admitted).total_seconds() for admitted, end in await load.lifetimes(journeys)]
        middle = f"{statistics.median(took):.1f} s" if took else "none"
        say(f"{purpose:13} {len(took):5} finished of {len(journeys)}, median {middle} from admission")
    after = [
        (one.started_at - accepted).total_seconds()
        for one in made
        if sent(one) and (accepted := load.accepted.get(one.workflow_id)) and one.started_at > accepted
    ]
    late = sorted(seconds for seconds in after if seconds > IN_FLIGHT)
    say(f"{len(load.accepted)} exits were accepted; {len(after)} attempts began later and sent, {len(late)} too late")
    if late:
        wrong.append(f"{len(late)} attempts were late, by up to {late[-1]:.2f} s")
    return wrong


async def measure(seconds: float, slow: float, seed: int) -> int:
    """Measure, report, and return the exit status."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(DevServer(folder / "state"))
        inbox = await stack.enter_async_context(Inbox(folder / "inbox"))
        receiver = Receiver()
        await receiver.start(stack)
        settings = Settings(
            store=SecretStr(f"sqlite+aiosqlite:///{folder / 'store.db'}"),
            smtp=SecretStr(inbox.url),
            mail_from=SENDER,
            sms=SecretStr("local:"),
        )
        temporal = await connect(server.address, interceptors=[])
        await search_attributes.ensure(temporal)
        working = await connect(server.address, interceptors=[Slow(slow)] if slow else [])
        opened = await stack.enter_async_context(services(settings, inbox=inbox.folder, routes=Diverted(receiver.url)))
        client = ScenarioClient(temporal, opened.store)
        for purpose in PURPOSES:
            await publish(client, folder, SCENARIO.replace("PURPOSE", purpose))
        await stack.enter_async_context(running_workers(await workers(working, opened, QUEUES)))

        capacity = await capacity_of(client)
        count = round(TIMES * capacity * seconds)
        say(f"capacity {capacity:.1f} journeys a second; {count} enter at {TIMES * capacity:.0f} a second")
        receiver.unsteady = True
        began = time.monotonic()
        load = await exceed(client, count, capacity, random.Random(seed))
        say(f"all over after {time.monotonic() - began:.0f} s")
        await asyncio.sleep(WRITTEN)
        wrong = await report(load, slow)
    for sentence in wrong:
        say(f"WRONG: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long contacts enter")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds that Temporal takes to record an SMS")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    status = asyncio.run(measure(given.seconds, given.slow, given.seed))
    sys.stdout.flush()
    exit_process(status, None)
