"""Watches `destinations.yaml` while a worker runs, and reads it again when it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import read
from runtime.watched_file import WatchedFile

VARIABLE: Final = "SCENARIO_DESTINATIONS"
"""The setting that names the file."""


class DestinationsFile(WatchedFile[Destinations]):
    """The book as it is now.

    Args:
        path: Of `destinations.yaml`; None where there is none: then there are no destinations.
        every: Seconds between two looks at the file.
        clock: Seconds, for tests.
        wall: Seconds since 1970, as files have them; for tests.

    Raises:
        DestinationsError: The file cannot be used at the start.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(path, read=read, empty=Destinations(), size=_size, every=every, clock=clock, wall=wall)

    @property
    def book(self) -> Destinations:
        """What the file says; the same object until the file says something else."""
        return self.content

    @property
    def names(self) -> tuple[str, ...]:
        """The destinations' names, sorted."""
        return self.book.names


def _size(book: Destinations) -> str:
    return f"{len(book.destinations)} destinations"
