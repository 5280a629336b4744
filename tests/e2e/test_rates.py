"""Rates per destination on the real server: two workers, two destinations, measured at the workers."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import Priority
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.webhook.server_rates import RateKeeper
from tests.e2e.conftest import Server


@workflow.defn(name="ManyDeliveries")
class ManyDeliveries:
    @workflow.run
    async def run(self, destination: str, number: int, queue: str) -> None:
        await asyncio.gather(
            *(
                workflow.start_activity(
                    "send",
                    destination,
                    task_queue=queue,
                    start_to_close_timeout=timedelta(minutes=1),
                    priority=Priority(fairness_key=destination),
                )
                for _ in range(number)
            )
        )


@pytest.fixture
async def client(server: Server) -> Client:
    return await server.connect()


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own: what is set for it stays on the server."""
    return f"webhooks-{uuid.uuid4().hex[:8]}"


async def test_two_destinations_get_their_own_rates_from_all_workers_together(
    client: Client, server: Server, queue: str
):
    came: dict[str, list[float]] = defaultdict(list)

    @activity.defn
    async def send(destination: str) -> None:
        came[destination].append(asyncio.get_running_loop().time())

    other = await server.connect()  # a client serves a queue with one worker
    await RateKeeper(client, queue).apply(100, {"slow": 10, "quick": 30})
    numbers = {"slow": 30, "quick": 60}
    scheduler = Worker(
        client, task_queue=f"journeys-{queue}", workflows=[ManyDeliveries], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with scheduler:
        for name, number in numbers.items():  # the slow one's are queued first: the other must not wait for them
            handle = await client.start_workflow(
                ManyDeliveries.run, args=[name, number, queue], id=f"{queue}-{name}", task_queue=f"journeys-{queue}"
            )
            async with asyncio.timeout(60):
                while len((await handle.describe()).raw_description.pending_activities) < number:
                    await asyncio.sleep(0.05)
        async with (
            Worker(client, task_queue=queue, activities=[send]),
            Worker(other, task_queue=queue, activities=[send]),
            asyncio.timeout(120),
        ):
            for name in numbers:
                await client.get_workflow_handle(f"{queue}-{name}").result()

    for name, rate in (("slow", 10), ("quick", 30)):
        assert len(came[name]) == numbers[name]
        # A second's worth is saved up and comes at once; from then on the rate is kept, or less on a busy machine.
        assert came[name][-1] - came[name][0] > 0.9 * (numbers[name] - rate) / rate
    # Neither has waited for the other: the quick one's first second is over before the slow one has had all of its own.
    assert came["quick"][30] < came["slow"][29]
