"""The local activity that reports a held journey as an outgoing event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from activities.interface import REPORT_HELD, HeldJourney
from runtime.store import Store


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
            datetime.fromisoformat(held.at),
            subject=held.workflow_id,
            scenario=name,
            contact_id=held.contact,
            data={"version": int(version), **data},
        )
