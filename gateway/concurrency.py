"""Runs many tasks, a few at a time, until one fails for a common reason."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Concurrency:
    """A limited number of concurrent tasks.

    An exception of one ends the others. Unlike `asyncio.TaskGroup`, it does not interrupt the caller, who checks
    `broken`; the first exception is raised as it is, and exceptions of cancelled tasks are ignored.

    Use it as a context manager. A normal exit waits for all tasks, or raises the first exception. On an exception or a
    cancellation, remaining tasks are cancelled and awaited.

    Args:
        most: Maximum number of tasks, or a semaphore shared with others.
    """

    def __init__(self, most: int | asyncio.Semaphore) -> None:
        self._places = most if isinstance(most, asyncio.Semaphore) else asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    @property
    def broken(self) -> bool:
        """True if a task has failed, so that no more should start."""
        return bool(self._errors)

    async def place(self) -> None:
        """Wait for a place for the next task."""
        await self._places.acquire()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task at the place that was taken for it."""
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
