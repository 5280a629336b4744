"""Folders of the local state, ``.scenario/`` and what is below it."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.errors import LocalError


def make_folder(folder: Path) -> None:
    """Makes a folder, if need be, and makes sure that files can be written to it.

    Raises:
        LocalError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise LocalError(f"the folder {folder} cannot be written to: look at its rights, or choose another")
