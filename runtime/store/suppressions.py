"""Suppressed addresses, and the events from providers that may suppress one.

Addresses are identified by HMACs; see `runtime.derived_keys`. Queries take all hashes of an address: one for each key
that was ever in use, the current one first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from runtime.store.database import Queries, in_chunks, insert_new, matching, row_of
from runtime.store.deliveries import deliveries
from runtime.store.schema import Flag, SafeText, provider_events, soft_bounces, table_of
from scenario.policies.suppression import SOFT, SOFT_BOUNCES, SOFT_SPAN, Suppression, lasting

suppressions = table_of(
    "suppressions",
    Suppression,
    sa.Column("source", SafeText, nullable=False),
    sa.Column("imported", Flag, nullable=False, server_default="0"),
    # The address first: read before each attempt.
    sa.PrimaryKeyConstraint("channel", "address_hash", "scope", "source"),
    sa.Index(None, "suppressed_at"),
)
"""Suppressed addresses, and the reasons."""

_table = suppressions.c
_soft = soft_bounces.c
_seen = provider_events.c
_sent = deliveries.c

SUPPRESSED_TOGETHER: Final = 1_000  # maximum number of suppressions of a statement


@dataclass(frozen=True, slots=True)
class SentDelivery:
    """The latest attempt of a delivery, without the response."""

    delivery_id: str
    workflow_id: str
    contact_id: str
    scenario: str
    version: int
    step: str
    sent_at: datetime  # start of the attempt
    recipient: str | None  # hash of the address that it was sent to, or None if that is unknown


class Suppressions(Queries):
    """The tables of suppressions and of soft bounces, which become one."""

    async def suppress(self, suppression: Suppression) -> bool:
        """Suppress an address. Return False if it is suppressed for that reason already. Idempotent."""
        return bool(await self.suppress_many([suppression]))

    async def suppress_many(self, given: Sequence[Suppression]) -> int:
        """Suppress addresses, and return the number of new suppressions."""
        added = 0
        for some in in_chunks(given, SUPPRESSED_TOGETHER):
            rows = [row_of(suppressions, one) for one in some]
            statement = self._database.insert(suppressions).values(rows).on_conflict_do_nothing()
            added += len(await self._database.write(statement.returning(_table.source)))
        return added

    async def unsuppress(
        self, channel: str, addresses: Collection[str], *, source: str | None = None, scope: str | None = None
    ) -> list[Suppression]:
        """Remove and return the suppressions of an address. The scope "" is the suppression of all lists."""
        where = matching(suppressions, channel=channel, source=source, scope=scope)
        where.append(_table.address_hash.in_(addresses))
        if source in (SOFT, None):  # otherwise the next soft bounce would suppress it again
            await self._database.write(
                sa.delete(soft_bounces).where(_soft.channel == channel, _soft.address_hash.in_(addresses))
            )
        gone = await self._database.write(sa.delete(suppressions).where(*where).returning(*suppressions.c))
        return [Suppression(**row) for row in gone]

    async def suppressed(self, channel: str, addresses: Collection[str]) -> list[Suppression]:
        """Return the suppressions of an address, given its hashes, the oldest first."""
        # Most installations have one key. A list of parameters would have the statement compiled for each e-mail.
        first, *others = addresses
        if others:
            return await self._all(Suppression, _OF_ADDRESSES, {"channel": channel, "addresses": [first, *others]})
        return await self._all(Suppression, _OF_ADDRESS, {"channel": channel, "address": first})

    async def suppressions(
        self,
        *,
        channel: str | None = None,
        source: str | None = None,
        scope: str | None = None,
        since: datetime | None = None,
        after: Suppression | None = None,
        limit: int = 100,
    ) -> list[Suppression]:
        """Return the suppressions that match, the newest first. The scope "" is the suppression of all lists."""
        where = matching(suppressions, channel=channel, source=source, scope=scope)
        if since is not None:
            where.append(_table.suppressed_at >= since)
        return await self._newest(Suppression, suppressions, where, _ORDER, after, limit)

    async def suppression_counts(self) -> dict[tuple[str, str], int]:
        """Count the suppressions by channel and source."""
        kind = (_table.channel, _table.source)
        rows = await self._tuples(sa.select(*kind, sa.func.count()).group_by(*kind))
        return {(channel, source): n for channel, source, n in rows}

    async def record_soft_bounce(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        """Record a soft bounce, and return True if the address is now suppressed. Idempotent for a delivery."""
        row = {"channel": channel, "address_hash": addresses[0], "delivery_id": delivery_id, "bounced_at": at}
        await self._database.write(insert_new(self._database.insert, soft_bounces), row)
        asked = {"channel": channel, "addresses": list(addresses), "since": at - SOFT_SPAN, "until": at + SOFT_SPAN}
        if not lasting(await self._value(_SOFT, asked)):
            return False
        evidence = f"{SOFT_BOUNCES} soft bounces within {SOFT_SPAN.days} days"
        return await self.suppress(Suppression(channel, addresses[0], SOFT, at, evidence=evidence))


class ProviderEvents(Queries):
    """The table of providers' events, by the hashes of their ids."""

    async def known_provider_events(self, hashes: Collection[str]) -> set[str]:
        """Return those of these events that had their effect."""
        if not hashes:
            return set()
        return set(await self._values(sa.select(_seen.event_hash).where(_seen.event_hash.in_(hashes))))

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


_ORDER = (_table.suppressed_at, _table.channel, _table.address_hash, _table.scope, _table.source)
_OF_CHANNEL = (
    sa.select(suppressions)
    .where(_table.channel == sa.bindparam("channel"))
    .order_by(_table.suppressed_at, _table.source, _table.scope)
)
_OF_ADDRESS = _OF_CHANNEL.where(_table.address_hash == sa.bindparam("address"))
_OF_ADDRESSES = _OF_CHANNEL.where(_table.address_hash.in_(sa.bindparam("addresses", expanding=True)))
_SOFT = sa.select(sa.func.count(_soft.delivery_id.distinct())).where(
    _soft.channel == sa.bindparam("channel"),
    _soft.address_hash.in_(sa.bindparam("addresses", expanding=True)),
    _soft.bounced_at > sa.bindparam("since"),
    _soft.bounced_at < sa.bindparam("until"),
)
_SENT = (
    *(_sent.delivery_id, _sent.workflow_id, _sent.contact_id, _sent.scenario, _sent.version, _sent.step),
    *(_sent.started_at.label("sent_at"), _sent.recipient),
)
