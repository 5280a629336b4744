"""Agreements of processes: leases, shared settings, numbers of queues, and claims on Temporal's namespaces."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache

import sqlalchemy as sa

from runtime.errors import StoreError
from runtime.store.database import InsertFactory, Queries, insert_new
from runtime.store.schema import table_of

leases = table_of("leases", {"name": "str", "holder": "str", "expires_at": "datetime"}, sa.PrimaryKeyConstraint("name"))
"""The process, by a unique name, that does some work on behalf of all."""

queue_shards = table_of("queue_shards", {"queue": "str", "most": "int"}, sa.PrimaryKeyConstraint("queue"))
"""The highest number of task queues that deliveries were ever divided among: tasks may wait in each of them."""


agreed_settings = table_of("agreed_settings", {"name": "str", "value": "str"}, sa.PrimaryKeyConstraint("name"))
"""Settings that all processes must share, with the value of the last process that started."""


@dataclass(frozen=True, slots=True)
class NamespaceClaim:
    """A store's claim on a namespace, stored by both."""

    token: str
    """The latest token. The store has it before the namespace does."""
    previous_token: str  # "" for the first token
    rotation: int
    rotated_at: str  # time of the latest token, ISO 8601
    database: str  # see `Database.identity`; "" if unknown
    claimed_at: str  # time of the claim, ISO 8601
    claimed_by: str
    reason: str = ""  # the operator's reason; "" for the first claim


# The token apart from the claim, so that of several workers one replaces it.
_claims = table_of(
    "namespace_claims", {"namespace": "str", "token": "str", "claim": "Json"}, sa.PrimaryKeyConstraint("namespace")
)

_table = leases.c


class Leases(Queries):
    """The tables of leases, of shared settings, and of numbers of task queues."""

    async def lease(self, name: str, holder: str, *, now: datetime, expires_at: datetime) -> bool:
        """Take a free or expired lease, or extend one's own. Return True if the caller holds it.

        Times are corrected to the store's clock, so that a process with a wrong clock neither takes the lease of
        another nor keeps its own too long. On SQLite, processes share the machine's clock.
        """
        offset = self._offset
        row = {"name": name, "holder": holder, "expires_at": expires_at - offset, "now": now - offset}
        return bool(await self._database.write(_take(self._database.insert), row))

    async def is_leased(self, name: str, now: datetime) -> bool:
        held = sa.select(sa.literal(1)).where(_table.name == name, _table.expires_at > now - self._offset)
        return bool(await self._database.read(held))

    async def give_up(self, name: str, holder: str) -> None:
        """End one's own lease, so that another process need not wait for it to expire."""
        await self._delete(leases, _table.name == name, _table.holder == holder)

    @property
    def _offset(self) -> timedelta:
        return timedelta(seconds=self._database.clock_offset or 0.0)

    async def raise_queue_shards(self, number: int) -> int:
        """Remember the number of task queues of webhooks. Return the highest number ever remembered."""
        rows = await self._database.write(_raise(self._database.insert), {"queue": "webhooks", "most": number})
        return rows[0]["most"]

    async def agree(self, setting: str, value: str, *, change: bool = False) -> str:
        """Remember the value of a setting if there is none, or with `change` in any case. Return the remembered one."""
        row = {"name": setting, "value": value}
        if change:
            await self._put(agreed_settings, row)
        else:
            await self._database.write(insert_new(self._database.insert, agreed_settings), row)
        kept = await self._value(sa.select(agreed_settings.c.value).where(agreed_settings.c.name == setting))
        return str(kept)


class NamespaceClaims(Queries):
    """The table of claimed namespaces, which `runtime.identity` compares with the namespaces' records."""

    async def database_identity(self) -> str:
        """Return the identity of the database itself: see `Database.identity`."""
        return await self._database.identity()

    async def namespace_claim(self, namespace: str) -> NamespaceClaim | None:
        """Return the claim on a namespace, or None if this store never claimed it."""
        claim = await self._value(sa.select(_claims.c.claim).where(_claims.c.namespace == namespace))
        return NamespaceClaim(**claim) if claim else None

    async def has_claims(self) -> bool:
        """Return True if this store has claimed any namespace."""
        return bool(await self._database.read(sa.select(_claims.c.namespace).limit(1)))

    async def claim_namespace(self, namespace: str, claim: NamespaceClaim, *, replace: bool) -> None:
        """Claim a namespace. With `replace`, replace this store's own claim on it, if any."""
        row = {"namespace": namespace, "token": claim.token, "claim": asdict(claim)}
        if replace:
            await self._put(_claims, row)
        else:
            await self._database.write(insert_new(self._database.insert, _claims), row)

    async def rotate_token(self, namespace: str, rotated: NamespaceClaim, known: str) -> bool:
        """Store a newer token. Return False if another process has replaced the known one."""
        where = (_claims.c.namespace == namespace, _claims.c.token == known)
        return await self._change(_claims, *where, token=rotated.token, claim=asdict(rotated))

    def bar(self, error: StoreError) -> None:
        """Make every later call of this process raise an error."""
        self._database.barred = error


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
