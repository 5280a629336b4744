"""The local activity that gives a delivery's place under caps back, where no attempt of it did."""

from __future__ import annotations

from typing import Protocol

from temporalio import activity

from activities.interface import RELEASE, Release


class Places(Protocol):
    """Who knows places under caps: `runtime.store.Store`."""

    async def release(self, delivery_id: str) -> None:
        """Gives a place back, unless something may have arrived."""
        ...


class Releases:
    """Gives places back."""

    def __init__(self, places: Places) -> None:
        self._places = places

    @activity.defn(name=RELEASE.name)
    async def release(self, release: Release) -> None:
        """Gives the place of a delivery back, if it has one.

        Raises:
            StoreError: The store cannot be written to.
        """
        await self._places.release(release.delivery)
