"""Bounded concurrency: a pool of tasks that stops at the first error, and a call for each of many items."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
