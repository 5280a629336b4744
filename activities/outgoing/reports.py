"""What workers report as outgoing events: held journeys, and destinations that they have paused."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio import activity

from activities.interface import REPORT_HELD, HeldJourney
from runtime.store import Store, StoreError

logger = logging.getLogger(__name__)

_AGAIN: Final = 5.0  # seconds


@dataclass(frozen=True)
class HeldReports:
    """Reports held journeys."""

    store: Store

    @activity.defn(name=REPORT_HELD.name)
    async def report_held(self, held: HeldJourney) -> None:
        """Store the event, if it is wanted. Idempotent."""
        if await self.store.is_erased(held.contact):
            return
        name, _, version = held.scenario.partition("@")
        words = ("step", "kind", "cause", "destination", "status", "attempts")
        data = {word: value for word in words if (value := getattr(held, word)) not in (None, "")}
        await self.store.report_event(
            "journey.held",
            held.id,
            datetime.fromisoformat(held.at),
            subject=held.workflow_id,
            scenario=name,
            contact_id=held.contact,
            data={"version": int(version), **data},
        )


class DestinationPauses:
    """Writes pauses and recoveries in the background. Of a destination's changes that wait, the latest is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, datetime | None] = {}
        self._task: asyncio.Task[None] | None = None

    def __call__(self, destination: str, paused: bool) -> None:
        """Record that a destination is paused, or answers again. Never blocks."""
        self._waiting[destination] = datetime.now(UTC) if paused else None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write(), name="destination-pauses")

    async def _write(self) -> None:
        while self._waiting:
            destination, paused_at = next(iter(self._waiting.items()))
            try:
                if paused_at is not None:
                    await self._store.pause_destination(destination, paused_at)
                else:
                    await self._store.recover_destination(destination)
            except StoreError as error:
                logger.warning("the pause of a destination is not recorded yet: %s", error)
                await asyncio.sleep(_AGAIN)
            else:
                if self._waiting.get(destination, paused_at) == paused_at:
                    self._waiting.pop(destination, None)

    async def close(self) -> None:
        """Stop writing; reports that are still pending are dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
