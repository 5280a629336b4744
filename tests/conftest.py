"""How the suite is spread over the machine, and what it keeps between its processes."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

_COMPILED = Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled"

# Some images set PYTHONDONTWRITEBYTECODE. Then each worker of the tests, each command and each workflow sandbox would
# compile all it imports again, which takes longer than most tests. Compiled modules are kept here, out of the sources.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(_COMPILED)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores: some tests wait for servers, and one waits for a minute of chaos.

    (They are handed out by work stealing.)
    """
    return len(os.sched_getaffinity(0)) + 2


def pytest_collection_finish() -> None:
    """Spares what was collected from the garbage collector, which would go through all of it again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the tests of real servers evenly among the others: side by side, the last of them would run alone."""
    slow = [item for item in items if "e2e" in item.path.parts]
    quick = [item for item in items if "e2e" not in item.path.parts]
    places = {id(item): index / max(len(some), 1) for some in (slow, quick) for index, item in enumerate(some)}
    items.sort(key=lambda item: places[id(item)])
