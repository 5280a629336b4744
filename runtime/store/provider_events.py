"""Providers' events that had an effect, and the deliveries that such events are about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from runtime.store.database import Queries, insert_new
from runtime.store.deliveries import deliveries
from runtime.store.schema import provider_events

_seen = provider_events.c
_sent = deliveries.c


@dataclass(frozen=True, slots=True)
class SentDelivery:
    """The latest attempt of a delivery, without the response."""

    delivery_id: str
    workflow_id: str
    contact_id: str
    scenario: str
    version: int
    step: str
    sent_at: datetime
    """Start of the attempt."""
    recipient: str | None
    """Hash of the address that it was sent to, or None if that is unknown."""


class ProviderEvents(Queries):
    """The table of providers' events, by the hashes of their ids."""

    async def known_provider_events(self, hashes: Collection[str]) -> set[str]:
        """Return those of these events that had their effect."""
        if not hashes:
            return set()
        rows = await self._database.read(sa.select(_seen.event_hash).where(_seen.event_hash.in_(hashes)))
        return {row["event_hash"] for row in rows}

    async def keep_provider_events(self, hashes: Collection[str], at: datetime) -> None:
        """Record events that had their effect. Idempotent."""
        if hashes:
            rows = [{"event_hash": one, "seen_at": at} for one in hashes]
            await self._database.write_many(insert_new(self._database.insert, provider_events), rows)

    async def sent_deliveries(self, delivery_ids: Collection[str]) -> dict[str, SentDelivery]:
        """Return journeys' deliveries by id. Unknown ones and test messages are missing."""
        if not delivery_ids:
            return {}
        is_sent = (_sent.delivery_id.in_(delivery_ids), _sent.test_by.is_(None))
        found = await self._all(SentDelivery, sa.select(*_SENT).where(*is_sent).order_by(_sent.started_at))
        return {one.delivery_id: one for one in found}


_SENT = (
    *(_sent.delivery_id, _sent.workflow_id, _sent.contact_id, _sent.scenario, _sent.version, _sent.step),
    *(_sent.started_at.label("sent_at"), _sent.recipient),
)
