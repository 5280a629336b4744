"""A load of ten times the capacity, during which every channel must deliver and accepted exits must prevent sending.

Run by hand, from the project's folder: ``python -m benchmarks.overload``. A journey has a webhook, an SMS, an e-mail
and a webhook. The bench first measures how many journeys a second one worker completes. It then enters ten times as
many a second, a tenth of them transactional. A third of the webhooks fails twice. A third of the contacts has an exit
event at a random time. The exit status is 1 if a channel stalled, if a journey did not end as it should, or if an
attempt sent something that was not in flight when the exit of its journey was accepted. ``--seconds 1 --slow 5`` is
short, with a server that takes 5 s to record that an SMS is about to be sent.
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
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.process.shutdown import exit_process
from runtime.process.workers import running_workers
from runtime.settings import Settings
from runtime.store import Attempt
from service.client import ScenarioClient
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
LOAD_FACTOR: Final = 10
REFUSALS: Final = 2
"""Responses 503 to each third webhook. With more, the breaker would open."""
LOG_SECONDS: Final = 3.0
"""Seconds until all attempts are in the log."""
CAPACITY_JOURNEYS: Final = 200
"""Number of journeys to measure the capacity. No webhook fails meanwhile."""
IN_FLIGHT_SECONDS: Final = 0.25
"""Seconds before its start in which an attempt counts as in flight. A first attempt may miss an exit in this time."""
STALL_SECONDS: Final = 15.0
"""Seconds without a delivery after which a channel counts as stalled, in addition to `--slow`."""


class RefusingReceiver:
    """A receiver of webhooks. While `unsteady`, it responds 503 to the first requests of each third webhook."""

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
        fails = self.unsteady and int(delivery[-1], 16) % 3 == 0 and self._seen[delivery] <= REFUSALS
        return web.Response(status=503 if fails else 200)


class SlowServer(Interceptor):
    """A client interceptor that imitates a server which is slow to record that a message is about to be sent."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @override
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _SlowHeartbeat(next, self._seconds)


class _SlowHeartbeat(OutboundInterceptor):
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
    """Entered journeys, some of which get an exit event.

    Attributes:
        client: The client that enters them.
        journeys: Ids of all journeys, by purpose.
        accepted: Time at which the exit of a journey was accepted, by its id.
        wrong: Ids of the journeys that neither finished nor exited.
    """

    client: ScenarioClient
    journeys: dict[str, list[str]] = field(default_factory=lambda: {purpose: [] for purpose in PURPOSES})
    accepted: dict[str, datetime] = field(default_factory=dict[str, datetime])
    wrong: list[str] = field(default_factory=list[str])

    async def run_journey(self, number: int, purpose: str, leaves: float | None = None) -> None:
        """Enter a contact, send its exit event after `leaves` seconds unless None, and wait for the journey's end."""
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
        """Return all attempts of the journeys."""
        ids = [one for some in self.journeys.values() for one in some]
        return [attempt for one in ids for attempt in await self.client.store.deliveries(one)]

    async def lifetimes(self, journeys: Collection[str], outcome: str = "finished") -> list[tuple[datetime, datetime]]:
        """Return admission and end of the journeys with this outcome, from the store: the client sees an end later."""
        found = [await self.client.store.entry(one) for one in journeys]
        return [(one.admitted_at, one.ended_at) for one in found if one and one.ended_at and one.outcome == outcome]


def has_sent(attempt: Attempt) -> bool:
    """Return True if the attempt sent something."""
    return attempt.outcome == "delivered" or attempt.status is not None


async def measure_capacity(client: ScenarioClient) -> float:
    """Return how many journeys a second the worker completes."""
    load, began = Load(client), datetime.now(UTC)
    await asyncio.gather(*(load.run_journey(-number, "marketing") for number in range(1, CAPACITY_JOURNEYS + 1)))
    ends = [end for _, end in await load.lifetimes(load.journeys["marketing"])]
    return len(ends) / (max(ends) - began).total_seconds()


async def run_overload(client: ScenarioClient, count: int, capacity: float, chance: random.Random) -> Load:
    """Enter contacts at ten times the capacity, and wait for the end of all journeys."""
    load, lasts, began = Load(client), count / capacity, time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(1, count + 1):
            purpose = PURPOSES[chance.random() < 0.1]
            leaves = chance.uniform(0, lasts) if chance.random() < 1 / 3 else None
            group.create_task(load.run_journey(number, purpose, leaves))
            await asyncio.sleep(max(0.0, began + number / (LOAD_FACTOR * capacity) - time.monotonic()))
    return load


def longest_gap(attempts: Sequence[Attempt]) -> float:
    """Return the longest time without a delivery, between the first and the last, in seconds."""
    ends = sorted(one.started_at + timedelta(milliseconds=one.milliseconds) for one in attempts)
    return max(((after - before).total_seconds() for before, after in itertools.pairwise(ends)), default=0.0)


async def report(load: Load, slow: float) -> list[str]:
    """Print the results. Return a sentence for each failure."""
    wrong = [f"{len(load.wrong)} journeys neither finished nor exited"] if load.wrong else []
    made = await load.attempts()
    for channel in [name for name, one in CHANNELS.items() if one.queue != JOURNEYS]:
        of_it = [one for one in made if one.channel == channel]
        delivered = [one for one in of_it if one.outcome == "delivered"]
        unsent, gap = Counter(one.error for one in of_it if not has_sent(one)), longest_gap(delivered)
        say(f"{channel:13} {len(delivered):5} delivered, at most {gap:.1f} s without one; sent nothing: {dict(unsent)}")
        if not delivered or gap > STALL_SECONDS + slow:
            wrong.append(f"{channel} stalled")
    for purpose, journeys in load.journeys.items():
        took = [(end - admitted).total_seconds() for admitted, end in await load.lifetimes(journeys)]
        middle = f"{statistics.median(took):.1f} s" if took else "none"
        say(f"{purpose:13} {len(took):5} finished of {len(journeys)}, median {middle} from admission")
    after = [
        (one.started_at - accepted).total_seconds()
        for one in made
        if has_sent(one) and (accepted := load.accepted.get(one.workflow_id)) and one.started_at > accepted
    ]
    late = sorted(seconds for seconds in after if seconds > IN_FLIGHT_SECONDS)
    say(f"{len(load.accepted)} exits were accepted; {len(after)} attempts began later and sent, {len(late)} too late")
    if late:
        wrong.append(f"{len(late)} attempts were late, by up to {late[-1]:.2f} s")
    return wrong


async def measure(seconds: float, slow: float, seed: int) -> int:
    """Run the benchmark. Return the exit status."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(DevServer(folder / "state"))
        inbox = await stack.enter_async_context(Inbox(folder / "inbox"))
        receiver = RefusingReceiver()
        await receiver.start(stack)
        settings = Settings(
            store=SecretStr(f"sqlite+aiosqlite:///{folder / 'store.db'}"),
            smtp=SecretStr(inbox.url),
            mail_from=SENDER,
            sms=SecretStr("local:"),
        )
        temporal = await connect(server.address, interceptors=[])
        await search_attributes.ensure(temporal)
        working = await connect(server.address, interceptors=[SlowServer(slow)] if slow else [])
        opened = await stack.enter_async_context(services(settings, inbox=inbox.folder, routes=Diverted(receiver.url)))
        client = ScenarioClient(temporal, opened.store)
        for purpose in PURPOSES:
            await publish(client, folder, SCENARIO.replace("PURPOSE", purpose))
        await stack.enter_async_context(running_workers(await workers(working, opened, QUEUES)))

        capacity = await measure_capacity(client)
        count = round(LOAD_FACTOR * capacity * seconds)
        say(f"capacity {capacity:.1f} journeys a second; {count} enter at {LOAD_FACTOR * capacity:.0f} a second")
        receiver.unsteady = True
        began = time.monotonic()
        load = await run_overload(client, count, capacity, random.Random(seed))
        say(f"all journeys ended after {time.monotonic() - began:.0f} s")
        await asyncio.sleep(LOG_SECONDS)
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
