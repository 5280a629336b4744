"""A command of ours that kills itself when it calls a function for the nth time.

TEST_DIES=runtime.store.store:Store.accept:30 python -m tests.e2e.mortal serve --api
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

from gateway.cli import program

if __name__ == "__main__":
    path, _, number = os.environ["TEST_DIES"].rpartition(":")
    real, calls = resolve_name(path), itertools.count(1)

    def call(*given: Any, **more: Any) -> Any:
        if next(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)

    with patch(path.replace(":", "."), call):
        program.run(sys.argv[1:])
