"""Leases: of several processes, the one that does something for all of them."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, or_

from runtime.store.database import Inserting, Queries
from runtime.store.schema import leases

_table = leases.c


class Leases(Queries):
    """The table of leases."""

    async def lease(self, what: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Take a lease that nobody holds, or keep one's own for longer.

        The clocks of the processes are compared: a lease should be longer by far than these differ.

        Args:
            what: What it is for.
            holder: Who asks.
            now: Whether somebody else's is over is seen by this.
            until: When it ends, unless it is taken again before.

        Returns:
            Whether the one who asks has it.
        """
        row = {"what": what, "holder": holder, "until": until, "now": now}
        return bool(await self._database.write(_take(self._database.insert), row))

    async def give_up(self, what: str, holder: str) -> None:
        """End one's own lease, so that another process need not wait for its end."""
        await self._database.write(_GIVE_UP, {"which": what, "whose": holder})


@cache
def _take(insert: Inserting) -> Executable:
    row = insert(leases).values({name: bindparam(name) for name in ("what", "holder", "until")})
    free = or_(_table.holder == row.excluded.holder, _table.until <= bindparam("now", type_=_table.until.type))
    taken = {"holder": row.excluded.holder, "until": row.excluded.until}
    return row.on_conflict_do_update(index_elements=["what"], set_=taken, where=free).returning(_table.what)


_GIVE_UP = delete(leases).where(_table.what == bindparam("which"), _table.holder == bindparam("whose"))
