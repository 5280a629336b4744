"""Local stand-ins: a Temporal server, a mail server and a receiver of webhooks; and their state, ``.scenario/``.

Its files hold sent and received messages including credentials, so only their user may read them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from runtime.errors import LocalError

STATE: Final = ".scenario"
"""The default folder. Its permissions are restricted if others may read it."""


def make_folder(folder: Path) -> None:
    """Create a folder like `make_private`, and check that it is writable."""
    try:
        make_private(folder)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise LocalError(f"the folder {folder} cannot be written to: check its permissions, or choose another")


def make_private(folder: Path) -> None:
    """Create a folder and its parents with mode 0700. Existing ones keep their mode, except `STATE`."""
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
        elif each.name == STATE and each.stat().st_mode & 0o077:
            with suppress(PermissionError):  # another user's, shared on purpose
                each.chmod(0o700)
    folder.mkdir(exist_ok=True)  # refuses a file of that name


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, with mode 0600."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    partial.replace(path)
