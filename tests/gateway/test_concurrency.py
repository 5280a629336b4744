"""A few tasks at a time, the first error, and the end of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from gateway.concurrency import Concurrency
from gateway.limits import RateLimit
from tests.fakes import Clock


async def hang(ended: list[str]) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        ended.append("hung")


async def fail(error: Exception) -> None:
    raise error


async def run(*works: Coroutine[Any, Any, None], then: Callable[[Concurrency], Awaitable[None]] | None = None) -> None:
    """Starts as many as there are places, and does what is to be done then."""
    async with Concurrency(len(works)) as tasks:
        for work in works:
            await tasks.acquire()
            tasks.start(work)
        if then is not None:
            await then(tasks)


async def test_every_task_is_waited_for_and_only_so_many_are_under_way_at_once() -> None:
    busy, done = [0, 0], list[int]()

    async def work(number: int) -> None:
        busy[0] += 1
        busy[1] = max(busy)
        await asyncio.sleep(0.001)
        busy[0] -= 1
        done.append(number)

    async with Concurrency(3) as tasks:
        for number in range(10):
            await tasks.acquire()
            tasks.start(work(number))
    assert (busy, sorted(done), tasks.has_failed) == ([0, 3], list(range(10)), False)


async def test_the_first_error_is_seen_by_who_takes_the_next_place_and_ends_the_others() -> None:
    ended: list[str] = []

    async def then(tasks: Concurrency) -> None:
        await tasks.acquire()
        assert (tasks.has_failed, ended) == (True, [])

    for works, do in (([fail(ConnectionError())], then), ([fail(ConnectionError()), fail(TimeoutError())], None)):
        with pytest.raises(ConnectionError):
            await run(hang(ended), *works, then=do)
        assert ended.pop() == "hung"


async def test_an_error_of_the_callers_own_goes_before_that_of_a_task() -> None:
    async def then(tasks: Concurrency) -> None:
        await tasks.acquire()
        assert tasks.has_failed
        raise ValueError

    with pytest.raises(ValueError):
        await run(fail(ConnectionError()), then=then)


@pytest.mark.parametrize("inside", [False, True])
async def test_cancelling_it_ends_what_is_under_way_whatever_that_answers(inside: bool) -> None:
    """Ctrl-C, while tasks are being started or while they are waited for."""
    ended: list[str] = []
    started = asyncio.Event()

    async def stubborn() -> None:
        try:
            started.set()
            await hang(ended)
        except asyncio.CancelledError:
            raise TimeoutError from None

    running = asyncio.create_task(run(stubborn(), then=Concurrency.acquire if inside else None))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["hung"]


def test_a_key_is_let_in_so_often_and_again_when_its_time_is_over():
    clock = Clock(100.0)
    pace = RateLimit(2, 60, clock)
    assert [pace.take("a"), pace.take("a")] == [0, 0]
    clock.now += 20
    assert [pace.take("a"), pace.take("a"), pace.take("b")] == [40, 40, 0]
    clock.now += 40
    assert [pace.take("a"), pace.take("a"), pace.take("a")] == [0, 0, 60]


def test_it_forgets_the_oldest_keys_and_stays_small():
    pace = RateLimit(1, 60, Clock(100.0))
    for number in range(10_001):
        pace.take(str(number))
    assert [pace.take("0") == 0, pace.take("10000") == 0] == [True, False]
