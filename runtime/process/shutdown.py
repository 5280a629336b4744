"""One deadline for everything that a process still does once it was asked to stop.

An orchestrator kills what has not ended by its grace period. Each thing that a process closes may wait for somebody
else: an attempt for its receiver, the log of attempts for the store, traces for their collector. Each has a longest
time of its own; what all of them take together is bounded here.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from runtime.telemetry.telemetry import PATIENCE, Telemetry


class Deadline:
    """Counts from the moment at which the process is asked to stop.

        deadline = Deadline(28)
        deadline.begin()
        await writer.close(deadline.left(10, keep=3))

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end: float | None = None

    def begin(self) -> None:
        """Starts to count, unless it counts already."""
        if self._end is None:
            self._end = self._clock() + self.seconds

    def left(self, most: float, *, keep: float = 0.0) -> float:
        """Seconds that one thing may take.

        Args:
            most: How long it may take at most; what it gets where nobody asked to stop.
            keep: Seconds that are kept for what comes after it.

        Returns:
            At least 0.
        """
        if self._end is None:
            return most
        return max(0.0, min(most, self._end - self._clock() - keep))


def exit_process(status: int, telemetry: Telemetry | None = None, *, patience: float = PATIENCE) -> NoReturn:
    """Ends the process, with nothing lost that was written or traced.

    To be called last, by a process's main function, when everything that it opened is closed: no `finally`, no
    `atexit` handler runs after it.

    Args:
        patience: Seconds for what is left of traces.
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
                # Whoever read it is gone (`scenario list | head`), or it is closed: there is no one left to tell.
                continue
        os._exit(status)
