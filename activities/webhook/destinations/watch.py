"""The destinations of a running worker: `destinations.yaml`, read again whenever it changes."""

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
    """The book as it is now.

    Args:
        path: Of `destinations.yaml`, or None if there is none: then there are no destinations.
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


class DestinationPolicies:
    """A local activity: the answer is in memory."""

    def __init__(self, destinations: DestinationsFile) -> None:
        self._destinations = destinations

    @activity.defn(name=CLEAR.name)
    async def clear(self, given: DestinationPolicyRequest) -> DestinationPolicy:
        """What a destination asks for; nothing if this process does not know it.

        An unknown destination is not judged here but where it is sent to: the workers that serve `webhooks` may know
        others than those that serve `journeys`.
        """
        found = self._destinations.book.get(given.destination)
        return (
            DestinationPolicy() if found is None else DestinationPolicy(retry=dict(found.retry), timeout=found.timeout)
        )
