"""The gate on the real server: deliveries that wait cost neither attempts nor slots."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from temporalio.client import Client

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limits
from tests.e2e.conftest import Server
from tests.e2e.flood import Gently, ManyWebhooks, Receivers, scheduler, sender


@pytest.fixture
async def client(server: Server) -> Client:
    return await server.connect()


@pytest.fixture
def queue() -> str:
    return f"webhooks-{uuid.uuid4().hex[:8]}"


async def test_a_slow_destination_gets_no_more_at_once_than_it_takes_and_delays_nobody(client: Client, queue: str):
    async with Receivers(busy={"slow"}) as receivers, Transport() as transport:
        routes = Gently(receivers.url, {"slow": Limits(concurrency=4, breaker=None)})
        async with scheduler(client, queue), sender(client, queue, transport, routes):
            slow = await client.start_workflow(
                ManyWebhooks.run, args=["slow", 20, queue], id=f"{queue}-slow", task_queue=f"journeys-{queue}"
            )
            await receivers.called("slow", 4)
            quick = await client.execute_workflow(
                ManyWebhooks.run, args=["quick", 20, queue], id=f"{queue}-quick", task_queue=f"journeys-{queue}"
            )
            assert quick == [1] * 20
            assert len(receivers.got["slow"]) == 4  # the others were still waiting
            receivers.free.set()
            assert await slow.result() == [1] * 20  # being turned away is not an attempt
    assert receivers.most["slow"] <= 4
    assert len(receivers.got["slow"]) == 20


async def test_deliveries_wait_for_a_destination_that_is_down_without_spending_attempts(client: Client, queue: str):
    limits = Limits(concurrency=5, breaker=BreakerLimits(minimum=5, pause=1.0))
    async with Receivers() as receivers, Transport() as transport:
        receivers.down.add("wax")
        routes = Gently(receivers.url, {"wax": limits})
        async with scheduler(client, queue), sender(client, queue, transport, routes):
            handle = await client.start_workflow(
                ManyWebhooks.run, args=["wax", 40, queue], id=queue, task_queue=f"journeys-{queue}"
            )
            await receivers.called("wax", 5)
            await asyncio.sleep(2.5)  # one probe, perhaps two; by the policy alone, all 40 would have come by then
            seen = len(receivers.got["wax"])
            assert seen <= 20
            receivers.down.clear()
            attempts = await handle.result()
    assert len(attempts) == 40
    assert sum(attempts) == len(receivers.got["wax"]) == 40 + seen
