"""Which keys of the settings the running processes know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, select

from runtime.store.database import Inserting, Queries
from runtime.store.schema import key_holders

_table = key_holders.c


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A running process.

    Attributes:
        process: Its name, for people.
        keys: Names of the keys that it knows.
    """

    process: str
    keys: Sequence[str]


class KeyHolders(Queries):
    """The table of processes and their keys."""

    async def hold_keys(self, process: str, keys: Sequence[str], *, now: datetime, expires_at: datetime) -> None:
        """Record which keys a process knows, and delete the records that have expired.

        Args:
            process: Its name, different from those of all others.
            keys: Names of the keys.
            now: The time.
            expires_at: When the record expires, unless it is written again.
        """
        await self._database.write(_EXPIRE, {"now": now})
        row = {"process": process, "keys": list(keys), "expires_at": expires_at}
        await self._database.write(_hold(self._database.insert), row)

    async def release_keys(self, process: str) -> None:
        """Delete the record of a process that ends."""
        await self._database.write(_RELEASE, {"which": process})

    async def key_holders(self, now: datetime) -> list[KeyHolder]:
        """Return the running processes, in the order of their names."""
        return [KeyHolder(**row) for row in await self._database.read(_LIVE, {"now": now})]


@cache
def _hold(insert: Inserting) -> Executable:
    row = insert(key_holders).values({name: bindparam(name) for name in ("process", "keys", "expires_at")})
    changed = {"keys": row.excluded["keys"], "expires_at": row.excluded.expires_at}
    return row.on_conflict_do_update(index_elements=["process"], set_=changed)


_EXPIRE = delete(key_holders).where(_table.expires_at <= bindparam("now"))
_RELEASE = delete(key_holders).where(_table.process == bindparam("which"))
_LIVE = select(_table.process, _table["keys"]).where(_table.expires_at > bindparam("now")).order_by(_table.process)
