"""Where the programs are that tests start; they come with the packages of the groups `test` and `local`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest


def _find(name: str) -> Path:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"the program '{name}' is not installed")
    return Path(found)


def time_skipping_server() -> Path:
    """Temporal's time-skipping test server."""
    return _find("temporal-test-server")
