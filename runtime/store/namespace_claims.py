"""This store's claims on Temporal namespaces, which `runtime.identity` compares with the namespace's record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

from sqlalchemy import Column, Executable, PrimaryKeyConstraint, Table, bindparam, select, update

from runtime.errors import StoreError
from runtime.store.columns import Json, SafeText
from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import metadata

_claims = Table(
    "namespace_claims",
    metadata,
    Column("namespace", SafeText, nullable=False),
    # Apart from the claim, so that of several workers one replaces it.
    Column("token", SafeText, nullable=False),
    Column("claim", Json, nullable=False),
    PrimaryKeyConstraint("namespace"),
)


@dataclass(frozen=True, slots=True)
class NamespaceClaim:
    """A store's claim on a namespace, stored by both."""

    token: str
    """The latest token. The store has it before the namespace does."""
    previous_token: str
    """"" for the first token."""
    rotation: int
    rotated_at: str
    """Time of the latest token, ISO 8601."""
    database: str
    """See `Database.identity`; "" if unknown."""
    claimed_at: str
    """Time of the claim, ISO 8601."""
    claimed_by: str
    reason: str = ""
    """The operator's reason; "" for the first claim."""


class NamespaceClaims(Queries):
    """The table of claimed namespaces."""

    async def database_identity(self) -> str:
        """Return the identity of the database itself: see `Database.identity`."""
        return await self._database.identity()

    async def namespace_claim(self, namespace: str) -> NamespaceClaim | None:
        """Return the claim on a namespace, or None if this store never claimed it."""
        rows = await self._database.read(_ONE, {"name": namespace})
        return NamespaceClaim(**rows[0]["claim"]) if rows else None

    async def has_claims(self) -> bool:
        """Return True if this store has claimed any namespace."""
        return bool(await self._database.read(_ANY))

    async def claim_namespace(self, namespace: str, claim: NamespaceClaim, *, replace: bool) -> None:
        """Claim a namespace. With `replace`, replace this store's own claim on it, if any."""
        row = {"namespace": namespace, "token": claim.token, "claim": asdict(claim)}
        await self._database.write(_insert(self._database.insert, replace=replace), row)

    async def rotate_token(self, namespace: str, rotated: NamespaceClaim, known: str) -> bool:
        """Store a newer token. Return False if another process has replaced the known one."""
        row = {"name": namespace, "known": known, "new": rotated.token, "rotated": asdict(rotated)}
        return bool(await self._database.write(_ROTATE, row))

    def bar(self, error: StoreError) -> None:
        """Make every later call of this process raise an error."""
        self._database.barred = error


_ONE = select(_claims.c.claim).where(_claims.c.namespace == bindparam("name"))
_ANY = select(_claims.c.namespace).limit(1)
_ROTATE = (
    update(_claims)
    .where(_claims.c.namespace == bindparam("name"), _claims.c.token == bindparam("known"))
    .values(token=bindparam("new"), claim=bindparam("rotated", type_=Json))
    .returning(_claims.c.namespace)
)


@cache
def _insert(insert: InsertFactory, *, replace: bool) -> Executable:
    row = insert(_claims)
    if not replace:
        return row.on_conflict_do_nothing()
    return row.on_conflict_do_update(
        index_elements=["namespace"], set_={"token": row.excluded.token, "claim": row.excluded.claim}
    )
