"""Suppressed addresses, identified by HMACs; see `runtime.derived_keys`.

Queries take all hashes of an address: one for each key that was ever in use, the current one first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from runtime.store.database import Queries, in_chunks, insert_new, matching, row_of
from runtime.store.schema import SafeText, soft_bounces, table_of
from scenario.policies.suppression import SOFT, SOFT_BOUNCES, SOFT_SPAN, Suppression, lasting

suppressions = table_of(
    "suppressions",
    Suppression,
    sa.Column("source", SafeText, nullable=False),
    # The address first: read before each attempt.
    sa.PrimaryKeyConstraint("channel", "address_hash", "scope", "source"),
    sa.Index(None, "suppressed_at"),
)
"""Suppressed addresses, and the reasons."""

_table = suppressions.c
_soft = soft_bounces.c

SUPPRESSED_TOGETHER: Final = 1_000
"""Maximum number of suppressions of a statement."""


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
        """Remove and return the suppressions of an address.

        Args:
            scope: Only those of this list; "" is the suppression of all lists.
        """
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
        """Return the suppressions that match, the newest first.

        Args:
            scope: Only those of this list; "" is the suppression of all lists.
        """
        where = matching(suppressions, channel=channel, source=source, scope=scope)
        if since is not None:
            where.append(_table.suppressed_at >= since)
        return await self._newest(Suppression, suppressions, where, _ORDER, after, limit)

    async def suppression_counts(self) -> dict[tuple[str, str], int]:
        """Count the suppressions by channel and source."""
        rows = await self._database.read(_COUNTS)
        return {(row["channel"], row["source"]): row["suppressions"] for row in rows}

    async def record_soft_bounce(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        """Record a soft bounce, and return True if the address is now suppressed. Idempotent for a delivery."""
        row = {"channel": channel, "address_hash": addresses[0], "delivery_id": delivery_id, "bounced_at": at}
        await self._database.write(insert_new(self._database.insert, soft_bounces), row)
        asked = {"channel": channel, "addresses": list(addresses), "since": at - SOFT_SPAN, "until": at + SOFT_SPAN}
        [count] = await self._database.read(_SOFT, asked)
        if not lasting(count["bounces"]):
            return False
        evidence = f"{SOFT_BOUNCES} soft bounces within {SOFT_SPAN.days} days"
        return await self.suppress(Suppression(channel, addresses[0], SOFT, at, evidence=evidence))


_ORDER = (_table.suppressed_at, _table.channel, _table.address_hash, _table.scope, _table.source)
_OF_CHANNEL = (
    sa.select(suppressions)
    .where(_table.channel == sa.bindparam("channel"))
    .order_by(_table.suppressed_at, _table.source, _table.scope)
)
_OF_ADDRESS = _OF_CHANNEL.where(_table.address_hash == sa.bindparam("address"))
_OF_ADDRESSES = _OF_CHANNEL.where(_table.address_hash.in_(sa.bindparam("addresses", expanding=True)))
_COUNTS = sa.select(_table.channel, _table.source, sa.func.count().label("suppressions")).group_by(
    _table.channel, _table.source
)
_SOFT = sa.select(sa.func.count(_soft.delivery_id.distinct()).label("bounces")).where(
    _soft.channel == sa.bindparam("channel"),
    _soft.address_hash.in_(sa.bindparam("addresses", expanding=True)),
    _soft.bounced_at > sa.bindparam("since"),
    _soft.bounced_at < sa.bindparam("until"),
)
