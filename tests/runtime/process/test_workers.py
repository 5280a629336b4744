"""Workers are started, watched and stopped together within one deadline; each has so many slots for tasks."""

from __future__ import annotations

import asyncio
import gc
import math
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse
from temporalio.common import VersioningBehavior
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import SlotPermit, SlotReleaseContext

from runtime import version
from runtime.connection import connect
from runtime.errors import SettingsError, WorkerFailed
from runtime.local.devserver import DevServer
from runtime.process import workers
from runtime.process.shutdown import Deadline
from runtime.process.workers import (
    ActivityWorker,
    PausableWorker,
    Slots,
    completes_polls,
    deployment_from,
    running_workers,
    tune_garbage_collection,
    unversioned,
)
from tests.factories import present
from tests.fakes import Clock
from tests.runtime.hand import Hand


async def test_they_are_ready_once_all_of_them_poll_and_stop_together_when_somebody_asks():
    quick, slow = Hand(), Hand("email", slow=True)
    async with running_workers([quick, slow]) as crew:
        waiting = asyncio.create_task(crew.polling())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not crew.sound
        slow.polls.set()
        await waiting
        assert crew.sound
        stop = asyncio.Event()
        running = asyncio.create_task(crew.until(stop))
        await asyncio.sleep(0)
        assert not running.done()
        stop.set()
        await running
    assert not crew.sound
    assert quick.ended.is_set()
    assert slow.ended.is_set()


async def test_the_first_that_fails_ends_the_wait_and_the_others_are_stopped(caplog: pytest.LogCaptureFixture):
    broken, other = Hand(), Hand("email")

    async def run() -> None:
        async with running_workers([broken, other]) as crew:
            await crew.polling()
            broken.breaks.set()
            await crew.until(asyncio.Event())

    with pytest.raises(WorkerFailed) as caught:
        await run()
    assert str(caught.value) == (
        "the worker of the queue 'webhooks' failed (RuntimeError): see the previous log lines, and restart it"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert other.asked.is_set()
    assert other.ended.is_set()
    assert [record.message for record in caplog.records] == [str(caught.value)]


async def test_one_that_cannot_start_ends_the_wait_for_the_others():
    broken = Hand(slow=True)
    broken.breaks.set()
    with pytest.raises(WorkerFailed, match="'webhooks' failed"):
        async with running_workers([broken, Hand("email", slow=True)]) as crew:
            await crew.polling()


async def test_one_that_failed_while_nobody_looked_is_told_at_the_end():
    broken = Hand()
    with pytest.raises(WorkerFailed):
        async with running_workers([broken, Hand("email")]):
            broken.breaks.set()


async def test_one_that_does_not_stop_is_given_up_when_the_time_is_over(caplog: pytest.LogCaptureFixture):
    deadline = Deadline(10)
    stuck, good = Hand(), Hand("email")
    stuck.stays = asyncio.Event()
    async with running_workers([stuck, good], deadline=deadline, keep=10):
        deadline.begin()
    assert good.ended.is_set()
    assert "the worker of the queue 'webhooks' did not stop in time" in caplog.messages


def test_both_make_a_version_whose_journeys_go_on_with_the_next_and_without_them_it_is_the_release():
    both = {"TEMPORAL_DEPLOYMENT_NAME": "scenario-runner", "TEMPORAL_WORKER_BUILD_ID": "1.4.0"}
    found = present(deployment_from(both))
    assert found.version.to_canonical_string() == "scenario-runner.1.4.0"
    assert found.use_worker_versioning
    assert found.default_versioning_behavior is VersioningBehavior.AUTO_UPGRADE
    assert [deployment_from(environ) for environ in ({}, dict.fromkeys(both, ""))] == [None, None]
    assert version().startswith(unversioned().version.build_id)
    assert not unversioned().use_worker_versioning


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"),
        ("TEMPORAL_WORKER_BUILD_ID", "TEMPORAL_DEPLOYMENT_NAME"),
    ],
)
def test_one_alone_is_refused(there: str, missing: str):
    with pytest.raises(SettingsError) as caught:
        deployment_from({there: "x"})
    assert str(caught.value) == f"{there} is set and {missing} is not: set both for a versioned worker, or neither"


def test_what_is_loaded_is_left_out_and_other_objects_are_collected_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda *given: calls.append(f"{name}{given}")

    for name in ("collect", "freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, noted(name))
    tune_garbage_collection()
    assert calls == ["collect()", "freeze()", "set_threshold(10000,)"]


def test_what_comes_later_gets_what_is_left_and_asking_twice_gains_nothing():
    clock = Clock(100.0)
    deadline = Deadline(28, clock)
    assert deadline.left(10, keep=5) == 10, "before it counts, everything has its own time"
    deadline.begin()
    found = [deadline.left(math.inf, keep=6)]
    for passed in (22, 3, 1, 40):
        clock.now += passed
        found.append(deadline.left(5, keep=2))
    assert found == [22, 4, 1, 0, 0]
    deadline.begin()
    assert deadline.left(5) == 0


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


@pytest.mark.parametrize("answer", [DescribeNamespaceResponse(), RPCError("", RPCStatusCode.PERMISSION_DENIED, b"")])
async def test_a_server_that_says_nothing_of_it_completes_no_polls(answer: RPCError | DescribeNamespaceResponse):
    service = Mock(describe_namespace=AsyncMock(side_effect=[answer]))
    assert not await completes_polls(Mock(namespace="default", workflow_service=service))


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


class TestAWorkerThatMayNotPoll:
    @pytest.fixture
    def hands(self, monkeypatch: pytest.MonkeyPatch) -> list[Hand]:
        monkeypatch.setattr(workers, "_OFTEN", 0.001)
        return []

    @pytest.fixture
    def allowed(self) -> list[bool]:
        return [True]

    @pytest.fixture
    def make(self, hands: list[Hand], allowed: list[bool]) -> Callable[[], PausableWorker]:
        def made() -> Hand:
            hands.append(Hand())
            return hands[-1]

        return lambda: PausableWorker("webhooks", made, lambda: allowed[0])

    async def test_stops_and_is_made_anew_once_it_may(
        self,
        make: Callable[[], PausableWorker],
        hands: list[Hand],
        allowed: list[bool],
        caplog: pytest.LogCaptureFixture,
    ):
        caplog.set_level("INFO")
        worker = make()
        async with running_workers([worker, Hand("email")]) as crew:
            await hands[0].started.wait()
            allowed[0] = False
            await hands[0].ended.wait()
            await asyncio.sleep(0.01)
            assert (worker.is_paused, crew.sound, len(hands)) == (True, True, 1)
            assert (crew.polls("webhooks"), crew.polls("email")) == (False, True)
            allowed[0] = True
            while len(hands) == 1:
                await asyncio.sleep(0.001)
            await hands[1].started.wait()
            assert (worker.is_paused, crew.sound, crew.polls("webhooks")) == (False, True, True)
        assert hands[1].ended.is_set()
        assert caplog.messages == [
            "the queue 'webhooks' is not polled while the clock of this machine is wrong: have it set by NTP",
            "the queue 'webhooks' is polled again",
        ]

    async def test_does_not_start_until_it_may(
        self, make: Callable[[], PausableWorker], hands: list[Hand], allowed: list[bool]
    ):
        allowed[0] = False
        async with running_workers([make()]) as crew:
            await crew.polling()
            await asyncio.sleep(0.01)
            assert not hands
            allowed[0] = True
            while not hands:
                await asyncio.sleep(0.001)
            await hands[0].started.wait()

    async def test_completes_its_tasks_first(
        self, make: Callable[[], PausableWorker], hands: list[Hand], allowed: list[bool]
    ):
        worker = make()
        hands[0].stays = asyncio.Event()
        async with running_workers([worker]):
            await hands[0].started.wait()
            allowed[0] = False
            await hands[0].asked.wait()
            allowed[0] = True
            await asyncio.sleep(0.01)
            assert len(hands) == 1
            hands[0].stays.set()
            while len(hands) == 1:
                await asyncio.sleep(0.001)

    async def test_stops_with_its_process(
        self, make: Callable[[], PausableWorker], hands: list[Hand], allowed: list[bool]
    ):
        async with running_workers([make()]):
            await hands[0].started.wait()
            allowed[0] = False
            await hands[0].ended.wait()
        assert len(hands) == 1

    async def test_ends_its_process_if_it_fails(self, make: Callable[[], PausableWorker], hands: list[Hand]):
        async def run() -> None:
            async with running_workers([make()]) as crew:
                await hands[0].started.wait()
                hands[0].breaks.set()
                await crew.until(asyncio.Event())

        with pytest.raises(WorkerFailed):
            await run()


async def test_a_real_worker_leaves_tasks_to_others_while_it_may_not_poll(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(workers, "_OFTEN", 0.01)
    client, allowed, ran = await connect(server.address), True, list[str]()

    def worker(name: str, may_poll: Callable[[], bool]) -> PausableWorker:
        @activity.defn(name="note")
        async def note() -> None:
            ran.append(name)

        return PausableWorker(
            "paused",
            lambda: ActivityWorker(
                client,
                task_queue="paused",
                activities=[note],
                concurrent=3,
                polls=2,
                grace=timedelta(seconds=4),
                polls_completed=True,
            ),
            may_poll,
        )

    async def run(number: int) -> Counter[str]:
        ran.clear()
        for _ in range(number):
            handle = await client.start_activity(
                "note", id=uuid4().hex, task_queue="paused", start_to_close_timeout=timedelta(seconds=10)
            )
            await handle.result()
        return Counter(ran)

    first = worker("first", lambda: allowed)
    async with running_workers([first]) as crew:
        await crew.polling()
        assert await run(2) == {"first": 2}
        allowed = False
        while not first.is_paused:
            await asyncio.sleep(0.01)
        async with running_workers([worker("second", lambda: True)]):
            assert await run(10) == {"second": 10}
        allowed = True
        assert await run(2) == {"first": 2}
