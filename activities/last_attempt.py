"""What a receiver last said to a delivery, from the log: a local activity for a journey that is about to be held."""

from __future__ import annotations

from typing import Protocol

from temporalio import activity

from activities.interface import RECALL, Recalled, Recollection
from runtime.store.deliveries import Attempt


class Past(Protocol):
    """Who knows past attempts: `runtime.store.Store`."""

    async def deliveries(self, *, delivery_id: str, limit: int) -> list[Attempt]:
        """The newest attempts of a delivery, the oldest of them first."""
        ...


class Recollections:
    """Looks attempts up."""

    def __init__(self, past: Past) -> None:
        self._past = past

    @activity.defn(name=RECALL.name)
    async def recall(self, recollection: Recollection) -> Recalled:
        """How the latest attempt on record ended; nothing where there is none.

        Raises:
            StoreError: The store could not be read.
        """
        found = await self._past.deliveries(delivery_id=recollection.delivery, limit=1)
        if not found:
            return Recalled()
        latest = found[-1]
        return Recalled(
            status=latest.status, error=latest.error or "", excerpt=latest.response or "", now=latest.now or ""
        )
