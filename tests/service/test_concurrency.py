"""How much is done at once and how often: tasks, requests of a key, and expensive look-ups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.concurrency import CoalescingCache, Concurrency, RateLimit
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


async def test_every_task_is_waited_for_and_only_so_many_are_under_way_at_once():
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


async def test_the_first_error_is_seen_by_who_takes_the_next_place_and_ends_the_others():
    ended: list[str] = []

    async def then(tasks: Concurrency) -> None:
        await tasks.acquire()
        assert (tasks.has_failed, ended) == (True, [])

    for works, do in (([fail(ConnectionError())], then), ([fail(ConnectionError()), fail(TimeoutError())], None)):
        with pytest.raises(ConnectionError):
            await run(hang(ended), *works, then=do)
        assert ended.pop() == "hung"


async def test_an_error_of_the_callers_own_goes_before_that_of_a_task():
    async def then(tasks: Concurrency) -> None:
        await tasks.acquire()
        assert tasks.has_failed
        raise ValueError

    with pytest.raises(ValueError):
        await run(fail(ConnectionError()), then=then)


@pytest.mark.parametrize("inside", [False, True])
async def test_cancelling_it_ends_what_is_under_way_whatever_that_answers(inside: bool):
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


@dataclass
class Lookup:
    """A lookup that takes as long as the test wants, on a clock that the test turns."""

    now: float = 0.0
    keys: list[str] = field(default_factory=list[str])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    takes: float = 0.0

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, key: str) -> int:
        self.keys.append(key)
        number = len(self.keys)
        await self.gate.wait()
        self.now += self.takes
        if self.error:
            raise self.error
        return number

    def cache(self, *, cost_factor: float = 0.0, max_stale: float = 0.0) -> CoalescingCache[str, int]:
        return CoalescingCache(self, 5.0, cost_factor=cost_factor, max_stale=max_stale, clock=lambda: self.now)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_share_a_lookup_whose_value_stays_valid_for_the_ttl():
    lookup = Lookup()
    cache = lookup.cache()
    assert await asyncio.gather(*(cache.get("a") for _ in range(10))) == [1] * 10
    lookup.now = 4.9
    assert (await cache.get("a"), await cache.get("b")) == (1, 2)
    lookup.now = 5.0
    assert (cache.peek("a"), await cache.get("a"), cache.peek("a"), cache.peek("c")) == (1, 3, 3, None)
    cache.clear()
    assert [await cache.get(str(number)) for number in range(101)] == [*range(4, 105)]
    assert [await cache.get(key) for key in "10"] == [5, 105], "the least recently fetched key is evicted"


async def test_a_failed_lookup_is_repeated_and_cancelling_a_caller_does_not_cancel_the_others():
    lookup = Lookup(error=OSError())
    cache = lookup.cache()
    lookup.gate.clear()
    first, second = asyncio.create_task(cache.get("a")), asyncio.create_task(cache.get("a"))
    await settled()
    first.cancel()
    await settled()
    lookup.gate.set()
    with pytest.raises(OSError):
        await second
    lookup.error = None
    assert await cache.get("a") == 2
    assert first.cancelled()


async def test_a_stale_value_is_returned_while_a_new_one_is_looked_up():
    lookup = Lookup()
    cache = lookup.cache(max_stale=60)
    await cache.get("a")
    lookup.gate.clear()
    lookup.now = 6
    assert [await cache.get("a") for _ in range(9)] == [1] * 9
    lookup.gate.set()
    await settled()
    assert await cache.get("a") == 2
    lookup.now = 67
    assert await cache.get("a") == 3


async def test_an_expensive_value_stays_valid_for_longer_and_may_be_stale_for_as_long():
    lookup = Lookup(takes=2.0)
    cache = lookup.cache(cost_factor=20, max_stale=15)
    await cache.get("a")
    for now, value, lookups in ((39.9, 1, 1), (79.9, 1, 2), (200, 3, 3)):
        lookup.now = now
        assert await cache.get("a") == value
        await settled()
        assert len(lookup.keys) == lookups


async def test_a_stale_value_hides_failures_until_it_is_too_old(caplog: pytest.LogCaptureFixture):
    lookup = Lookup()
    cache = lookup.cache(max_stale=60)
    await cache.get("a")
    lookup.error, lookup.now = RuntimeError("the store is unavailable"), 6
    with caplog.at_level(logging.WARNING):
        assert await cache.get("a") == 1
        await settled()
    assert "the store is unavailable" in caplog.text
    assert await cache.get("a") == 1
    await settled()
    assert len(lookup.keys) == 2, "a failed lookup is repeated after the ttl"
    lookup.now = 66
    with pytest.raises(RuntimeError, match="unavailable"):
        await cache.get("a")


async def test_closing_cancels_lookups_in_progress():
    lookup = Lookup()
    lookup.gate.clear()
    cache = lookup.cache()
    waiting = asyncio.create_task(cache.get("a"))
    await settled()
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
