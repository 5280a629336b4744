"""A worker or a gateway that kills itself when it calls a function for the nth time, and otherwise erases in a hurry.

TEST_DIES=activities.erasure:ErasureActivities._terminate:20 python -m tests.e2e.mortal worker
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import worker
from activities import erasure
from gateway.cli import program
from workflows import background


def dying(where: str | None) -> AbstractContextManager[Any]:
    """A patch by which this process is killed at the nth call of a function: ``module:path.name:n``."""
    if where is None:
        return nullcontext()
    path, _, number = where.rpartition(":")
    real, calls = resolve_name(path), itertools.count(1)

    def call(*given: Any, **more: Any) -> Any:
        if next(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)

    return patch(path.replace(":", "."), call)


if __name__ == "__main__":
    with (
        patch.object(erasure, "PAUSES", (1.0,)),
        patch.object(erasure, "EVERY", 0.5),
        patch.object(background, "HEARTBEAT", timedelta(seconds=3)),
        patch.object(worker, "_STICKY", timedelta(seconds=1)),
        dying(os.environ.get("TEST_DIES")),
    ):
        if sys.argv[1] == "worker":
            worker.main(sys.argv[2:])
        program.run(sys.argv[1:])
