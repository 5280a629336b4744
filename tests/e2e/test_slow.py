"""Slow must be safe: exits win over retries, transactional messages do not wait, and destinations keep their rates."""

import asyncio
from collections import defaultdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio import activity, workflow
from temporalio.common import Priority
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.channel_registry import WEBHOOK
from activities.interface import JOURNEYS
from activities.webhook.route import Diverted
from activities.webhook.server_rates import RateKeeper
from runtime.local.receiver import Receiver
from service.client import Entered
from service.journeys.snapshot import describe, pending
from tests.e2e.conftest import Gate, Server, entry, forget_the_dead, opened, outcomes, publish, until
from tests.factories import present
from tests.updates import until_admitted

RETRIED = """
scenario: retried
trigger: segment
exit:
  - event: order.returned
    if: event.n == 1
steps:
  - webhook: told
    url: https://hooks.example.com/told
    body: {a: 1}
    retry: {initial_interval: 1s, backoff_coefficient: 1}
"""


@pytest.mark.parametrize("by", ["event", "update"])
async def test_an_exit_that_was_accepted_stops_retries_although_nobody_steers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr("runtime.process.workers.LONGEST_DRAIN", 0.0)  # nothing more comes when the test is over
    async with (
        Gate(hold=1, fail=1) as receiver,
        opened(await server.connect(), tmp_path, routes=Diverted(receiver.url)) as site,
        site.working(WEBHOOK.queue),
    ):
        client = site.client
        await publish(client, tmp_path, RETRIED)
        async with site.working(JOURNEYS):
            journey = await client.enter(entry("retried", "1"), settle=30)
            await receiver.called(1)
        # As an engine tells it, without the gateway.
        handle = cast("Any", client.temporal.get_workflow_handle(journey.id))
        telling: list[asyncio.Task[Any]] = []
        if by == "event":
            await handle.signal("event", {"name": "order.returned", "properties": {"n": 1}})
        else:
            leave = handle.execute_update("leave", {"operator": "ann", "reason": "asked to"}, id="leave")
            telling.append(asyncio.create_task(leave))
            await until_admitted(client.temporal, journey.id, "leave")
        receiver.opened.set()

        async def waits() -> bool:
            found = await pending(client.temporal, present(await describe(client.temporal, journey.id)))
            return [(one.turned_away, one.attempt) for one in found] == [("journey", 2)]

        await until(waits)
        async with site.working(JOURNEYS):
            await forget_the_dead(client, journey.id)
            async with asyncio.timeout(60):
                result = await journey.result()
                await asyncio.gather(*telling)
        assert result["outcome"] == "exited"
    assert len(receiver.calls) == 1


NEWS = """
scenario: NAME
trigger: segment
purpose: PURPOSE
steps:
  - webhook: told
    url: https://DESTINATION/NAME
    body: {contact: "{{ contact.id }}"}
"""
MANY = 20


async def test_an_order_s_message_does_not_wait_behind_a_newsletter(server: Server, tmp_path: Path) -> None:
    """All are queued before a worker sends, at 2 a second to one destination: in their order, the two would be last."""
    temporal = await server.connect()
    await RateKeeper(temporal).apply(100, {"wax.example": 2})
    async with Receiver() as receiver, opened(temporal, tmp_path, routes=Diverted(receiver.url)) as site:
        client = site.client
        for name, purpose, destination in (
            ("news", "marketing", "wax.example"),
            ("order", "transactional", "wax.example"),
            ("receipt", "transactional", "other.example"),
        ):
            text = NEWS.replace("NAME", name).replace("PURPOSE", purpose).replace("DESTINATION", destination)
            await publish(client, tmp_path, text)

        async def enter(scenario: str, contact: int) -> Entered:
            return await client.enter(entry(scenario, contact))

        async def queued(journey: Entered) -> bool:
            described = await temporal.get_workflow_handle(journey.id).describe()
            return bool(described.raw_description.pending_activities)

        async with site.working(JOURNEYS):
            for journey in await asyncio.gather(*(enter("news", number) for number in range(MANY))):
                await until(partial(queued, journey))
            journeys = [await enter(name, 1) for name in ("order", "receipt")]
            for journey in journeys:
                await until(partial(queued, journey))
            async with site.working(WEBHOOK.queue), asyncio.timeout(120):
                assert [outcomes(await journey.result())[0][1] for journey in journeys] == ["delivered"] * 2
            started = [
                (await temporal.get_workflow_handle(journey.id).describe()).raw_info.priority.priority_key
                for journey in journeys
            ]
    came = [request.path for request in receiver.requests("/wax.example")]
    assert came.index("/wax.example/order") < MANY // 2, came
    assert started == [2, 2]


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


async def test_two_destinations_get_their_own_rates_from_all_workers_together(server: Server):
    client = await server.connect()
    queue = "webhooks-rated"
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
            await until(handle.describe, lambda run, n=number: len(run.raw_description.pending_activities) == n)
        async with (
            Worker(client, task_queue=queue, activities=[send]),
            Worker(other, task_queue=queue, activities=[send]),
            asyncio.timeout(120),
        ):
            for name in numbers:
                await client.get_workflow_handle(f"{queue}-{name}").result()

    for name, rate in (("slow", 10), ("quick", 30)):
        assert len(came[name]) == numbers[name]
        # A second's worth is saved up and comes at once; from then on the rate is kept, but for a few at the border.
        assert came[name][-1] - came[name][0] > 0.8 * (numbers[name] - rate) / rate
    # Neither has waited for the other: the quick one's first second is over before the slow one has had all of its own.
    assert came["quick"][30] < came["slow"][29]
