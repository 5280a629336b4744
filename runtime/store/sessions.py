"""Sessions of the pages: digests of their random tokens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select

from runtime.store.api_schema import sessions
from runtime.store.database import Queries

_table = sessions.c


class Sessions(Queries):
    """The table of sessions."""

    async def begin_session(self, digest: str, key_id: str, now: datetime, ends_at: datetime) -> None:
        """Store a session, and delete those that have ended.

        Args:
            digest: SHA-256 of its token, in hex.
            key_id: The API key that began it.
            now: The time.
            ends_at: When it ends.
        """
        await self._database.write(_EXPIRE, {"now": now})
        await self._database.write(_BEGIN, {"digest": digest, "key_id": key_id, "ends_at": ends_at})

    async def key_of_session(self, digest: str, now: datetime) -> str | None:
        """Return the id of the API key that began a session; None if the session has ended or never began."""
        rows = await self._database.read(_KEY, {"digest": digest, "now": now})
        return rows[0]["key_id"] if rows else None

    async def end_session(self, digest: str) -> None:
        """End a session. Idempotent."""
        await self._database.write(_END, {"of_digest": digest})


_BEGIN = insert(sessions).values({name: bindparam(name) for name in ("digest", "key_id", "ends_at")})
_KEY = select(_table.key_id).where(_table.digest == bindparam("digest"), _table.ends_at > bindparam("now"))
_END = delete(sessions).where(_table.digest == bindparam("of_digest"))
_EXPIRE = delete(sessions).where(_table.ends_at <= bindparam("now"))
