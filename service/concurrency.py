"""Concurrency: a pool of tasks that stops at the first error, bounded calls, a cache of shared look-ups; and rates."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Concurrency:
    """A bounded pool of tasks.

    The first error ends the remaining tasks. Unlike `asyncio.TaskGroup`, the pool does not interrupt its owner, who
    reads `has_failed`. It raises the first error itself instead of a group, and ignores errors of tasks that it has
    cancelled.

    Use it as a context manager. On a normal exit it waits for every task, or raises the first error. If an error or a
    cancellation ends the block, that is raised. Pending tasks are cancelled in both cases.

    Args:
        limit: Maximum number of tasks, or a semaphore that is shared with other tasks.
    """

    def __init__(self, limit: int | asyncio.Semaphore) -> None:
        self._places = limit if isinstance(limit, asyncio.Semaphore) else asyncio.Semaphore(limit)
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    @property
    def has_failed(self) -> bool:
        return bool(self._errors)

    async def acquire(self) -> None:
        await self._places.acquire()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while error is None and self._tasks and not self.has_failed:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self._errors:
            raise self._errors[0]


async def gather_some(limit: int, function: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Call a function for each item, at most `limit` at a time, and return the results in the order of the items."""
    turns = asyncio.Semaphore(limit)

    async def call(item: Item) -> Result:
        async with turns:
            return await function(item)

    return await asyncio.gather(*map(call, items))


LONGEST: Final = 60.0  # seconds for which a value is valid at most because its lookup took long
_MAX_KEYS: Final = 100  # the least recently fetched is evicted first


@dataclass
class _Entry(Generic[Value]):
    task: asyncio.Task[Value] | None = None
    value: Value | None = None
    expires: float = -inf
    usable_until: float = -inf


class CoalescingCache(Generic[Key, Value]):
    """Caches an expensive lookup for a few seconds. Concurrent callers share one lookup.

    Cancelling one caller does not cancel the lookup for the others. A failed lookup is not cached, unless a stale value
    may be returned in its place. Used from one event loop.

    Args:
        ttl: Seconds a value stays valid, counted from the start of its lookup.
        cost_factor: A value also stays valid for this many times the duration of its lookup, up to `LONGEST`, so that
            lookups do not slow down anything else.
        max_stale: Seconds, counted likewise, during which an expired value is returned while a new one is looked up. An
            expensive value may be as old again as it was valid, so that callers do not wait for the next one.
    """

    def __init__(
        self,
        lookup: Callable[[Key], Awaitable[Value]],
        ttl: float,
        *,
        cost_factor: float = 20.0,
        max_stale: float = 0.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._lookup, self._ttl, self._cost_factor, self._max_stale = lookup, ttl, cost_factor, max_stale
        self._clock = clock
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._tasks = set[asyncio.Task[Value]]()

    async def get(self, key: Key) -> Value:
        entry, now = self._entries.setdefault(key, _Entry()), self._clock()
        if entry.value is not None and now < entry.expires:
            return entry.value
        if (task := entry.task) is None:
            task = entry.task = asyncio.create_task(self._fetch(key, entry))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._finish(entry, done))
            self._entries.move_to_end(key)
            while len(self._entries) > _MAX_KEYS:
                self._entries.popitem(last=False)
        if entry.value is not None and now < entry.usable_until:
            return entry.value
        return await asyncio.shield(task)

    def peek(self, key: Key) -> Value | None:
        """Return the latest value of a key, however old, or None if there is none."""
        entry = self._entries.get(key)
        return entry and entry.value

    def clear(self) -> None:
        self._entries.clear()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: Key, entry: _Entry[Value]) -> Value:
        started = self._clock()
        try:
            entry.value = await self._lookup(key)
        except Exception:
            entry.expires = self._clock() + self._ttl if self._max_stale else -inf
            raise
        valid = max(self._ttl, min(self._cost_factor * (self._clock() - started), LONGEST))
        entry.expires = started + valid
        if self._max_stale:
            entry.usable_until = started + max(self._max_stale, 2 * valid)
        return entry.value

    def _finish(self, entry: _Entry[Value], task: asyncio.Task[Value]) -> None:
        entry.task = None
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._clock() < entry.usable_until:
            logger.warning("a cached value could not be renewed: %s", error)


class Pace:
    """Turns at a rate, so many a second at most. No burst follows turns that came late, such as after slow answers."""

    def __init__(self, rate: float) -> None:
        self._gap, self._next = 1 / rate, 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._gap
        await asyncio.sleep(begin - now)


_KEPT: Final = 10_000


class RateLimit:
    """A number of times per number of seconds, for each key.

    Windows begin with a key's first time. If there are too many keys, the oldest windows are forgotten, in favour of
    the callers. Each process has its own count.
    """

    def __init__(self, times: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._times, self._seconds, self._clock = times, seconds, clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, times: int = 1) -> float:
        """Count something, perhaps beyond the limit, unless it is reached. Return 0, or the seconds to wait."""
        now = self._clock()
        begun, count = self._windows.get(key, (now, 0))
        if now - begun >= self._seconds:
            begun, count = now, 0
            self._windows.pop(key, None)
        if count >= self._times:
            return begun + self._seconds - now
        self._windows[key] = (begun, count + times)
        while len(self._windows) > _KEPT:
            self._windows.popitem(last=False)
        return 0.0
