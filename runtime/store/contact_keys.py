"""Wrapped encryption keys of contacts, and the processes that have the keys to unwrap them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, row_of
from runtime.store.schema import UtcDateTime, table_of


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A contact's key as stored."""

    key_id: str
    owner: str  # an HMAC of the contact's id, or the name of a key that belongs to no contact
    wrapped_key: str  # the key, wrapped by one of SCENARIO_ENCRYPTION_KEYS; "" once it is destroyed
    created_at: datetime
    destroyed_at: datetime | None = None


contact_keys = table_of("contact_keys", WrappedKey, sa.PrimaryKeyConstraint("key_id"), sa.UniqueConstraint("owner"))
"""Encryption keys of contacts. The row of an erased contact stays, so that late data does not create a new key."""

_table = contact_keys.c


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A running process, and the names of the keys of SCENARIO_ENCRYPTION_KEYS it has."""

    process: str  # a name for people, such as "worker on host-1 (12-5f3a)"
    keys: Sequence[str]


key_holders = table_of(
    "key_holders", KeyHolder, sa.Column("expires_at", UtcDateTime, nullable=False), sa.PrimaryKeyConstraint("process")
)
"""Running processes and the keys they have: contacts' keys may be wrapped by a key that all processes have."""

_holders = key_holders.c


class ContactKeys(Queries):
    """The tables of contacts' keys, and of processes and their keys."""

    async def add_contact_key(self, key: WrappedKey) -> WrappedKey:
        """Store a new key. Return the stored one, which may be another process's."""
        added = await self._add(contact_keys, key)
        return key if added else await self.contact_key_of(key.owner) or key

    async def contact_key_of(self, contact: str) -> WrappedKey | None:
        """Return a contact's key, also if it is destroyed."""
        return await self._find(WrappedKey, contact_keys, owner=contact)

    async def destroyed(self, contacts: Collection[str]) -> list[str]:
        """Return those of these contacts that have a destroyed key."""
        is_destroyed = (_table.owner.in_(contacts), _table.destroyed_at.is_not(None))
        return await self._values(sa.select(_table.owner).where(*is_destroyed))

    async def contact_key(self, key_id: str) -> WrappedKey | None:
        """Return the key with an id, also if it is destroyed."""
        return await self._find(WrappedKey, contact_keys, key_id=key_id)

    async def destroy_contact_key(self, key: WrappedKey) -> None:
        """Destroy a contact's key. No key can be created for the contact afterwards.

        `key` is the row to store, without the key itself. Its id is used only if the contact had no key.
        """
        await self._database.write(_destroy(self._database.insert), row_of(contact_keys, key))

    async def wrapped_keys(self, after: str = "", limit: int = 500) -> Sequence[WrappedKey]:
        """Return a page of keys that are not destroyed, ordered by id."""
        some = sa.select(contact_keys).where(_table.key_id > after, _table.destroyed_at.is_(None))
        return await self._all(WrappedKey, some.order_by(_table.key_id).limit(limit))

    async def rewrap(self, key_id: str, before: str, wrapped: str) -> bool:
        """Replace a wrapped key, unless it has changed. Return False if it has."""
        where = (_table.key_id == key_id, _table.wrapped_key == before)
        return await self._change(contact_keys, *where, wrapped_key=wrapped)

    async def hold_keys(self, process: str, keys: Sequence[str], *, now: datetime, expires_at: datetime) -> None:
        """Record the keys of a process until `expires_at`, and delete expired records."""
        await self._delete(key_holders, _holders.expires_at <= now)
        await self._put(key_holders, {"process": process, "keys": list(keys), "expires_at": expires_at})

    async def release_keys(self, process: str) -> None:
        """Delete the record of a process that ends."""
        await self._delete(key_holders, _holders.process == process)

    async def key_holders(self, now: datetime) -> list[KeyHolder]:
        """Return the running processes, ordered by name."""
        running = sa.select(_holders.process, _holders["keys"]).where(_holders.expires_at > now)
        return await self._all(KeyHolder, running.order_by(_holders.process))


@cache
def _destroy(insert: InsertFactory) -> sa.Executable:
    row = insert(contact_keys)
    gone = {"wrapped_key": "", "destroyed_at": row.excluded.destroyed_at}
    return row.on_conflict_do_update(index_elements=["owner"], set_=gone, where=_table.destroyed_at.is_(None))
