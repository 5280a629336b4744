"""A search for a contact's journeys that were started through Temporal itself and that no worker has admitted.

The store knows the entries that a gateway has accepted. Only Temporal's search finds those that an engine, a schedule
or `Enter` has started. A server allows some ten searches a second, so journeys are searched for only while workflow
tasks wait for a worker, and for many contacts together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError

from activities.interface import JOURNEYS
from gateway.errors import NotFound
from gateway.journeys.pending_activities import check_identifier
from gateway.service.index import JourneyFilter, JourneyIndex, one_of, query_of, tolerating_no_search
from runtime.connection import describe_queue
from runtime.search_attributes import CONTACT_ID
from runtime.store import AcceptedEntry

FRESH: Final = 1.0
"""Seconds for which the state of the backlog is cached."""
STALE: Final = 60.0
"""Seconds for which it is used while the server does not answer."""
APART: Final = 0.5
"""Seconds between two searches."""
_TOGETHER: Final = 50  # contacts in one search
_PATIENCE: Final = timedelta(seconds=3)

Found = Mapping[str, Sequence[AcceptedEntry]]
"""Running journeys by their contact's id."""


class UnadmittedSearch:
    """Searches for journeys that may be waiting for their admission."""

    def __init__(self, temporal: Client) -> None:
        self._temporal, self._index = temporal, JourneyIndex(temporal)
        self._behind, self._asked_at = True, -STALE
        self._asking = asyncio.Lock()
        self._wanted: set[str] = set()
        self._next: asyncio.Task[Found] | None = None
        self._searched_at = -APART

    async def of(self, contact: str) -> Sequence[AcceptedEntry]:
        """Return a contact's running journeys, perhaps admitted ones, while tasks wait for a worker, or else none."""
        try:
            check_identifier(contact)
        except NotFound:  # no workflow has it in its id
            return []
        if not await self._is_behind():
            return []
        self._wanted.add(contact)
        if self._next is None:
            self._next = asyncio.create_task(self._search())
        return (await asyncio.shield(self._next)).get(contact, [])

    async def close(self) -> None:
        """Cancel the pending search."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)

    async def _is_behind(self) -> bool:
        """Return True if tasks wait for a worker, or if that is not known."""
        async with self._asking:
            age = monotonic() - self._asked_at
            if age >= FRESH:
                await self._ask(age)
            return self._behind

    async def _ask(self, age: float) -> None:
        try:
            answer = await describe_queue(self._temporal, JOURNEYS, _PATIENCE, workflows=True, stats=True)
        except RPCError:
            self._behind = self._behind or age >= STALE
            return
        self._behind = not answer.HasField("stats") or answer.stats.approximate_backlog_count > 0
        self._asked_at = monotonic()

    async def _search(self) -> Found:
        await asyncio.sleep(self._searched_at + APART - monotonic())
        contacts, self._wanted, self._next = sorted(self._wanted), set(), None
        self._searched_at = monotonic()
        found: dict[str, list[AcceptedEntry]] = {}
        for start in range(0, len(contacts), _TOGETHER):
            some = contacts[start : start + _TOGETHER]
            query = query_of(JourneyFilter(), one_of(CONTACT_ID.name, some))
            with tolerating_no_search():
                for one in await self._index.find(query, patience=_PATIENCE):
                    contact = one.contact or ""
                    entry = AcceptedEntry(one.id, one.run_id, contact, one.started_at)
                    found.setdefault(contact, []).append(entry)
        return found
