"""How a process exits.

An interpreter that shuts down while threads of Temporal's native library still call into it can crash with SIGSEGV or
SIGABRT after all work is done (https://github.com/temporalio/sdk-python/issues/300). So a process that used a client
does not let it shut down: it flushes what is left to flush, and ends at once.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from runtime.telemetry.telemetry import PATIENCE, Telemetry


def leave(status: int, telemetry: Telemetry | None = None, *, patience: float = PATIENCE) -> NoReturn:
    """Ends the process, with nothing lost that was written or traced.

    To be called last, by a process's main function, when everything that it opened is closed: no `finally`, no
    `atexit` handler runs after it.

    Args:
        status: The exit status.
        telemetry: What was started.
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
