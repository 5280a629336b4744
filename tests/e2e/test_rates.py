"""Rates per destination on the real server: two workers, two destinations, measured at the receivers."""

from __future__ import annotations

import asyncio
import statistics
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest
from aiohttp import web
from temporalio import workflow
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue, TaskQueueConfig
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import Priority
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.content import Content
from activities.signatures import SEND_WEBHOOK, Delivery
from activities.webhook.activity import Webhooks
from activities.webhook.rates import RateKeeper
from activities.webhook.route import Diverted
from activities.webhook.transport import Transport
from runtime.connection import connect
from runtime.devserver import DevServer
from runtime.store.deliveries import Attempt
from scenario import model

DAWDLE = 1.0
"""Seconds that the slow receiver takes."""


@workflow.defn(name="ManyWebhooks")
class ManyWebhooks:
    """Schedules webhooks to one destination, as many at once as it is told."""

    @workflow.run
    async def run(self, destination: str, number: int, queue: str) -> None:
        under_way = [
            workflow.start_activity(
                SEND_WEBHOOK.name,
                Delivery(id=f"msg_{n}", scenario="many@1", step=destination, contact="1", now="2026-01-01T00:00:00Z"),
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=20),
                priority=Priority(fairness_key=destination),
            )
            for n in range(number)
        ]
        for delivery in under_way:
            await delivery


class Receivers:
    """Both receivers: the moments at which each got its requests."""

    def __init__(self) -> None:
        self.got: dict[str, list[float]] = defaultdict(list)
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
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        host = request.match_info["destination"]
        self.got[host].append(asyncio.get_running_loop().time())
        if host.startswith("slow"):
            await asyncio.sleep(DAWDLE)
        return web.Response()

    def by_second(self, host: str) -> list[int]:
        """Requests in each second since the first."""
        moments = self.got[host]
        counts = Counter(int(moment - moments[0]) for moment in moments)
        return [counts[second] for second in range(max(counts) + 1)]


class Book:
    """Published scenarios, of which each step is a webhook to the destination that its id names."""

    async def step(self, name: str, version: int, step: str) -> model.Webhook:
        return model.Webhook.model_validate({"webhook": step, "to": step, "path": "/hook", "body": {"a": 1}})


class Forgetful:
    """Keeps no record of attempts."""

    def put(self, attempt: Attempt) -> None:
        pass


@pytest.fixture
async def client(server: DevServer) -> Client:
    return await connect(server.address, interceptors=[])


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with Receivers() as made:
        yield made


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own: what is set for it stays on the server."""
    return f"webhooks-{uuid.uuid4().hex[:8]}"


async def config_of(client: Client, queue: str) -> TaskQueueConfig:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_config=True,
    )
    return (await client.workflow_service.describe_task_queue(request)).config


async def test_two_destinations_get_their_own_rates_from_all_workers_together(
    client: Client, server: DevServer, queue: str, receivers: Receivers
):
    other = await connect(server.address, interceptors=[])  # a client serves a queue with one worker
    await RateKeeper(client, queue).apply(100, {"slow": 10, "quick": 30})
    async with Transport() as transport:

        def worker(of: Client) -> Worker:
            content = cast("Content", Book())
            webhooks = Webhooks(content, transport, dict[str, str], Forgetful(), Diverted(receivers.url))
            return Worker(of, task_queue=queue, activities=[webhooks.send_webhook], max_concurrent_activities=100)

        journeys = f"journeys-{queue}"
        async with (
            Worker(client, task_queue=journeys, workflows=[ManyWebhooks], workflow_runner=UnsandboxedWorkflowRunner()),
            worker(client),
            worker(other),
        ):
            # The slow one's 60 are queued first: the other must not wait for them.
            work: list[Any] = []
            for host, number in (("slow", 60), ("quick", 180)):
                work.append(
                    await client.start_workflow(
                        ManyWebhooks.run, args=[host, number, queue], id=f"{queue}-{host}", task_queue=journeys
                    )
                )
            for handle in work:
                await handle.result()

    for host, number, rate in (("slow", 60, 10), ("quick", 180, 30)):
        by_second = receivers.by_second(host)
        assert sum(by_second) == number, by_second  # nothing was lost, nothing sent twice
        # A second's worth is saved up and comes at once; from then on the rate is kept.
        assert by_second[0] <= 2 * rate * 1.2, by_second
        steady = by_second[1:-1]
        assert statistics.mean(steady) == pytest.approx(rate, rel=0.15), by_second
        assert max(steady) <= rate * 1.6, by_second
        assert min(steady) >= rate * 0.4, by_second
        # Number ÷ rate, less the second that was saved up: neither has waited for the other.
        assert len(by_second) <= number / rate + 1, by_second


async def test_rates_change_while_deliveries_wait_for_them(client: Client, queue: str, receivers: Receivers):
    keeper = RateKeeper(client, queue)
    await keeper.apply(100, {"quick": 2})
    async with Transport() as transport:
        webhooks = Webhooks(cast("Content", Book()), transport, dict[str, str], Forgetful(), Diverted(receivers.url))
        journeys = f"journeys-{queue}"
        async with (
            Worker(client, task_queue=journeys, workflows=[ManyWebhooks], workflow_runner=UnsandboxedWorkflowRunner()),
            Worker(client, task_queue=queue, activities=[webhooks.send_webhook]),
        ):
            handle = await client.start_workflow(
                ManyWebhooks.run, args=["quick", 80, queue], id=queue, task_queue=journeys
            )
            async with asyncio.timeout(10):
                while len(receivers.got["quick"]) < 4:
                    await asyncio.sleep(0.02)
            before = asyncio.get_running_loop().time()
            await keeper.apply(100, {"quick": 50})
            await handle.result()
    # At two a second the rest would have taken 38 seconds.
    assert receivers.got["quick"][-1] - before < 6


async def test_the_server_keeps_what_the_destinations_say(client: Client, queue: str):
    """What is there afterwards, with two workers at once, and the same again, which writes nothing."""
    rates: dict[str, float] = {"wax": 10, "push": 300, "slow": 0.5}
    keepers = [RateKeeper(client, queue), RateKeeper(client, queue)]
    assert all(await asyncio.gather(*(keeper.apply(100, rates) for keeper in keepers)))
    config = await config_of(client, queue)
    assert config.fairness_keys_rate_limit_default.rate_limit.requests_per_second == 100
    assert config.fairness_keys_rate_limit_default.metadata.reason == "destinations.yaml"
    weights = {key: round(weight, 5) for key, weight in config.fairness_weight_overrides.items()}
    assert weights == {"wax": 0.1, "push": 3, "slow": 0.005}

    await RateKeeper(client, queue).apply(100, rates)
    again = await config_of(client, queue)
    first, second = (seen.fairness_keys_rate_limit_default.metadata.update_time for seen in (config, again))
    assert first == second

    await keepers[0].apply(100, {"wax": 20})
    assert {
        key: round(weight, 5) for key, weight in (await config_of(client, queue)).fairness_weight_overrides.items()
    } == {"wax": 0.2}
