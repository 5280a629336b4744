"""Uploaded files of contacts. One is deleted when a campaign has read it, at an erasure, or after a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Executable,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    bindparam,
    delete,
    func,
    select,
    update,
)

from runtime.store.campaigns import campaigns
from runtime.store.columns import SafeText
from runtime.store.database import InsertFactory, Queries, insert_new
from runtime.store.schema import metadata, table_of

audience_parts = Table(
    "audience_parts",
    metadata,
    Column("audience", SafeText, nullable=False),
    Column("number", Integer, nullable=False),
    # Encoded, and encrypted if payloads are.
    Column("content", SafeText, nullable=False),
    PrimaryKeyConstraint("audience", "number"),
)
"""The contents of uploaded files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAudience:
    """An uploaded file."""

    id: str
    name: str
    owner: str
    """The id of the key that uploaded it."""
    created_at: datetime
    digest: str = ""
    """SHA-256 of its bytes, in hex; empty until it is complete."""
    bytes: int = 0
    parts: int = 0
    completed_at: datetime | None = None
    """When all parts were stored."""


audiences = table_of(
    "audiences",
    StoredAudience,
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index(None, "created_at"),
    Index(None, "owner", "name", "created_at"),
)
"""Uploaded files, each under its own id: a file never changes."""


class StoredAudiences(Queries):
    """The tables of uploaded files."""

    async def add_audience(self, audience: StoredAudience) -> None:
        await self._add(audiences, audience)

    async def add_audience_part(self, audience: str, number: int, content: str) -> None:
        """Store a part of a file, counted from 0."""
        row = {"audience": audience, "number": number, "content": content}
        await self._database.write(_add_part(self._database.insert), row)

    async def complete_audience(self, identifier: str, digest: str, size: int, parts: int, at: datetime) -> bool:
        """Record that a file is complete. Return False if it was deleted meanwhile."""
        given = {"of": identifier, "sha": digest, "size": size, "number": parts, "at": at}
        return bool(await self._database.write(_COMPLETE, given))

    async def stored_audience(self, identifier: str) -> StoredAudience | None:
        return await self._one(StoredAudience, _ONE, {"of": identifier})

    async def newest_audience(self, owner: str, name: str) -> StoredAudience | None:
        """Return the newest complete file of a name that a key uploaded."""
        return await self._one(StoredAudience, _NEWEST, {"whose": owner, "called": name})

    async def audience_part(self, audience: str, number: int) -> str | None:
        """Return a part of a file, or None if it was deleted."""
        rows = await self._database.read(_PART, {"of": audience, "which": number})
        return rows[0]["content"] if rows else None

    async def delete_audience(self, identifier: str, besides: str | None = None) -> None:
        """Delete a file, unless a campaign other than `besides` is still to read it."""
        given = {"of": identifier, "besides": besides or ""}
        await self._database.write(_DELETE_PARTS, given)
        await self._database.write(_DELETE, given)

    async def delete_audiences(self, before: datetime) -> tuple[int, int]:
        """Delete the files whose upload began before a time, unless a campaign is still to read them.

        Returns:
            The number of deleted files and of remaining ones.
        """
        await self._database.write(_DELETE_OLD_PARTS, {"before": before, "besides": ""})
        deleted = await self._database.write(_DELETE_OLD, {"before": before, "besides": ""})
        rows = await self._database.read(_COUNT_OLD, {"before": before})
        return len(deleted), rows[0]["number"]


_files, _parts = audiences.c, audience_parts.c
_IS_IT = _files.id == bindparam("of")
_ONE = select(audiences).where(_IS_IT)
_NEWEST = (
    select(audiences)
    .where(_files.owner == bindparam("whose"), _files.name == bindparam("called"), _files.completed_at.is_not(None))
    .order_by(_files.created_at.desc())
    .limit(1)
)
_COMPLETE = (
    update(audiences)
    .where(_IS_IT)
    .values(digest=bindparam("sha"), bytes=bindparam("size"), parts=bindparam("number"), completed_at=bindparam("at"))
    .returning(_files.id)
)
_PART = select(_parts.content).where(_parts.audience == bindparam("of"), _parts.number == bindparam("which"))


def _is_read(audience: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that no campaign is still to read a file."""
    reading = select(campaigns.c.name).where(
        campaigns.c.audience == audience,
        campaigns.c.loaded_at.is_(None),
        campaigns.c.ended_at.is_(None),
        campaigns.c.name != bindparam("besides"),
    )
    return ~reading.exists()


_before = _files.created_at < bindparam("before", type_=_files.created_at.type)
_DELETE_PARTS = delete(audience_parts).where(_parts.audience == bindparam("of"), _is_read(_parts.audience))
_DELETE = delete(audiences).where(_IS_IT, _is_read(_files.id))
_DELETE_OLD_PARTS = delete(audience_parts).where(
    _parts.audience.in_(select(_files.id).where(_before)), _is_read(_parts.audience)
)
_DELETE_OLD = delete(audiences).where(_before, _is_read(_files.id)).returning(_files.id)
_COUNT_OLD = select(func.count().label("number")).select_from(audiences).where(_before)


@cache
def _add_part(insert: InsertFactory) -> Executable:
    return insert_new(insert, audience_parts)
