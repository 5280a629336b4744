"""Keys of contacts, wrapped; of an erased contact, that it was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, select, update

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import contact_keys, key_holders

_table = contact_keys.c
_NAMES = tuple(column.name for column in contact_keys.columns)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A contact's key as the store has it.

    Attributes:
        key_id: Its id, which what it has encrypted names.
        owner: Whose it is: an HMAC of the contact's id, or a word for a key that is nobody's.
        wrapped_key: The key, wrapped; empty once it is destroyed.
        created_at: When it was made.
        destroyed_at: When it was destroyed: the contact is erased.
    """

    key_id: str
    owner: str
    wrapped_key: str
    created_at: datetime
    destroyed_at: datetime | None = None


class ContactKeys(Queries):
    """The table of contacts' keys."""

    async def add_contact_key(self, key: WrappedKey) -> WrappedKey:
        """Keep a new key. Returns the one that is kept: another's, where another process was quicker."""
        added = await self._database.write(_add(self._database.insert), {name: getattr(key, name) for name in _NAMES})
        return key if added else await self.contact_key_of(key.owner) or key

    async def contact_key_of(self, contact: str) -> WrappedKey | None:
        """A contact's key, also where it is destroyed."""
        rows = await self._database.read(_OF, {"whose": contact})
        return WrappedKey(**rows[0]) if rows else None

    async def destroyed(self, contacts: Collection[str]) -> list[str]:
        """Those of these contacts whose keys are destroyed."""
        return [row["owner"] for row in await self._database.read(_DESTROYED, {"of": list(contacts)})]

    async def contact_key(self, key_id: str) -> WrappedKey | None:
        """The key of an id, also where it is destroyed."""
        rows = await self._database.read(_ONE, {"identifier": key_id})
        return WrappedKey(**rows[0]) if rows else None

    async def destroy_contact_key(self, key: WrappedKey) -> None:
        """Destroy a contact's key, which no row has any more; where there was none, none can be made after this.

        Args:
            key: As it is to stand there: without the key itself. Its id counts only where there was none.
        """
        await self._database.write(_destroy(self._database.insert), {name: getattr(key, name) for name in _NAMES})

    async def wrapped_keys(self, after: str = "", limit: int = 500) -> Sequence[WrappedKey]:
        """Keys that are not destroyed, in the order of their ids, from behind one of them."""
        rows = await self._database.read(_SOME, {"after": after, "most": limit})
        return [WrappedKey(**row) for row in rows]

    async def rewrap(self, key_id: str, before: str, wrapped: str) -> bool:
        """Wrap a key anew, unless it was changed meanwhile."""
        row = {"identifier": key_id, "before": before, "now": wrapped}
        return bool(await self._database.write(_REWRAP, row))


_OF = select(contact_keys).where(_table.owner == bindparam("whose"))
_DESTROYED = select(_table.owner).where(
    _table.owner.in_(bindparam("of", expanding=True)), _table.destroyed_at.is_not(None)
)
_ONE = select(contact_keys).where(_table.key_id == bindparam("identifier"))
_SOME = (
    select(contact_keys)
    .where(_table.key_id > bindparam("after"), _table.destroyed_at.is_(None))
    .order_by(_table.key_id)
    .limit(bindparam("most"))
)
_REWRAP = (
    update(contact_keys)
    .where(_table.key_id == bindparam("identifier"), _table.wrapped_key == bindparam("before"))
    .values(wrapped_key=bindparam("now"))
    .returning(_table.key_id)
)


@cache
def _add(insert: InsertFactory) -> Executable:
    row = insert(contact_keys).values({name: bindparam(name) for name in _NAMES})
    return row.on_conflict_do_nothing().returning(_table.key_id)


@cache
def _destroy(insert: InsertFactory) -> Executable:
    row = insert(contact_keys).values({name: bindparam(name) for name in _NAMES})
    gone = {"wrapped_key": "", "destroyed_at": row.excluded.destroyed_at}
    return row.on_conflict_do_update(index_elements=["owner"], set_=gone, where=_table.destroyed_at.is_(None))


_holders = key_holders.c


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
        await self._database.write(_EXPIRE_HOLDERS, {"now": now})
        row = {"process": process, "keys": list(keys), "expires_at": expires_at}
        await self._database.write(_hold(self._database.insert), row)

    async def release_keys(self, process: str) -> None:
        """Delete the record of a process that ends."""
        await self._database.write(_RELEASE_HOLDER, {"which": process})

    async def key_holders(self, now: datetime) -> list[KeyHolder]:
        """Return the running processes, in the order of their names."""
        return [KeyHolder(**row) for row in await self._database.read(_LIVE_HOLDERS, {"now": now})]


@cache
def _hold(insert: InsertFactory) -> Executable:
    row = insert(key_holders).values({name: bindparam(name) for name in ("process", "keys", "expires_at")})
    changed = {"keys": row.excluded["keys"], "expires_at": row.excluded.expires_at}
    return row.on_conflict_do_update(index_elements=["process"], set_=changed)


_EXPIRE_HOLDERS = delete(key_holders).where(_holders.expires_at <= bindparam("now"))
_RELEASE_HOLDER = delete(key_holders).where(_holders.process == bindparam("which"))
_LIVE_HOLDERS = (
    select(_holders.process, _holders["keys"]).where(_holders.expires_at > bindparam("now")).order_by(_holders.process)
)
