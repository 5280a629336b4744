"""Tells the journeys of a contact what happened to it and which of its fields changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client
from temporalio.service import RPCError

from activities.content import Content
from activities.decision import count
from gateway import events
from gateway.errors import BadInput, UnknownJourney
from gateway.journeys.pending_activities import check_identifier, describe
from gateway.unadmitted import UnadmittedSearch
from runtime.encryption.codec import contact_of
from runtime.encryption.keyring import Erased
from runtime.store import AcceptedEntry, Store, StoredEntry
from runtime.store.erasures import ERASED
from runtime.temporal_faults import is_unknown_workflow
from scenario.steps.host import Event

_LATE: Final = timedelta(seconds=10)  # more than the clocks of a gateway and of Temporal differ


@dataclass(frozen=True)
class Heard:
    """Who an event or a change has reached. Whatever is counted here is not lost.

    Attributes:
        told: Running journeys that received it. Each counts its goal itself.
        pending: Entries that no worker has admitted yet. Temporal keeps it for them.
        goals: Goals counted for journeys that are over.
        unknown: True if nobody knows the contact: it has no journey, running or over, and no pending entry.
        troubles: Why a goal, or its value, was ignored, by journey.
    """

    told: int = 0
    pending: int = 0
    goals: int = 0
    unknown: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])


class Telling:
    """The part of the client that tells."""

    temporal: Client
    store: Store
    content: Content
    zone: ZoneInfo
    unadmitted: UnadmittedSearch

    async def event(
        self,
        contact: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
        scenarios: Collection[str] | None = None,
    ) -> Heard:
        """Tell every journey of a contact that something happened, and count the goals of those that are over.

        Args:
            contact: The contact's id.
            name: Such as ``order.delivered``.
            properties: What conditions see as ``event.…``.
            identifier: The engine's id of the event: told twice, it counts once.
            at: When it happened, where that was not just now. What waits for it goes on now all the same; `event.time`
                and the goal go by this.
            scenarios: Tell only journeys of these.

        Returns:
            Who it has reached.

        Raises:
            BadInput: It is not an event that a journey takes; the text says why.
        """
        message = events.event(name, properties, identifier, at)
        heard = await self._tell(contact, "event", message, scenarios)
        if heard.unknown:
            return heard
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
        return replace(heard, goals=sum(told.reached for told in counted.values()), troubles=troubles)

    async def event_for(
        self,
        journey: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        identifier: str | None = None,
        *,
        at: datetime | None = None,
    ) -> Heard:
        """Tell one journey that something happened.

        Args:
            journey: The workflow id.
            name: As for `event`, and so are the others.
            properties: See there.
            identifier: See there.
            at: See there.

        Returns:
            Whether it was told, or keeps the event until it is admitted. Neither if it is over.

        Raises:
            BadInput: It is not an event that a journey takes; the text says why.
            UnknownJourney: Neither the store nor Temporal knows such a journey.
        """
        message = events.event(name, properties, identifier, at)
        entry = await self.store.entry(journey)
        if entry is not None and entry.ended_at is None and await self._reach(entry, "event", message):
            return Heard(told=1)
        check_identifier(journey)
        described = await describe(self.temporal, journey)
        if described is not None and _is_new(described.workflow_execution_info, entry):
            started = described.workflow_execution_info.start_time.ToDatetime(UTC)
            run_id = described.workflow_execution_info.first_run_id
            new = AcceptedEntry(journey, run_id, contact_of(journey) or "", started)
            if await self._reach(new, "event", message):
                return Heard(pending=1)
        if entry is None:
            raise UnknownJourney(f"there is no journey {journey}")
        return Heard()

    async def contact_changed(
        self, contact: str, patch: Mapping[str, Any], *, scenarios: Collection[str] | None = None
    ) -> Heard:
        """Tell every journey of a contact which of its fields changed.

        A journey passes the change over where its contact would be larger than 1 MB with it.

        Args:
            contact: The contact's id.
            patch: Fields of the contact.
            scenarios: Tell only journeys of these.

        Returns:
            Who it has reached.

        Raises:
            BadInput: It is not a change that a journey takes; the text says why.
        """
        changes = events.change(patch, self.zone)
        return await self._tell(contact, "contact_changed", changes, scenarios)

    async def _tell(
        self, contact: str, signal: str, argument: dict[str, Any], scenarios: Collection[str] | None
    ) -> Heard:
        if await self.store.is_erased(contact):
            raise BadInput(ERASED)
        # In this order: an entry that is admitted in between is among both. If the search fails, no journey has
        # received the signal yet, so the caller can send it again even without an id.
        pending = [*await self.store.pending_entries(contact), *await self._started_elsewhere(contact)]
        running = await self.store.running(contact)
        if scenarios is not None:
            pending = [entry for entry in pending if entry.scenario in scenarios]
            running = [entry for entry in running if entry.scenario in scenarios]
        # At most one run of a journey is open, and gets the signal.
        journeys = {entry.workflow_id: entry for entry in (*pending, *running)}
        reached = await _send_all(self._reach(entry, signal, argument) for entry in journeys.values())
        if not any(reached):
            return Heard(unknown=not running and not await self.store.knows(contact, scenarios))
        admitted = [isinstance(entry, StoredEntry) for entry in journeys.values()]
        told = sum(is_open and is_in for is_open, is_in in zip(reached, admitted, strict=True))
        return Heard(told=told, pending=sum(reached) - told)

    async def _started_elsewhere(self, contact: str) -> list[AcceptedEntry]:
        """Return a contact's entries that no gateway has accepted, and no worker admitted."""
        found = await self.unadmitted.of(contact)
        admitted = await self.store.admitted([(entry.workflow_id, entry.run_id) for entry in found])
        return [entry for entry in found if (entry.workflow_id, entry.run_id) not in admitted]

    async def _reach(self, entry: StoredEntry | AcceptedEntry, signal: str, argument: dict[str, Any]) -> bool:
        """Signal a journey, admitted or pending. Return False if no run of it is open."""
        now = datetime.now(UTC)
        if isinstance(entry, AcceptedEntry) and signal == "event" and now - entry.accepted_at > _LATE:
            argument = {"at": now.isoformat(), **argument}  # it may be taken in hours later
        try:
            await self.temporal.get_workflow_handle(entry.workflow_id).signal(signal, argument)
        except Erased:  # a moment ago
            raise BadInput(ERASED) from None
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
        else:
            return True
        if isinstance(entry, AcceptedEntry):
            # Perhaps it was refused. One that Temporal has lost stays on record for `scenario store reconcile`.
            if await describe(self.temporal, entry.workflow_id, entry.run_id) is not None:
                await self.store.forget_accepted(entry)
        else:  # it ended without a departure: it was terminated, say
            await self.store.depart(entry.workflow_id, entry.run_id, "lost", "its workflow is gone", now)
        return False


async def _send_all(signals: Iterable[Awaitable[bool]]) -> list[bool]:
    """Send signals concurrently. If some fail, raise the first error once all others are done."""
    results = await asyncio.gather(*signals, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result is True for result in results]


def _is_new(info: WorkflowExecutionInfo, known: StoredEntry | None) -> bool:
    """Return whether a workflow is an open journey, in a run that the store does not know."""
    is_open = not info.HasField("close_time")
    return info.type.name == "Journey" and is_open and (known is None or known.run_id != info.first_run_id)
