"""Write attempts down without making anybody wait."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, Self

from runtime.store.deliveries import Attempt
from runtime.store.errors import StoreError, StoreFault

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """What attempts are given to: a ``Store``."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts down."""
        ...


class AttemptWriter:
    """Takes attempts at once and writes them in batches, in a task of its own.

    A store that fails never disturbs a sender: what could not be written is tried again, and when too much waits,
    what comes then is dropped and counted in the log. The log of attempts is for people; nothing that the program
    decides is lost with it. Used from one event loop's thread.

    Example::

        async with AttemptWriter(store) as writer:
            writer.put(attempt)

    Attributes:
        batch: Attempts that are written together at most.
        every: Seconds between two batches, unless one is full sooner.
        room: Attempts that may wait.
        retry: Seconds before a failed store is tried again; doubled for each failure, up to ``retry_at_most``.
        retry_at_most: See ``retry``.
    """

    batch = 100
    every = 0.2
    room = 10_000
    retry = 0.5
    retry_at_most = 30.0

    def __init__(self, store: Recorder) -> None:
        """Start.

        Args:
            store: What is written to. It must outlive the writer.
        """
        self._store = store
        self._waiting: deque[Attempt] = deque()
        self._dropped = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, attempt: Attempt) -> None:
        """Take an attempt. Returns at once and never raises."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="attempt-writer")
        if len(self._waiting) >= self.room:
            self._dropped += 1
            if self._dropped == 1:
                log.error("Delivery attempts are not written down any more: %d wait already.", self.room)
            return
        self._waiting.append(attempt)
        self._some.set()
        if len(self._waiting) >= self.batch:
            self._full.set()

    async def close(self, within: float = 10.0) -> None:
        """Write what waits, and stop.

        Args:
            within: Seconds after which what is left is given up, and counted in the log.
        """
        self._closing.set()
        self._some.set()
        self._full.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, within)
        if self._waiting:
            log.error("%d delivery attempts could not be written down before the end.", len(self._waiting))
            self._waiting.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        pause = self.retry
        while self._waiting or not self._closing.is_set():
            await self._some.wait()
            await _within(self._full, self.every)
            batch = [self._waiting[i] for i in range(min(self.batch, len(self._waiting)))]
            try:
                await self._write(batch)
            except StoreError as error:
                log.warning("%d delivery attempts could not be written down yet: %s", len(self._waiting), error)
                await _within(self._closing, pause) if not self._closing.is_set() else await asyncio.sleep(self.every)
                pause = min(pause * 2, self.retry_at_most)
                continue
            pause = self.retry
            for _ in batch:
                self._waiting.popleft()
            if self._dropped:
                log.error("%d delivery attempts were not written down.", self._dropped)
                self._dropped = 0
            if not self._closing.is_set():
                if not self._waiting:
                    self._some.clear()
                if len(self._waiting) < self.batch:
                    self._full.clear()

    async def _write(self, batch: Sequence[Attempt]) -> None:
        try:
            await self._store.record(batch)
        except StoreFault:
            if len(batch) == 1:
                log.exception("The attempt %s of %s cannot be written down.", batch[0].attempt, batch[0].delivery_id)
                return
            # One row may be at fault: it must not keep the others.
            for attempt in batch:
                await self._write([attempt])


async def _within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
