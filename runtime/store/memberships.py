"""Memberships of audiences at other systems: the wanted ones, and those that were sent.

A row differs if the platform lacks a wanted member, has one that is not wanted, or has one under other identifiers. The
latter is removed first and then added. The row of a former member remains without identifiers,
until retention deletes it: an addition that was decided earlier may arrive later.

Platforms know addresses, not contacts. A removal leaves out those that another member has, too.

A batch is the rows that have its id. It sends `sent_member`, so that a change in between alters no attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, in_chunks, row_of
from runtime.store.membership_tables import (
    ADD_AGAIN,
    BATCH,
    DIFFERS,
    DROP,
    FREEZE,
    FROZEN,
    GONE,
    IS_GONE,
    IS_IT,
    MORE,
    OUT,
    REFUSE,
    SETTLE,
    TO_ADD,
    TO_REMOVE,
    Membership,
    audience_memberships,
    audience_syncs,
)
from runtime.store.schema import SafeText

_TOGETHER: Final = 500  # maximum number of rows that one statement names


@dataclass(frozen=True, slots=True)
class BatchMember:
    """A member as a batch sends it."""

    id: str
    member: str
    sent_email: str | None
    """None if the batch leaves the address out, because another member has it."""
    sent_phone: str | None
    """The same for the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCounts:
    """The state of an audience."""

    destination: str
    audience: str
    members: int
    """Number of members that the platform has, as far as is known."""
    waiting: int
    """Number of changes that are not sent yet."""
    refused: int
    """Number of changes that the platform refused."""
    synced_at: datetime | None
    unnamed: int
    """Number of members that it refused without naming them."""
    trouble: str | None
    held_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsyncedChange:
    """A change of an audience that waits, or that the platform refused for a reason."""

    contact_id: str
    wanted: bool
    wanted_at: datetime
    refused: str | None


_row = audience_memberships.c
_sync = audience_syncs.c


class AudienceMemberships(Queries):
    """The tables of audiences. Every call is idempotent."""

    async def record_membership(self, decided: Membership) -> bool:
        """Record that a contact is to be a member, or none. Return False if the platform has it so.

        Of several decisions the latest holds, whatever order they arrive in.
        """
        await self._database.write(_decide(self._database.insert), row_of(audience_memberships, decided))
        given = {"to": decided.destination, "name": decided.audience, "whose": decided.contact_id}
        return bool(await self._database.read(_DIFFERENCE, given))

    async def unsynced_audiences(self) -> list[tuple[str, str]]:
        """Return the destinations and names of audiences with changes to send that are not held."""
        rows = await self._database.read(_UNSYNCED)
        return [(row["destination"], row["audience"]) for row in rows]

    async def freeze_audience_batch(self, destination: str, audience: str, batch: str, size: int) -> tuple[str, bool]:
        """Freeze the next changes of an audience, removals first.

        Args:
            batch: The part of a new batch's id behind its operation.
            size: Maximum number of changes.

        Returns:
            The batch's id, which is an earlier one if one is frozen, or "" if nothing differs. True if more differs.
        """
        given = {"to": destination, "name": audience}
        frozen = await self._database.read(FROZEN, given)
        identifier = frozen[0]["batch"] if frozen else ""
        for operation, statement in () if identifier else FREEZE.items():
            wanted = given | {"made": f"{operation}-{batch}", "most": size}
            if await self._database.write(statement, wanted):
                identifier = f"{operation}-{batch}"
                break
        return identifier, bool(identifier and await self._database.read(MORE, given))

    async def audience_batch(self, batch: str) -> list[BatchMember]:
        """Return the members of a batch, in an order that never changes."""
        return await self._all(BatchMember, BATCH, {"of": batch})

    async def refuse_members(self, batch: str, ids: Sequence[str], reason: str) -> None:
        """Record that the platform refused some changes of a batch. The removal of an erased contact is forgotten."""
        for some in in_chunks(ids, _TOGETHER):
            given = {"of": batch, "ids": some}
            await self._database.write(DROP, given)
            await self._database.write(REFUSE, given | {"why": reason})

    async def thaw_audience_batch(self, batch: str, ids: Sequence[str] | None = None) -> None:
        """Take members out of a batch that was not carried out, by default all. A later batch sends them."""
        in_batch = _row.batch == batch
        some = [[in_batch]] if ids is None else [[in_batch, _row.id.in_(part)] for part in in_chunks(ids, _TOGETHER)]
        for where in some:
            await self._database.write(sa.delete(audience_memberships).where(*where, *IS_GONE))
            await self._database.write(sa.update(audience_memberships).where(*where).values(OUT))

    async def settle_audience_batch(self, batch: str) -> None:
        """Record that the platform carried out the changes that are left in a batch."""
        if is_removal := batch.startswith("remove-"):
            for statement in (*ADD_AGAIN, GONE):
                await self._database.write(statement, {"of": batch})
        await self._database.write(SETTLE, {"of": batch, "is_new": not is_removal})

    async def record_audience_sync(self, destination: str, audience: str, at: datetime, unnamed: int) -> None:
        """Record that a request was carried out."""
        done = {"synced_at": at, "trouble": None, "held_at": None}
        row = {"destination": destination, "audience": audience, "unnamed": unnamed, **done}
        await self._put(audience_syncs, row, **done, unnamed=_sync.unnamed + unnamed)

    async def record_audience_trouble(
        self, destination: str, audience: str, trouble: str, held_at: datetime | None = None
    ) -> None:
        """Record why an audience makes no progress, and since when it is held, if it is."""
        row = {"destination": destination, "audience": audience, "unnamed": 0, "trouble": trouble, "held_at": held_at}
        await self._put(audience_syncs, row, trouble=trouble, held_at=held_at)

    async def release_audience(self, destination: str, audience: str, note: str) -> None:
        """Have a held audience and refused changes sent again. The note stands in the place of a trouble."""
        where = (_sync.destination == destination, _sync.audience == audience)
        await self._change(audience_syncs, *where, held_at=None, trouble=note)
        refused = (_row.destination == destination, _row.audience == audience, _row.refused.is_not(None))
        await self._database.write(sa.update(audience_memberships).where(*refused).values(refused=None))

    async def count_held_audiences(self) -> int:
        return await self._count_rows(audience_syncs, _sync.held_at.is_not(None))

    async def audience_counts(self) -> list[AudienceCounts]:
        """Return the states of all audiences, by destination and name."""
        return await self._all(AudienceCounts, _COUNTS)

    async def audience_refusals(self, destination: str, audience: str) -> dict[str, int]:
        """Count the refused changes of an audience by reason."""
        where = (_row.destination == destination, _row.audience == audience, _row.refused.is_not(None))
        counts = sa.select(_row.refused, sa.func.count().label("n")).where(*where)
        rows = await self._database.read(counts.group_by(_row.refused).order_by(_row.refused))
        return {row["refused"]: row["n"] for row in rows}

    async def audience_changes(
        self, destination: str, audience: str, *, refused: bool, after: str = "", limit: int = 100
    ) -> list[UnsyncedChange]:
        """Return waiting or refused changes of an audience, by contact, behind one, without erased contacts."""
        changes = sa.select(_row.contact_id, _row.wanted, _row.wanted_at, _row.refused).where(
            _row.destination == destination,
            _row.audience == audience,
            _row.refused.is_not(None) if refused else DIFFERS,
            _row.erased.is_(None),
            _row.contact_id > after,
        )
        return await self._all(UnsyncedChange, changes.order_by(_row.contact_id).limit(limit))

    async def pending_removals(self, pseudonym: str) -> int:
        """Count the removals of an erased contact that are not sent yet."""
        return await self._count_rows(audience_memberships, _row.erased == pseudonym)


_IS_CONTACT = (*IS_IT, _row.contact_id == sa.bindparam("whose"))


@cache
def _decide(insert: InsertFactory) -> sa.Executable:
    row = insert(audience_memberships)
    named = ("wanted", "wanted_at", "member", "digest", "email", "phone")
    changes = {name: row.excluded[name] for name in named} | {"refused": None}
    return row.on_conflict_do_update(
        index_elements=["destination", "audience", "contact_id"],
        set_=changes,
        where=_row.wanted_at <= row.excluded.wanted_at,
    )


_DIFFERENCE = sa.select(_row.id).where(*_IS_CONTACT, DIFFERS)
_HELD = (
    sa.select(_sync.destination)
    .where(_sync.destination == _row.destination, _sync.audience == _row.audience, _sync.held_at.is_not(None))
    .exists()
)
_UNSYNCED = sa.select(_row.destination, _row.audience).where(DIFFERS, ~_HELD).distinct()


_known = sa.union(
    sa.select(_row.destination, _row.audience).where(sa.or_(_row.wanted == 1, _row.is_member == 1)),
    sa.select(_sync.destination, _sync.audience),
).subquery()
_COUNTS = (
    sa.select(
        _known.c.destination,
        _known.c.audience,
        sa.func.coalesce(sa.func.sum(sa.type_coerce(_row.is_member, sa.Integer)), 0).label("members"),
        sa.func.sum(sa.case((sa.or_(_row.batch.is_not(None), TO_ADD, TO_REMOVE), 1), else_=0)).label("waiting"),
        sa.func.sum(sa.case((_row.refused.is_not(None), 1), else_=0)).label("refused"),
        sa.func.max(_sync.synced_at).label("synced_at"),
        sa.func.coalesce(sa.func.max(_sync.unnamed), 0).label("unnamed"),
        sa.func.max(_sync.trouble).label("trouble"),
        sa.func.max(_sync.held_at).label("held_at"),
    )
    .select_from(
        _known.outerjoin(
            audience_memberships, sa.and_(_row.destination == _known.c.destination, _row.audience == _known.c.audience)
        ).outerjoin(
            audience_syncs, sa.and_(_sync.destination == _known.c.destination, _sync.audience == _known.c.audience)
        )
    )
    .group_by(_known.c.destination, _known.c.audience)
    .order_by(_known.c.destination, _known.c.audience)
)
_pseudonym = sa.bindparam("name", type_=SafeText)
_IS_ERASED = _row.erased == _pseudonym
ERASE_MEMBERSHIPS: Final = (
    sa.update(audience_memberships)
    .where(_row.contact_id == sa.bindparam("whose"))
    .values(
        # With the row's id: a late change may have made another row of the same audience.
        contact_id=_pseudonym.concat(sa.literal(":")).concat(_row.id),
        erased=_pseudonym,
        wanted=False,
        member="",
        digest="",
        email=None,
        phone=None,
        refused=None,
    ),
    sa.delete(audience_memberships).where(*IS_GONE, _IS_ERASED, _row.batch.is_(None)),
)
"""Remove an erased contact from all audiences. Rows stay, under its pseudonym, until the platforms have removed it."""
