"""The programs that tests start or load, most of which come with the group `test`, and ports for their servers."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

_PORTS: Final = range(20_000, 32_000)
"""Ports that the system gives to nobody who asks for a free one, neither server nor client."""
_tries = itertools.count(os.getpid() * 101)  # processes of the suite begin at different ports


def reserved_port() -> int:
    """Return a port for a server that another process starts later. Until then no other test takes it."""
    while True:
        port = _PORTS[next(_tries) % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # another program listens there
                continue
        return port


def find(name: str) -> Path:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"the program '{name}' is not installed")
    return Path(found)


def time_skipping_server() -> Path:
    return find("temporal-test-server")


def load(path: Path) -> ModuleType:
    """Load a program that is no module of a package."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
