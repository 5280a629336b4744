"""Workers are started, watched and stopped together, within one deadline."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable

import pytest
from temporalio.common import VersioningBehavior

from runtime import version
from runtime.errors import SettingsError, WorkerFailed
from runtime.process.shutdown import Deadline
from runtime.process.workers import deployment_from, running_workers, tune_garbage_collection, unversioned
from tests.factories import present
from tests.fakes import Clock
from tests.runtime.hand import Hand


async def test_they_are_ready_once_all_of_them_poll():
    quick, slow = Hand(), Hand("email", slow=True)
    async with running_workers([quick, slow]) as crew:
        waiting = asyncio.create_task(crew.polling())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not crew.sound
        slow.polls.set()
        await waiting
        assert crew.sound
    assert not crew.sound


async def test_they_run_until_somebody_asks_and_stop_together():
    made, stop = [Hand(), Hand("email")], asyncio.Event()
    async with running_workers(made) as crew:
        waiting = asyncio.create_task(crew.until(stop))
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        await waiting
    assert all(hand.ended.is_set() for hand in made)


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
