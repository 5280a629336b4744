"""Watches `destinations.yaml` while a worker runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from temporalio import activity

from activities.interface import CLEAR, DestinationPolicy, DestinationPolicyRequest
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import read
from runtime.watched_file import WatchedFile

VARIABLE: Final = "SCENARIO_DESTINATIONS"
"""The setting that names the file."""


class DestinationsFile(WatchedFile[Destinations]):
    """The current destinations.

    Args:
        path: Path of `destinations.yaml`; None for no destinations.
        every: Seconds between two checks of the file.
        clock: A clock in seconds, for tests.
        wall: Seconds since 1970, for tests.

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
        """The destinations; the same object until the file changes."""
        return self.content

    @property
    def names(self) -> tuple[str, ...]:
        return self.book.names


def _size(book: Destinations) -> str:
    return f"{len(book.destinations)} destinations"


class DestinationPolicies:
    """A local activity: the answer is in memory."""

    def __init__(self, destinations: DestinationsFile) -> None:
        self._destinations = destinations

    @activity.defn(name=CLEAR.name)
    async def clear(self, given: DestinationPolicyRequest) -> DestinationPolicy:
        """Return a destination's policy, or an empty one if this process does not know the destination.

        Workers of the queue `webhooks` may know other destinations than those of `journeys`, and judge unknown ones.
        """
        found = self._destinations.book.get(given.destination)
        return (
            DestinationPolicy() if found is None else DestinationPolicy(retry=dict(found.retry), timeout=found.timeout)
        )
