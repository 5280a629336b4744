"""Leases: of several processes, the one that does something for all of them."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, or_

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import leases

_table = leases.c


class Leases(Queries):
    """The table of leases."""

    async def lease(self, name: str, holder: str, *, now: datetime, expires_at: datetime) -> bool:
        """Take a lease that nobody holds, or keep one's own for longer.

        The clocks of the processes are compared: a lease should be longer by far than these differ.

        Args:
            name: What it is for.
            holder: Who asks.
            now: Whether somebody else's is over is seen by this.
            expires_at: When it ends, unless it is taken again before.

        Returns:
            Whether the one who asks has it.
        """
        row = {"name": name, "holder": holder, "expires_at": expires_at, "now": now}
        return bool(await self._database.write(_take(self._database.insert), row))

    async def give_up(self, name: str, holder: str) -> None:
        """End one's own lease, so that another process need not wait for its end."""
        await self._database.write(_GIVE_UP, {"which": name, "whose": holder})


@cache
def _take(insert: InsertFactory) -> Executable:
    row = insert(leases).values({name: bindparam(name) for name in ("name", "holder", "expires_at")})
    free = or_(
        _table.holder == row.excluded.holder, _table.expires_at <= bindparam("now", type_=_table.expires_at.type)
    )
    taken = {"holder": row.excluded.holder, "expires_at": row.excluded.expires_at}
    return row.on_conflict_do_update(index_elements=["name"], set_=taken, where=free).returning(_table.name)


_GIVE_UP = delete(leases).where(_table.name == bindparam("which"), _table.holder == bindparam("whose"))
