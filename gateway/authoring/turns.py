"""Turns at a few processes, given to API keys in rotation."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import Busy

WAITING: Final = 3
"""Maximum number of waiting requests of one key."""


def too_many_checks(count: int) -> Busy:
    """Return the refusal of a key with so many checks and previews in progress or waiting."""
    return Busy(
        f"this key has {count} checks or previews in progress or waiting: wait for their answers, then try again"
    )


class Turns:
    """Turns at a limited resource.

    Each key has one turn at a time. Waiting keys get turns in rotation.

    Args:
        places: Number of turns at the same time.
        waiting: Maximum number of waiting requests of one key.
        together: Maximum number of waiting requests of all keys.
    """

    def __init__(self, places: int, *, waiting: int, together: int) -> None:
        self._free, self._waiting, self._together = places, waiting, together
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncGenerator[None]:
        """Wait for a turn and hold it.

        Raises:
            Busy: Too many requests are waiting.
        """
        if self._free and not self._running[key]:
            self._begin(key)
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._end(key)

    def _begin(self, key: str) -> None:
        self._free -= 1
        self._running[key] += 1

    def _end(self, key: str) -> None:
        self._free += 1
        del self._running[key]
        self._go_on()

    def _go_on(self) -> None:
        for key, queue in list(self._queues.items()):
            if not self._free:
                return
            if self._running[key]:
                continue
            del self._queues[key]
            waiting = [waiter for waiter in queue if not waiter.done()]  # others were cancelled in this moment
            queue.clear()
            if waiting:
                queue.extend(waiting[1:])
                self._begin(key)
                waiting[0].set_result(None)
            if queue:
                self._queues[key] = queue  # at the rotation's end

    async def _wait(self, key: str) -> None:
        queue = self._queues.get(key, deque())
        if len(queue) >= self._waiting:
            raise too_many_checks(len(queue) + 1)
        if sum(map(len, self._queues.values())) >= self._together:
            raise Busy("too many keys wait for checks or previews: try again")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, queue).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
                if not queue:
                    self._queues.pop(key, None)
            elif not waiter.cancelled():  # the turn came in the same moment
                self._end(key)
            raise
