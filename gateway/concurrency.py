"""Runs many tasks, a few at a time, until one fails for a reason that concerns all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Concurrency:
    """Tasks side by side, never more than so many.

    What one of them raises ends the rest. It is no `asyncio.TaskGroup`: the caller is not interrupted but asks
    `broken`, gets the first error as it is and not in a group, and a task that answers its cancellation with an error
    of its own changes nothing.

    Use it as a context manager. Left in peace, it waits for every task, or raises the first error; left by an error
    or cancelled, it raises that. What is still under way is cancelled in either case, and is over when it is left.

    Args:
        most: How many at the same time; or places that are shared with other tasks.
    """

    def __init__(self, most: int | asyncio.Semaphore) -> None:
        self._places = most if isinstance(most, asyncio.Semaphore) else asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    @property
    def broken(self) -> bool:
        """Whether one has failed, so that no more should be started."""
        return bool(self._errors)

    async def place(self) -> None:
        """Takes a place for the next task, as soon as there is one."""
        await self._places.acquire()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task at the place that was taken for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
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
            while error is None and self._tasks and not self.broken:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self._errors:
            raise self._errors[0]
