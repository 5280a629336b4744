"""Uploaded files of contacts. One is deleted when a campaign has read it, at an erasure, or after a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from runtime.store.campaigns import campaigns
from runtime.store.database import Queries, insert_new
from runtime.store.schema import table_of

audience_parts = table_of(
    "audience_parts",
    {"audience": "str", "number": "int", "content": "str"},
    sa.PrimaryKeyConstraint("audience", "number"),
)
"""The contents of uploaded files, encoded, and encrypted if payloads are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAudience:
    """An uploaded file."""

    id: str
    name: str
    owner: str  # the id of the key that uploaded it
    created_at: datetime
    digest: str = ""  # SHA-256 of its bytes, in hex; empty until it is complete
    bytes: int = 0
    parts: int = 0
    completed_at: datetime | None = None  # when all parts were stored


audiences = table_of(
    "audiences",
    StoredAudience,
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("id"),
    sa.Index(None, "created_at"),
    sa.Index(None, "owner", "name", "created_at"),
)
"""Uploaded files, each under its own id: a file never changes."""


_files, _parts = audiences.c, audience_parts.c


class StoredAudiences(Queries):
    """The tables of uploaded files."""

    async def add_audience(self, audience: StoredAudience) -> None:
        await self._add(audiences, audience)

    async def add_audience_part(self, audience: str, number: int, content: str) -> None:
        """Store a part of a file, counted from 0."""
        row = {"audience": audience, "number": number, "content": content}
        await self._database.write(insert_new(self._database.insert, audience_parts), row)

    async def complete_audience(self, identifier: str, digest: str, size: int, parts: int, at: datetime) -> bool:
        """Record that a file is complete. Return False if it was deleted meanwhile."""
        whole = {"digest": digest, "bytes": size, "parts": parts, "completed_at": at}
        return await self._change(audiences, _files.id == identifier, **whole)

    async def stored_audience(self, identifier: str) -> StoredAudience | None:
        return await self._one(StoredAudience, sa.select(audiences).where(_files.id == identifier))

    async def newest_audience(self, owner: str, name: str) -> StoredAudience | None:
        """Return the newest complete file of a name that a key uploaded."""
        where = (_files.owner == owner, _files.name == name, _files.completed_at.is_not(None))
        found = await self._newest(StoredAudience, audiences, where, (_files.created_at,), None, 1)
        return found[0] if found else None

    async def audience_part(self, audience: str, number: int) -> str | None:
        """Return a part of a file, or None if it was deleted."""
        part = sa.select(_parts.content).where(_parts.audience == audience, _parts.number == number)
        rows = await self._database.read(part)
        return rows[0]["content"] if rows else None

    async def delete_audience(self, identifier: str, besides: str | None = None) -> None:
        """Delete a file, unless a campaign other than `besides` is still to read it."""
        await self._delete_files(_parts.audience == identifier, _files.id == identifier, besides)

    async def delete_audiences(self, before: datetime) -> tuple[int, int]:
        """Delete the files whose upload began before a time, unless a campaign is still to read them.

        Returns:
            The number of deleted files and of remaining ones.
        """
        is_old = _files.created_at < before
        parts = _parts.audience.in_(sa.select(_files.id).where(is_old))
        return await self._delete_files(parts, is_old), await self._count_rows(audiences, is_old)

    async def _delete_files(
        self, parts: sa.ColumnElement[bool], files: sa.ColumnElement[bool], besides: str | None = None
    ) -> int:
        def is_unused(file: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
            """Return the condition that no other campaign is still to read a file."""
            return ~sa.exists().where(
                campaigns.c.audience == file,
                campaigns.c.loaded_at.is_(None),
                campaigns.c.ended_at.is_(None),
                campaigns.c.name != (besides or ""),
            )

        await self._database.write(sa.delete(audience_parts).where(parts, is_unused(_parts.audience)))
        gone = sa.delete(audiences).where(files, is_unused(_files.id)).returning(_files.id)
        return len(await self._database.write(gone))
