"""Keys of the HTTP API."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from runtime.api_key import ApiKey
from runtime.store.api_schema import api_keys
from runtime.store.database import Queries

_table = api_keys.c
_NAMES = tuple(column.name for column in api_keys.columns)


class ApiKeys(Queries):
    """The table of keys."""

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key."""
        row = {name: getattr(key, name) for name in _NAMES}
        row["scopes"] = list(key.scopes)
        row["scenarios"] = None if key.scenarios is None else list(key.scenarios)
        await self._database.write(_ADD, row)

    async def key(self, identifier: str) -> ApiKey | None:
        """The key of this id, also where it is revoked or has expired; None where there never was one."""
        rows = await self._database.read(_ONE, {"identifier": identifier})
        return ApiKey(**rows[0]) if rows else None

    async def keys(self) -> list[ApiKey]:
        """All keys, the newest first."""
        return [ApiKey(**row) for row in await self._database.read(_ALL)]

    async def revoke_key(self, identifier: str, now: datetime) -> bool:
        """Make a key no good any more. Returns False where there is none, or it is revoked already."""
        return bool(await self._database.write(_REVOKE, {"identifier": identifier, "now": now}))


_ADD = insert(api_keys).values({name: bindparam(name) for name in _NAMES})
_ONE = select(api_keys).where(_table.id == bindparam("identifier"))
_ALL = select(api_keys).order_by(_table.created_at.desc(), _table.id)
_REVOKE = (
    update(api_keys)
    .where(_table.id == bindparam("identifier"), _table.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
    .returning(_table.id)
)
