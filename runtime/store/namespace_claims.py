"""This store's claims on Temporal namespaces, which `runtime.identity` compares with the namespace's record."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from runtime.errors import StoreError
from runtime.store.columns import Json, SafeText
from runtime.store.database import Queries, insert_new
from runtime.store.schema import metadata

_claims = sa.Table(
    "namespace_claims",
    metadata,
    sa.Column("namespace", SafeText, nullable=False),
    # Apart from the claim, so that of several workers one replaces it.
    sa.Column("token", SafeText, nullable=False),
    sa.Column("claim", Json, nullable=False),
    sa.PrimaryKeyConstraint("namespace"),
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
        rows = await self._database.read(sa.select(_claims.c.claim).where(_claims.c.namespace == namespace))
        return NamespaceClaim(**rows[0]["claim"]) if rows else None

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
