"""Addresses that must not be written to, by their HMACs; see `runtime.derived_keys`.

Where an address is asked for, all its hashes are given: one for each key that was ever in use, the present one first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, RowMapping, bindparam, delete, func, select, tuple_

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import soft_bounces, suppressions
from scenario.policies.suppression import SOFT, SOFT_BOUNCES, SOFT_SPAN, Suppression, lasting

_table = suppressions.c
_soft = soft_bounces.c

SUPPRESSED_TOGETHER: Final = 1_000
"""Suppressions that one statement writes at most."""


class Suppressions(Queries):
    """The table of suppressions, and that of soft bounces, some of which become one."""

    async def suppress(self, suppression: Suppression) -> bool:
        """Write to an address no more. Returns False where that was said already, which stays as it was said."""
        return bool(await self.suppress_many([suppression]))

    async def suppress_many(self, given: Sequence[Suppression]) -> int:
        """As `suppress`, for many.

        Returns:
            How many of them had not been said before.
        """
        added = 0
        for start in range(0, len(given), SUPPRESSED_TOGETHER):
            rows = [{name: getattr(one, name) for name in _NAMES} for one in given[start : start + SUPPRESSED_TOGETHER]]
            statement = self._database.insert(suppressions).values(rows).on_conflict_do_nothing()
            added += len(await self._database.write(statement.returning(_table.source)))
        return added

    async def unsuppress(
        self, channel: str, addresses: Collection[str], *, source: str | None = None, scope: str | None = None
    ) -> list[Suppression]:
        """Write to an address again.

        Args:
            channel: By what.
            addresses: Its hashes.
            source: Only what was suppressed for this.
            scope: Only what is about this list; "" is about all.

        Returns:
            What stood against it.
        """
        where = [_table.channel == channel, _table.address_hash.in_(addresses)]
        where += [_table.source == source] if source is not None else []
        where += [_table.scope == scope] if scope is not None else []
        if source in (SOFT, None):  # else the next one would be the third again
            await self._database.write(
                delete(soft_bounces).where(_soft.channel == channel, _soft.address_hash.in_(addresses))
            )
        gone = await self._database.write(delete(suppressions).where(*where).returning(*suppressions.c))
        return [_suppression(row) for row in gone]

    async def suppressed(self, channel: str, addresses: Collection[str]) -> list[Suppression]:
        """All that stands against an address, the oldest first.

        Args:
            channel: By what.
            addresses: Its hashes.
        """
        # Nearly always there is one key, and every e-mail asks: a list has the statement written anew each time.
        first, *others = addresses
        if others:
            asked = self._database.read(_OF_ADDRESSES, {"channel": channel, "addresses": [first, *others]})
        else:
            asked = self._database.read(_OF_ADDRESS, {"channel": channel, "address": first})
        return [_suppression(row) for row in await asked]

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
        """Suppressions, the newest first.

        Args:
            channel: Only those on this channel.
            source: Only those for this.
            scope: Only those about this list; "" is about all.
            since: Only those since then.
            after: Only those that come after this one: the last of a page, for the next page.
            limit: So many at most.
        """
        wanted = {"channel": channel, "source": source, "scope": scope}
        where: list[ColumnElement[bool]] = [
            _table[name] == value for name, value in wanted.items() if value is not None
        ]
        if since is not None:
            where.append(_table.suppressed_at >= since)
        if after is not None:
            where.append(tuple_(*_ORDER) < tuple(getattr(after, column.name) for column in _ORDER))
        statement = select(suppressions).where(*where).order_by(*(column.desc() for column in _ORDER)).limit(limit)
        return [_suppression(row) for row in await self._database.read(statement)]

    async def suppression_counts(self) -> dict[tuple[str, str], int]:
        """How many there are, by channel and source."""
        rows = await self._database.read(_COUNTS)
        return {(row["channel"], row["source"]): row["suppressions"] for row in rows}

    async def soft(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        """Note a soft bounce, and write to the address no more where there were too many of them.

        May be repeated: a delivery counts once.

        Args:
            channel: By what.
            addresses: The address's hashes, the one in use first.
            delivery_id: What bounced.
            at: When.

        Returns:
            Whether this made the address a suppressed one.
        """
        row = {"channel": channel, "address_hash": addresses[0], "delivery_id": delivery_id, "bounced_at": at}
        await self._database.write(_add_soft(self._database.insert), row)
        asked = {"channel": channel, "addresses": list(addresses), "since": at - SOFT_SPAN, "until": at + SOFT_SPAN}
        [count] = await self._database.read(_SOFT, asked)
        if not lasting(count["bounces"]):
            return False
        evidence = f"{SOFT_BOUNCES} soft bounces within {SOFT_SPAN.days} days"
        return await self.suppress(Suppression(channel, addresses[0], SOFT, at, evidence=evidence))


_NAMES = tuple(field.name for field in fields(Suppression))
_ORDER = (_table.suppressed_at, _table.channel, _table.address_hash, _table.scope, _table.source)
_OF_CHANNEL = (
    select(suppressions)
    .where(_table.channel == bindparam("channel"))
    .order_by(_table.suppressed_at, _table.source, _table.scope)
)
_OF_ADDRESS = _OF_CHANNEL.where(_table.address_hash == bindparam("address"))
_OF_ADDRESSES = _OF_CHANNEL.where(_table.address_hash.in_(bindparam("addresses", expanding=True)))
_COUNTS = select(_table.channel, _table.source, func.count().label("suppressions")).group_by(
    _table.channel, _table.source
)
_SOFT = select(func.count(_soft.delivery_id.distinct()).label("bounces")).where(
    _soft.channel == bindparam("channel"),
    _soft.address_hash.in_(bindparam("addresses", expanding=True)),
    _soft.bounced_at > bindparam("since"),
    _soft.bounced_at < bindparam("until"),
)


def _suppression(row: RowMapping) -> Suppression:
    return Suppression(**row)


@cache
def _add_soft(insert: InsertFactory) -> Executable:
    row: dict[str, Any] = {column.name: bindparam(column.name) for column in _soft}
    return insert(soft_bounces).values(row).on_conflict_do_nothing()
