"""A worker's slots: so many tasks at once, and a stop that waits for the tasks that were asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio import activity
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import SlotPermit, SlotReleaseContext

from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process.workers import ActivityWorker, Slots, completes_polls, running_workers
from tests.fakes import Clock


@activity.defn
async def send() -> None: ...


ASKING = cast("Any", None)
TAKEN = cast("Any", None)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
async def slots(clock: Clock) -> Slots:
    return Slots(3, clock)


def ended(permit: SlotPermit, task: object = None) -> SlotReleaseContext:
    return SlotReleaseContext(slot_info=cast("Any", task), permit=permit)


async def pending(*tasks: asyncio.Task[Any]) -> list[bool]:
    """Which of them still wait, once everything has happened that happens by itself."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [not task.done() for task in tasks]


async def test_no_more_tasks_are_asked_for_than_may_be_under_way(slots: Slots) -> None:
    permits = [await slots.reserve_slot(ASKING) for _ in range(3)]
    fourth = asyncio.create_task(slots.reserve_slot(ASKING))
    slots.mark_slot_used(TAKEN)
    assert await pending(fourth) == [True]
    slots.release_slot(ended(permits[0], "a task"))
    assert await pending(fourth) == [False]
    assert slots.try_reserve_slot(ASKING) is None


async def test_a_stop_waits_for_the_answers_to_what_was_asked_and_asks_for_nothing_more(slots: Slots) -> None:
    first, second, third = [await slots.reserve_slot(ASKING) for _ in range(3)]
    slots.mark_slot_used(TAKEN)
    stop = asyncio.create_task(slots.drain())
    assert await pending(stop) == [True]
    slots.release_slot(ended(second))  # there was no task
    more = asyncio.create_task(slots.reserve_slot(ASKING))
    assert await pending(stop, more) == [True, True]
    await asyncio.to_thread(slots.mark_slot_used, TAKEN)  # the last answer, as the SDK tells it
    assert await pending(stop, more) == [False, True]
    slots.release_slot(ended(first, "a task"))
    slots.release_slot(ended(third, "a task"))
    assert await pending(more) == [True]
    more.cancel()


async def test_a_stop_waits_for_nothing_where_no_task_has_come_for_a_while(slots: Slots, clock: Clock) -> None:
    for _ in range(2):
        await slots.reserve_slot(ASKING)
    slots.mark_slot_used(TAKEN)
    clock.now += 5
    stop = asyncio.create_task(slots.drain())
    assert await pending(stop) == [False]


async def test_a_stop_does_not_wait_for_long(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.process.workers.LONGEST_DRAIN", 0.0)
    for _ in range(2):
        await slots.reserve_slot(ASKING)
    slots.mark_slot_used(TAKEN)
    await slots.drain()


async def test_a_request_can_be_given_up_from_another_thread_as_the_sdk_does_it(slots: Slots) -> None:
    asyncio.get_running_loop().set_debug(True)  # in which asyncio itself refuses that
    for _ in range(3):
        await slots.reserve_slot(ASKING)
    fourth = asyncio.create_task(slots.reserve_slot(ASKING))
    await pending(fourth)
    await asyncio.to_thread(fourth.cancel)
    assert await pending(fourth) == [False]
    assert fourth.cancelled()


@dataclass
class Namespace:
    answer: RPCStatusCode | DescribeNamespaceResponse
    namespace: str = "default"

    @property
    def workflow_service(self) -> Namespace:
        return self

    async def describe_namespace(self, _: object, **__: object) -> DescribeNamespaceResponse:
        if isinstance(self.answer, RPCStatusCode):
            raise RPCError("not you", self.answer, b"")
        return self.answer


@pytest.mark.parametrize("answer", [DescribeNamespaceResponse(), RPCStatusCode.PERMISSION_DENIED])
async def test_a_server_that_says_nothing_of_it_completes_no_polls(answer: RPCStatusCode | DescribeNamespaceResponse):
    assert not await completes_polls(cast("Client", Namespace(answer)))


async def test_the_local_server_completes_polls(server: DevServer):
    assert await completes_polls(await connect(server.address))


@pytest.mark.parametrize("completed", [True, False])
async def test_a_worker_drains_itself_only_where_the_server_completes_no_polls(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, completed: bool
):
    drained: list[Slots] = []

    async def drain(slots: Slots) -> None:
        drained.append(slots)

    monkeypatch.setattr(Slots, "drain", drain)
    worker = ActivityWorker(
        await connect(server.address),
        task_queue="drained",
        activities=[send],
        concurrent=3,
        polls=2,
        grace=timedelta(seconds=4),
        polls_completed=completed,
    )
    async with running_workers([worker]) as crew:
        await crew.polling()
    assert len(drained) == (not completed)
