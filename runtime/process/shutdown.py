"""Shutdown of a process: one deadline for all that it closes, the end of background tasks, and its exit."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from runtime.telemetry.telemetry import PATIENCE, Telemetry


class Deadline:
    """A time limit for the whole shutdown, counted from the request to stop.

    An orchestrator kills a process after its grace period. Each step of a shutdown has its own timeout, since it
    may wait for a receiver, the store or a collector. Together they must not exceed this limit.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end: float | None = None

    def begin(self) -> None:
        """Start to count. Idempotent."""
        if self._end is None:
            self._end = self._clock() + self.seconds

    def left(self, most: float, *, keep: float = 0.0) -> float:
        """Return the seconds that one step may take, at least 0, with `keep` seconds for later steps."""
        if self._end is None:
            return most
        return max(0.0, min(most, self._end - self._clock() - keep))


@asynccontextmanager
async def background_task(work: Coroutine[Any, Any, None], name: str) -> AsyncGenerator[None]:
    """Run an endless coroutine, and cancel it at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def exit_process(status: int, telemetry: Telemetry | None = None, *, patience: float = PATIENCE) -> NoReturn:
    """Flush logs, traces and standard streams, and end the process. No `finally` or `atexit` handler runs after it.

    An interpreter that shuts down while threads of Temporal's native library call into it can crash with SIGSEGV or
    SIGABRT (https://github.com/temporalio/sdk-python/issues/300). So a process that used a client skips that.
    """
    try:
        if telemetry is not None:
            telemetry.shutdown(patience)
        logging.shutdown()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                # The reader has ended (`scenario list | head`), or the stream is closed.
                continue
        os._exit(status)
