"""What contacts are told: what happened to them, and which of their fields changed. Each of their journeys hears it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from temporalio.client import Client
from temporalio.service import RPCError

from activities.content import Content
from activities.goal import count
from gateway import events
from gateway.errors import BadInput, UnknownJourney
from runtime.encryption.keyring import Erased
from runtime.store import Store, StoredEntry
from runtime.store.erasure import ERASED
from runtime.temporal_faults import is_unknown_workflow
from scenario.steps.host import Event


@dataclass(frozen=True)
class Heard:
    """Who heard of an event.

    Attributes:
        journeys: How many journeys under way were told. Each counts its goal itself.
        goals: How many goals were counted of journeys that are over.
        troubles: By the journeys among these: what of their goal could not be worked out.
    """

    journeys: int
    goals: int = 0
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])


class Telling:
    """The part of the client that tells."""

    temporal: Client
    store: Store
    content: Content
    zone: ZoneInfo

    async def event(
        self,
        contact: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
        scenarios: Collection[str] | None = None,
    ) -> Heard | None:
        """Tells every journey of a contact that something happened, and counts the goals of those that are over.

        Args:
            contact: The contact's id.
            name: Such as ``order.delivered``.
            properties: What conditions see as ``event.…``.
            identifier: The engine's id of the event: told twice, it counts once.
            at: When it happened, where that was not just now. What waits for it goes on now all the same; `event.time`
                and the goal go by this.
            scenarios: Tell only journeys of these.

        Returns:
            Who heard of it; None where nobody knows the contact.

        Raises:
            BadInput: It is not an event that a journey takes; the text says why.
        """
        message = events.event(name, properties, identifier, at)
        heard = await self._tell(contact, "event", message, scenarios)
        if heard is None:
            return None
        # Looked for when the others have been told: what ends in between is over by now, or has heard of it.
        now = datetime.now(UTC)
        happened = now if at is None else min(at, now)
        event = Event(name=message["name"], properties=message["properties"], at=happened.isoformat())
        counted = {
            entry.workflow_id: await count(self.store, self.content, entry, event)
            for entry in await self.store.open_goals(contact, happened)
            if entry.admitted_at <= happened and (scenarios is None or entry.scenario in scenarios)
        }
        troubles = {
            journey: f"{'the value of its goal' if told.reached else 'its goal'} is ignored: {told.error}"
            for journey, told in counted.items()
            if told.error
        }
        return Heard(heard, sum(told.reached for told in counted.values()), troubles)

    async def event_for(
        self,
        journey: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
    ) -> bool:
        """Tells one journey that something happened.

        Args:
            journey: The workflow id.
            name: As for `event`, and so are the others.
            properties: See there.
            identifier: See there.
            at: See there.

        Returns:
            Whether it was told; False where it is over.

        Raises:
            BadInput: It is not an event that a journey takes; the text says why.
            UnknownJourney: The store knows no such journey.
        """
        message = events.event(name, properties, identifier, at)
        entry = await self.store.entry(journey)
        if entry is None:
            raise UnknownJourney(f"there is no journey {journey}")
        return entry.ended_at is None and await self._signal(entry, "event", message)

    async def contact_changed(
        self, contact: str, patch: Mapping[str, Any], *, scenarios: Collection[str] | None = None
    ) -> int | None:
        """Tells every journey of a contact which of its fields changed.

        A journey passes the change over where its contact would be larger than 1 MB with it.

        Args:
            contact: The contact's id.
            patch: Fields of the contact.
            scenarios: Tell only journeys of these.

        Returns:
            How many were told; None where nobody knows the contact.

        Raises:
            BadInput: It is not a change that a journey takes; the text says why.
        """
        changes = events.change(patch, self.zone)
        return await self._tell(contact, "contact_changed", changes, scenarios)

    async def _tell(
        self, contact: str, signal: str, argument: dict[str, Any], scenarios: Collection[str] | None
    ) -> int | None:
        if await self.store.is_erased(contact):
            raise BadInput(ERASED)
        running = await self.store.running(contact)
        if not running and not await self.store.knows(contact):
            return None
        running = [entry for entry in running if scenarios is None or entry.scenario in scenarios]
        return sum(await asyncio.gather(*(self._signal(entry, signal, argument) for entry in running)))

    async def _signal(self, entry: StoredEntry, signal: str, argument: dict[str, Any]) -> bool:
        # Not pinned to a run: the journey may have continued as new since.
        handle = self.temporal.get_workflow_handle(entry.workflow_id, first_execution_run_id=entry.run_id)
        try:
            await handle.signal(signal, argument)
        except Erased:  # a moment ago
            raise BadInput(ERASED) from None
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
            # It ended without a departure: it was terminated, say.
            await self.store.depart(entry.workflow_id, entry.run_id, "lost", "its workflow is gone", datetime.now(UTC))
            return False
        return True
