"""Rates per destination on the real server: two workers, two destinations, measured at the receivers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue, TaskQueueConfig
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle

from activities.webhook.http.transport import Transport
from activities.webhook.route import Diverted
from activities.webhook.server_rates import RateKeeper
from tests.e2e.conftest import Server
from tests.e2e.flood import ManyWebhooks, Receivers, scheduler, sender


@pytest.fixture
async def client(server: Server) -> Client:
    return await server.connect()


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
    client: Client, server: Server, queue: str
):
    other = await server.connect()  # a client serves a queue with one worker
    await RateKeeper(client, queue).apply(100, {"slow": 10, "quick": 30})
    async with Receivers({"slow": 1.0}) as receivers, Transport() as transport:
        routes = Diverted(receivers.url)
        async with scheduler(client, queue):
            # The slow one's 60 are queued first: the other must not wait for them.
            work: list[WorkflowHandle[Any, list[int]]] = []
            for name, number in (("slow", 60), ("quick", 90)):
                handle = await client.start_workflow(
                    ManyWebhooks.run, args=[name, number, queue], id=f"{queue}-{name}", task_queue=f"journeys-{queue}"
                )
                async with asyncio.timeout(60):
                    while len((await handle.describe()).raw_description.pending_activities) < number:
                        await asyncio.sleep(0.05)
                work.append(handle)
            async with sender(client, queue, transport, routes), sender(other, queue, transport, routes):
                for handle in work:
                    assert set(await handle.result()) == {1}  # waiting costs no attempt

    for name, number, rate in (("slow", 60, 10), ("quick", 90, 30)):
        by_second = receivers.by_second(name)
        assert sum(by_second) == number, by_second  # nothing was lost, nothing sent twice
        # A second's worth is saved up and comes at once; from then on the rate is kept, or less on a busy machine.
        took = receivers.got[name][-1] - receivers.got[name][0]
        assert took > 0.9 * (number - rate) / rate, by_second
    # Neither has waited for the other: the quick one's first second is over before the slow one has had all of its own.
    assert receivers.got["quick"][30] < receivers.got["slow"][59]


async def test_rates_change_while_deliveries_wait_for_them(client: Client, queue: str):
    keeper = RateKeeper(client, queue)
    await keeper.apply(10, {"quick": 0.2})
    async with (
        Receivers() as receivers,
        Transport() as transport,
        scheduler(client, queue),
        sender(client, queue, transport, Diverted(receivers.url)),
    ):
        handle = await client.start_workflow(
            ManyWebhooks.run, args=["quick", 30, queue], id=queue, task_queue=f"journeys-{queue}"
        )
        await receivers.called("quick", 1)
        await keeper.apply(10, {"quick": 50})
        await handle.result()  # at one every five seconds it would take longer than a test may
    assert len(receivers.got["quick"]) == 30


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
    async with asyncio.timeout(60):  # the server may show what was there before for a moment
        while dict((await config_of(client, queue)).fairness_weight_overrides) != {"wax": pytest.approx(0.2)}:
            await asyncio.sleep(0.05)
