"""Many webhooks to a few destinations, without the store and the journeys: a workflow, receivers, and a worker."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

from aiohttp import web
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import Priority, RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typing_extensions import override

from activities.channel_registry import WEBHOOK
from activities.content import Content, LoadedVersion
from activities.interface import Delivery, Sent
from activities.webhook.activity import Webhooks
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter, Limits
from activities.webhook.route import Diverted, Route
from runtime.store.deliveries import Attempt
from scenario.model.scenario import Scenario
from scenario.steps.webhook import Webhook

ATTEMPTS = 3
"""So many attempts each delivery has."""


@workflow.defn(name="ManyWebhooks")
class ManyWebhooks:
    """Schedules webhooks to one destination, as many at once as it is told."""

    @workflow.run
    async def run(self, destination: str, number: int, queue: str) -> list[int]:
        """Returns the number of the attempt that each was delivered by."""
        under_way = [
            workflow.start_activity(
                WEBHOOK.activity,
                Delivery(
                    id=f"msg_{n}",
                    scenario="many@1",
                    step=destination,
                    contact="1",
                    now="2026-01-01T00:00:00Z",
                    attempts=ATTEMPTS,
                    timeout=60.0,
                ),
                result_type=Sent,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=100),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=0.3), backoff_coefficient=1.5),
                priority=Priority(fairness_key=destination),
            )
            for n in range(number)
        ]
        return [(await delivery).attempt for delivery in under_way]


class Receivers:
    """What destinations are: one server, a folder for each.

    Args:
        takes: Seconds that a request takes, by destination; no time otherwise.
        busy: Destinations that answer nobody before `free` is set.

    Attributes:
        got: The moments at which each destination got its requests.
        most: The most requests that each had under way at once.
        down: Destinations that answer 503.
        free: Lets the busy ones answer.
    """

    def __init__(self, takes: Mapping[str, float] | None = None, busy: Collection[str] = ()) -> None:
        self.got: dict[str, list[float]] = defaultdict(list)
        self.most: Counter[str] = Counter()
        self.down: set[str] = set()
        self.free = asyncio.Event()
        self._takes, self._busy = takes or {}, busy
        self._now: Counter[str] = Counter()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Receivers:
        application = web.Application()
        application.router.add_post("/{destination}/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.free.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        name = request.match_info["destination"]
        self.got[name].append(asyncio.get_running_loop().time())
        status = 503 if name in self.down else 200  # as it was when the request came
        self._now[name] += 1
        self.most[name] = max(self.most[name], self._now[name])
        try:
            await asyncio.sleep(self._takes.get(name, 0.0))
            if name in self._busy:
                await self.free.wait()
        finally:
            self._now[name] -= 1
        return web.Response(status=status)

    async def called(self, name: str, times: int) -> None:
        """Waits until a destination has got so many requests."""
        async with asyncio.timeout(60):
            while len(self.got[name]) < times:
                await asyncio.sleep(0.01)

    def by_second(self, name: str) -> list[int]:
        """Requests in each second since the first."""
        moments = self.got[name]
        counts = Counter(int(moment - moments[0]) for moment in moments)
        return [counts[second] for second in range(max(counts) + 1)]


ANY = Scenario.model_validate({"scenario": "flood", "trigger": "segment", "steps": [{"exit": "a"}]})


class Book(Content):
    """Published scenarios, of which each step is a webhook to the destination that its id names."""

    def __init__(self) -> None:
        pass

    @override
    async def open(self, scenario: str, version: int | None = None) -> LoadedVersion:
        return LoadedVersion(name=scenario, version=version or 1, scenario=ANY, plan={}, steps={})

    @override
    async def step(self, scenario: str, version: int, step: str) -> Webhook:
        return Webhook.model_validate({"webhook": step, "to": step, "path": "/hook", "body": {"a": 1}})

    @override
    async def secrets(self, scenario: str, version: int, step: str) -> frozenset[str]:
        del scenario, version, step
        return frozenset()


class Forgetful:
    """Keeps no record of attempts."""

    def put(self, attempt: Attempt) -> None:
        pass


class Gently(Diverted):
    """Leads webhooks to the receivers, under limits by destination."""

    def __init__(self, base: str, limits: Mapping[str, Limits]) -> None:
        super().__init__(base)
        self._limits = limits

    def named(self, name: str) -> Route:
        return replace(super().named(name), limits=self._limits.get(name, Limits()))


def sender(client: Client, queue: str, transport: Transport, routes: Diverted) -> Worker:
    """A worker that sends webhooks."""
    content = Book()
    webhooks = Webhooks(content, transport, dict[str, str], Forgetful(), routes, limiter=Limiter())
    return Worker(client, task_queue=queue, activities=[webhooks.send_webhook], max_concurrent_activities=200)


def scheduler(client: Client, queue: str) -> Worker:
    """A worker that schedules them."""
    return Worker(
        client,
        task_queue=f"journeys-{queue}",
        workflows=[ManyWebhooks],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
