"""Writes attempts into the log without making anybody wait."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Protocol, Self

from runtime.errors import StoreUnavailable
from runtime.store.deliveries import Attempt
from runtime.telemetry.metrics import LOG_DROPPED

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """What attempts are given to: a ``Store``."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts down; those that are there already are left as they are."""
        ...


class AttemptWriter:
    """Takes attempts at once and writes them in batches, in a task of its own.

    A store that fails never disturbs a sender: what could not be written is tried again, and when too much waits,
    what comes then is dropped and counted in the log. A process that is killed loses what it took within ``every``
    seconds; while the store is away, and for ``retry`` seconds after that, all that waits. The log of attempts is for
    people; nothing that a journey decides is lost with it.

    Used from one event loop's thread.

    Example::

        async with AttemptWriter(store) as writer:
            writer.put(attempt)

    Attributes:
        batch: Attempts that are written together at most.
        every: Seconds that the first of a batch waits for others, unless the batch is full sooner.
        room: Attempts that may wait.
        retry: Seconds before a failed store is tried again. It does not grow: what waits is lost with the process.
    """

    batch = 100
    every = 0.2
    room = 10_000
    retry = 0.5

    def __init__(self, store: Recorder) -> None:
        """Prepare; the task starts with the first attempt.

        Args:
            store: What is written to. It must outlive the writer.
        """
        LOG_DROPPED.add(number=0)  # so that it is there, for alerts to see it grow
        self._store = store
        self._waiting: deque[Attempt] = deque()
        self._dropped = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, attempt: Attempt) -> None:
        """Take an attempt. Returns at once, and raises nothing on account of the store."""
        if len(self._waiting) >= self.room:
            if not self._dropped:
                log.error("The store is behind: %d delivery attempts wait, further ones are dropped.", self.room)
            self._dropped += 1
            LOG_DROPPED.add()
            return
        self._waiting.append(attempt)
        self._some.set()
        if len(self._waiting) >= self.batch:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="attempt-writer")

    async def close(self, within: float = 10.0) -> None:
        """Write what waits, and stop.

        Args:
            within: Seconds after which what is left is given up, and counted in the log.
        """
        for event in (self._closing, self._some, self._full):
            event.set()
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._task
        if self._waiting:
            log.error("%d delivery attempts could not be written down before the end.", len(self._waiting))
            LOG_DROPPED.add(number=len(self._waiting))
            self._waiting.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
                if failures.bit_count() == 1:  # of 1, 2, 4, 8…: it may be away for hours
                    log.warning("%d delivery attempts wait to be written down: %s", len(self._waiting), error)
                # Once closing, hurry: close() says how long.
                await (asyncio.sleep(self.every) if self._closing.is_set() else _within(self.retry, self._closing))
                continue
            failures = 0
            for _ in batch:
                self._waiting.popleft()
            if self._dropped:
                log.error("%d delivery attempts were dropped while the store was behind.", self._dropped)
                self._dropped = 0
            if not self._closing.is_set():
                if not self._waiting:
                    self._some.clear()
                if len(self._waiting) < self.batch:
                    self._full.clear()

    async def _write(self, batch: Sequence[Attempt]) -> None:
        try:
            if batch:
                await self._store.record(batch)
        except StoreUnavailable:
            raise
        except Exception:
            # One that the store refuses, or that is not a proper attempt, must keep neither the others nor this task.
            if len(batch) > 1:
                for attempt in batch:
                    await self._write([attempt])
            else:
                LOG_DROPPED.add()
                log.exception("Attempt %d of %s was not written down.", batch[0].attempt, batch[0].delivery_id)


async def _within(seconds: float, event: asyncio.Event) -> None:
    # Not `asyncio.wait_for`: before Python 3.12 it may lose a cancellation.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
