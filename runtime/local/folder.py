"""Folders of the local state, ``.scenario/`` and what is below it, and the files in them.

They hold what was sent and received, credentials included: they are their user's alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from runtime.errors import LocalError

STATE: Final = ".scenario"
"""The usual folder. If it is open to other users, it is closed."""


def make_folder(folder: Path) -> None:
    """Makes a folder as `make_private` does, and makes sure that files can be written to it.

    Raises:
        LocalError: It cannot be made or written to.
    """
    try:
        make_private(folder)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise LocalError(f"the folder {folder} cannot be written to: check its permissions, or choose another")


def make_private(folder: Path) -> None:
    """Makes a folder and what is missing above it, with the mode 0700. Those that are there keep theirs, but `STATE`.

    Raises:
        OSError: It cannot be made.
    """
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
        elif each.name == STATE and each.stat().st_mode & 0o077:
            with suppress(PermissionError):  # it is somebody else's, who shares it
                each.chmod(0o700)
    folder.mkdir(exist_ok=True)  # refuses a file of that name


def write_private(path: Path, content: bytes) -> None:
    """Writes a file with the mode 0600. Whoever reads the folder sees it whole or not at all."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    partial.replace(path)
