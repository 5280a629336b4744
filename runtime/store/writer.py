"""Writes the log of attempts in the background."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

from runtime.errors import StoreUnavailable
from runtime.store.deliveries import DELIVERED, Attempt, Deliveries
from runtime.telemetry.metrics import LOG_DROPPED

log = logging.getLogger(__name__)


class AttemptWriter:
    """Queues attempts and writes them in batches, in a background task.

    A failing store never blocks a sender: the write is retried, and once the queue is full, further attempts are
    dropped, counted and logged. A killed process loses the attempts of the last ``every`` seconds, or the whole queue
    if the store is unavailable. A row that says `delivered` decides: that message is not sent again after its worker
    was lost, or by an operator. Nothing else depends on the log.

    Used from one event loop. `awaited` returns True while the caller of `put` should wait until an attempt is stored:
    outgoing events report attempts in the order of their rows, and none may be lost with the process.
    """

    batch = 100
    every = 0.2  # seconds that the first attempt of a batch waits for others
    room = 10_000
    retry = 0.5  # seconds between retries. Constant, since the queue is lost with the process.

    def __init__(self, store: Deliveries, awaited: Callable[[], bool] = lambda: False) -> None:
        LOG_DROPPED.add(number=0)  # so that the series exists before alerts compare it
        self._store = store
        self._waiting: deque[Attempt] = deque()
        self._dropped = self._taken = 0
        self._awaited = awaited
        self._callers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, attempt: Attempt) -> asyncio.Future[None] | None:
        """Enqueue an attempt. Never blocks, and raises nothing if the store fails.

        If the caller should wait, return a future that is done once the attempt is stored.
        """
        if len(self._waiting) >= self.room:
            if not self._dropped:
                log.error("The log of attempts has a backlog of %d: further attempts are dropped.", self.room)
            self._dropped += 1
            LOG_DROPPED.add()
            return None
        self._waiting.append(attempt)
        self._some.set()
        stored = None
        if self._awaited():
            stored = asyncio.get_running_loop().create_future()
            self._callers.append((self._taken + len(self._waiting), stored))
        if stored is not None or len(self._waiting) >= self.batch:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="attempt-writer")
        return stored

    async def delivered(self, delivery_id: str) -> Attempt | None:
        """Return an attempt that delivered a message, or None if there is none. Raise StoreUnavailable."""
        for attempt in self._waiting:
            if attempt.delivery_id == delivery_id and attempt.outcome == DELIVERED:
                return attempt
        return await self._store.delivered(delivery_id)

    async def close(self, within: float = 10.0) -> None:
        """Write the queue, and stop. After `within` seconds, the rest is dropped, counted and logged."""
        for event in (self._closing, self._some, self._full):
            event.set()
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._task
        if self._waiting:
            log.error("%d delivery attempts were not stored before the process ended.", len(self._waiting))
            LOG_DROPPED.add(number=len(self._waiting))
            self._waiting.clear()

    async def _run(self) -> None:
        failures = 0
        while self._waiting or not self._closing.is_set():
            await self._some.wait()
            await _within(self.every, self._full)
            batch = list(islice(self._waiting, self.batch))
            try:
                await self._write(batch)
            except StoreUnavailable as error:
                failures += 1
                if failures.bit_count() == 1:  # of 1, 2, 4, 8…: it may be unavailable for hours
                    log.warning("%d delivery attempts are waiting to be stored: %s", len(self._waiting), error)
                # While closing, hurry: close() has a time limit.
                await (asyncio.sleep(self.every) if self._closing.is_set() else _within(self.retry, self._closing))
                continue
            failures = 0
            for _ in batch:
                self._waiting.popleft()
            self._taken += len(batch)
            while self._callers and self._callers[0][0] <= self._taken:
                _, stored = self._callers.popleft()
                if not stored.done():
                    stored.set_result(None)
            if self._dropped:
                log.error("%d delivery attempts were dropped because of the backlog.", self._dropped)
                self._dropped = 0
            if not self._closing.is_set():
                if not self._waiting:
                    self._some.clear()
                if len(self._waiting) < self.batch and not self._callers:
                    self._full.clear()

    async def _write(self, batch: Sequence[Attempt]) -> None:
        try:
            if batch:
                await self._store.record(batch)
        except StoreUnavailable:
            raise
        except Exception:
            # A single bad attempt must stop neither the others nor this task.
            if len(batch) > 1:
                for attempt in batch:
                    await self._write([attempt])
            else:
                LOG_DROPPED.add()
                log.exception("Attempt %d of %s was not stored.", batch[0].attempt, batch[0].delivery_id)


async def _within(seconds: float, event: asyncio.Event) -> None:
    # Not `asyncio.wait_for`: before Python 3.12 it may lose a cancellation.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
