"""Agreements of processes: leases, each held by one process, and the number of queues that workers serve."""

from __future__ import annotations

from datetime import datetime
from functools import cache

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import leases, queue_shards

_table = leases.c


class Leases(Queries):
    """The tables of leases, and of numbers of task queues."""

    async def lease(self, name: str, holder: str, *, now: datetime, expires_at: datetime) -> bool:
        """Take a free or expired lease, or extend one's own.

        The clocks of processes are compared, so a lease should be much longer than their difference.

        Returns:
            True if the caller holds the lease.
        """
        row = {"name": name, "holder": holder, "expires_at": expires_at, "now": now}
        return bool(await self._database.write(_take(self._database.insert), row))

    async def is_leased(self, name: str, now: datetime) -> bool:
        """Return True if a process holds a lease."""
        held = sa.select(sa.literal(1)).where(_table.name == name, _table.expires_at > now)
        return bool(await self._database.read(held))

    async def give_up(self, name: str, holder: str) -> None:
        """End one's own lease, so that another process need not wait for it to expire."""
        await self._delete(leases, _table.name == name, _table.holder == holder)

    async def raise_queue_shards(self, number: int) -> int:
        """Remember the number of task queues of webhooks. Return the highest number ever remembered."""
        rows = await self._database.write(_raise(self._database.insert), {"queue": "webhooks", "most": number})
        return rows[0]["most"]


@cache
def _take(insert: InsertFactory) -> sa.Executable:
    row = insert(leases)
    free = sa.or_(
        _table.holder == row.excluded.holder, _table.expires_at <= sa.bindparam("now", type_=_table.expires_at.type)
    )
    taken = {"holder": row.excluded.holder, "expires_at": row.excluded.expires_at}
    return row.on_conflict_do_update(index_elements=["name"], set_=taken, where=free).returning(_table.name)


@cache
def _raise(insert: InsertFactory) -> sa.Executable:
    row = insert(queue_shards)
    known, new = queue_shards.c.most, row.excluded.most
    highest = sa.case((known < new, new), else_=known)
    return row.on_conflict_do_update(index_elements=["queue"], set_={"most": highest}).returning(known)
