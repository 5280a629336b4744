"""How the suite is spread over the machine."""

from __future__ import annotations

import os

import pytest


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: some tests wait for servers, and one waits for a minute of chaos.

    (They are handed out by work stealing.)
    """
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the tests of real servers evenly among the others: side by side, the last of them would run alone."""
    slow = [item for item in items if "e2e" in item.path.parts]
    quick = [item for item in items if "e2e" not in item.path.parts]
    places = {id(item): index / max(len(some), 1) for some in (slow, quick) for index, item in enumerate(some)}
    items.sort(key=lambda item: places[id(item)])
