"""How the suite is spread over the machine."""

from __future__ import annotations

import os


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: some tests wait for servers, and one waits for a minute of chaos.

    (They are handed out by work stealing, since the slow ones stand side by side.)
    """
    return len(os.sched_getaffinity(0)) + 1
