"""Workers are started, watched and stopped together."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import WorkerFailed
from runtime.process.deadline import Deadline
from runtime.process.workers import running
from tests.runtime.hand import Hand


async def test_they_are_ready_once_all_of_them_poll():
    quick, slow = Hand(), Hand("email", slow=True)
    async with running([quick, slow]) as crew:
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
    async with running(made) as crew:
        waiting = asyncio.create_task(crew.until(stop))
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        await waiting
    assert all(hand.ended.is_set() for hand in made)


async def test_the_first_that_fails_ends_the_wait_and_the_others_are_stopped(caplog: pytest.LogCaptureFixture):
    broken, other = Hand(), Hand("email")

    async def run() -> None:
        async with running([broken, other]) as crew:
            await crew.polling()
            broken.breaks.set()
            await crew.until(asyncio.Event())

    with pytest.raises(WorkerFailed) as caught:
        await run()
    assert str(caught.value) == (
        "the worker of the queue 'webhooks' failed (RuntimeError): see the lines before this one, and start it again"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert other.asked.is_set()
    assert other.ended.is_set()
    assert [record.message for record in caplog.records] == [str(caught.value)]


async def test_one_that_cannot_start_ends_the_wait_for_the_others():
    broken = Hand(slow=True)
    broken.breaks.set()
    with pytest.raises(WorkerFailed, match="'webhooks' failed"):
        async with running([broken, Hand("email", slow=True)]) as crew:
            await crew.polling()


async def test_one_that_failed_while_nobody_looked_is_told_at_the_end():
    broken = Hand()
    with pytest.raises(WorkerFailed):
        async with running([broken, Hand("email")]):
            broken.breaks.set()


async def test_one_that_does_not_stop_is_given_up_when_the_time_is_over(caplog: pytest.LogCaptureFixture):
    deadline = Deadline(10)
    stuck, good = Hand(), Hand("email")
    stuck.stays = asyncio.Event()
    async with running([stuck, good], deadline=deadline, keep=10):
        deadline.begin()
    assert good.ended.is_set()
    assert "the worker of the queue 'webhooks' did not stop in time" in caplog.messages
