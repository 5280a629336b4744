"""Memberships of audiences at other systems: the wanted ones, and those that were sent.

A row differs if the platform lacks a wanted member, has one that is not wanted, or has one under other identifiers. The
latter is removed first and then added. A contact that is no member has no row.

A batch is the rows that have its id. `sent_member` is what it sends, so that a change in between alters no attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union,
    update,
)

from runtime.store.columns import Flag, SafeText
from runtime.store.database import InsertFactory, Queries, row_of
from runtime.store.membership_tables import DIFFERS, audience_memberships, audience_syncs

_TOGETHER: Final = 500  # maximum number of rows that one statement names


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A wanted membership; see the table."""

    id: str
    destination: str
    audience: str
    contact_id: str
    wanted: bool
    wanted_at: datetime
    member: str
    digest: str
    is_member: bool = False
    sent_member: str | None = None
    sent_digest: str | None = None
    batch: str | None = None
    refused: str | None = None
    erased: str | None = None


@dataclass(frozen=True, slots=True)
class BatchMember:
    """A member as a batch sends it."""

    id: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCounts:
    """The state of an audience.

    Attributes:
        members: Number of members that the platform has, as far as is known.
        waiting: Number of changes that are not sent yet.
        refused: Number of changes that the platform refused.
        unnamed: Number of members that it refused without naming them.
    """

    destination: str
    audience: str
    members: int
    waiting: int
    refused: int
    synced_at: datetime | None
    unnamed: int
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

    async def want_member(self, wanted: Membership) -> bool:
        """Record that a contact is to be a member. Return False if the platform has it. The later decision holds."""
        await self._database.write(_want(self._database.insert), row_of(audience_memberships, wanted))
        return await self._differs(wanted.destination, wanted.audience, wanted.contact_id)

    async def want_no_member(self, destination: str, audience: str, contact: str, at: datetime) -> bool:
        """Record that a contact is to be no member. Return False if the platform does not have it."""
        given = {"to": destination, "name": audience, "whose": contact}
        await self._database.write(_UNWANT, given | {"at": at})
        await self._database.write(_FORGET, given)
        return await self._differs(destination, audience, contact)

    async def _differs(self, destination: str, audience: str, contact: str) -> bool:
        given = {"to": destination, "name": audience, "whose": contact}
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
        frozen = await self._database.read(_FROZEN, given)
        identifier = frozen[0]["batch"] if frozen else ""
        for operation, statement in () if identifier else _FREEZE.items():
            wanted = given | {"made": f"{operation}-{batch}", "most": size}
            if await self._database.write(statement, wanted):
                identifier = f"{operation}-{batch}"
                break
        return identifier, bool(identifier and await self._database.read(_MORE, given))

    async def audience_batch(self, batch: str) -> list[BatchMember]:
        """Return the members of a batch, in an order that never changes."""
        return await self._all(BatchMember, _BATCH, {"of": batch})

    async def refuse_members(self, batch: str, ids: Sequence[str], reason: str) -> None:
        """Record that the platform refused some changes of a batch. The removal of an erased contact is forgotten."""
        for start in range(0, len(ids), _TOGETHER):
            given = {"of": batch, "ids": list(ids[start : start + _TOGETHER])}
            await self._database.write(_DROP, given)
            await self._database.write(_REFUSE, given | {"why": reason})

    async def thaw_audience_batch(self, batch: str, ids: Sequence[str] | None = None) -> None:
        """Take members out of a batch that was not carried out, by default all. A later batch sends them."""
        if ids is None:
            for statement in _THAW:
                await self._database.write(statement, {"of": batch})
            return
        for start in range(0, len(ids), _TOGETHER):
            for statement in _THAW_SOME:
                await self._database.write(statement, {"of": batch, "ids": list(ids[start : start + _TOGETHER])})

    async def settle_audience_batch(self, batch: str) -> None:
        """Record that the platform carried out the changes that are left in a batch."""
        await self._database.write(_GONE, {"of": batch})
        await self._database.write(_SETTLE, {"of": batch, "is_new": batch.startswith("add-")})

    async def record_audience_sync(self, destination: str, audience: str, at: datetime, unnamed: int) -> None:
        """Record that a request was carried out."""
        row = {"destination": destination, "audience": audience, "synced_at": at, "unnamed": unnamed}
        await self._database.write(_synced(self._database.insert), row | {"trouble": None, "held_at": None})

    async def record_audience_trouble(
        self, destination: str, audience: str, trouble: str, held_at: datetime | None = None
    ) -> None:
        """Record why an audience makes no progress, and since when it is held, if it is."""
        row = {"destination": destination, "audience": audience, "synced_at": None, "unnamed": 0}
        await self._database.write(_troubled(self._database.insert), row | {"trouble": trouble, "held_at": held_at})

    async def release_audience(self, destination: str, audience: str, note: str) -> None:
        """Have a held audience and refused changes sent again. The note stands in the place of a trouble."""
        given = {"to": destination, "name": audience}
        await self._database.write(_RELEASE, given | {"note": note})
        await self._database.write(_ADMIT, given)

    async def count_held_audiences(self) -> int:
        return (await self._database.read(_COUNT_HELD))[0]["n"]

    async def audience_counts(self) -> list[AudienceCounts]:
        """Return the states of all audiences, by destination and name."""
        return await self._all(AudienceCounts, _COUNTS)

    async def audience_refusals(self, destination: str, audience: str) -> dict[str, int]:
        """Count the refused changes of an audience by reason."""
        rows = await self._database.read(_REFUSALS, {"to": destination, "name": audience})
        return {row["refused"]: row["n"] for row in rows}

    async def audience_changes(
        self, destination: str, audience: str, *, refused: bool, after: str = "", limit: int = 100
    ) -> list[UnsyncedChange]:
        """Return waiting or refused changes of an audience, by contact, behind one, without erased contacts."""
        given = {"to": destination, "name": audience, "behind": after, "most": limit}
        return await self._all(UnsyncedChange, _CHANGES[refused], given)

    async def pending_removals(self, pseudonym: str) -> int:
        """Count the removals of an erased contact that are not sent yet."""
        return (await self._database.read(_PENDING, {"name": pseudonym}))[0]["n"]


_IS_IT = (_row.destination == bindparam("to"), _row.audience == bindparam("name"))
_IS_CONTACT = (*_IS_IT, _row.contact_id == bindparam("whose"))
_IN_BATCH = _row.batch == bindparam("of")
_AMONG = _row.id.in_(bindparam("ids", expanding=True))
_IS_NOTHING = (_row.wanted == 0, _row.is_member == 0, _row.batch.is_(None))
_IS_FREE = and_(_row.batch.is_(None), _row.refused.is_(None))
_TO_REMOVE = and_(_IS_FREE, _row.is_member == 1, or_(_row.wanted == 0, _row.digest != _row.sent_digest))
_TO_ADD = and_(_IS_FREE, _row.is_member == 0, _row.wanted == 1)


@cache
def _want(insert: InsertFactory) -> Executable:
    row = insert(audience_memberships)
    named = ("wanted", "wanted_at", "member", "digest")
    changes = {name: row.excluded[name] for name in named} | {"refused": None}
    return row.on_conflict_do_update(
        index_elements=["destination", "audience", "contact_id"],
        set_=changes,
        where=_row.wanted_at <= row.excluded.wanted_at,
    )


_UNWANT = (
    update(audience_memberships)
    .where(*_IS_CONTACT, _row.wanted_at <= bindparam("at", type_=_row.wanted_at.type))
    .values(wanted=False, wanted_at=bindparam("at", type_=_row.wanted_at.type), refused=None)
)
_FORGET = delete(audience_memberships).where(*_IS_CONTACT, *_IS_NOTHING)
_DIFFERENCE = select(_row.id).where(*_IS_CONTACT, DIFFERS)
_HELD = (
    select(_sync.destination)
    .where(_sync.destination == _row.destination, _sync.audience == _row.audience, _sync.held_at.is_not(None))
    .exists()
)
_UNSYNCED = select(_row.destination, _row.audience).where(DIFFERS, ~_HELD).distinct()
_FROZEN = select(_row.batch).where(*_IS_IT, _row.batch.is_not(None), DIFFERS).limit(1)
_MORE = select(_row.id).where(*_IS_IT, DIFFERS, or_(_TO_REMOVE, _TO_ADD)).limit(1)


def _freezing(differs: ColumnElement[bool], **more: Column[str]) -> Executable:
    some = select(_row.id).where(*_IS_IT, DIFFERS, differs).order_by(_row.id).limit(bindparam("most"))
    # Once more outside: PostgreSQL compares a row again that was changed meanwhile.
    return (
        update(audience_memberships)
        .where(_row.id.in_(some.correlate(None)), differs)
        .values(batch=bindparam("made"), **more)
        .returning(_row.id)
    )


_FREEZE: Final = {
    "remove": _freezing(_TO_REMOVE),
    "add": _freezing(_TO_ADD, sent_member=_row.member, sent_digest=_row.digest),
}
_BATCH = select(_row.id, _row.sent_member.label("member")).where(_IN_BATCH).order_by(_row.id)
_IS_UNSENT = (_row.wanted == 0, _row.is_member == 0)
_DROP = delete(audience_memberships).where(_IN_BATCH, _AMONG, or_(and_(*_IS_UNSENT), _row.erased.is_not(None)))
# A member that is wanted under other identifiers by now was not refused under these.
_IS_OUTDATED = and_(_row.batch.like("add-%"), _row.digest != _row.sent_digest)
_REFUSE = (
    update(audience_memberships)
    .where(_IN_BATCH, _AMONG)
    .values(batch=None, refused=case((_IS_OUTDATED, None), else_=bindparam("why", type_=SafeText)))
)
_THAW = (
    delete(audience_memberships).where(_IN_BATCH, *_IS_UNSENT),
    update(audience_memberships).where(_IN_BATCH).values(batch=None),
)
_THAW_SOME = (
    delete(audience_memberships).where(_IN_BATCH, _AMONG, *_IS_UNSENT),
    update(audience_memberships).where(_IN_BATCH, _AMONG).values(batch=None),
)
_GONE = delete(audience_memberships).where(_IN_BATCH, _row.wanted == 0, _row.batch.like("remove-%"))
_is_new = bindparam("is_new", type_=Flag)
_SETTLE = (
    update(audience_memberships)
    .where(_IN_BATCH)
    .values(
        batch=None,
        is_member=_is_new,
        sent_member=case((_is_new == 1, _row.sent_member), else_=None),
        sent_digest=case((_is_new == 1, _row.sent_digest), else_=None),
    )
)


@cache
def _synced(insert: InsertFactory) -> Executable:
    row = insert(audience_syncs)
    changes = {name: row.excluded[name] for name in ("synced_at", "trouble", "held_at")}
    total = {"unnamed": _sync.unnamed + row.excluded.unnamed}
    return row.on_conflict_do_update(index_elements=["destination", "audience"], set_=changes | total)


@cache
def _troubled(insert: InsertFactory) -> Executable:
    row = insert(audience_syncs)
    changes = {"trouble": row.excluded.trouble, "held_at": row.excluded.held_at}
    return row.on_conflict_do_update(index_elements=["destination", "audience"], set_=changes)


_RELEASE = (
    update(audience_syncs)
    .where(_sync.destination == bindparam("to"), _sync.audience == bindparam("name"))
    .values(held_at=None, trouble=bindparam("note"))
)
_COUNT_HELD = select(func.count().label("n")).where(_sync.held_at.is_not(None))
_ADMIT = update(audience_memberships).where(*_IS_IT, _row.refused.is_not(None)).values(refused=None)
_known = union(select(_row.destination, _row.audience), select(_sync.destination, _sync.audience)).subquery()
_COUNTS = (
    select(
        _known.c.destination,
        _known.c.audience,
        func.coalesce(func.sum(type_coerce(_row.is_member, Integer)), 0).label("members"),
        func.sum(case((or_(_row.batch.is_not(None), _TO_ADD, _TO_REMOVE), 1), else_=0)).label("waiting"),
        func.sum(case((_row.refused.is_not(None), 1), else_=0)).label("refused"),
        func.max(_sync.synced_at).label("synced_at"),
        func.coalesce(func.max(_sync.unnamed), 0).label("unnamed"),
        func.max(_sync.trouble).label("trouble"),
        func.max(_sync.held_at).label("held_at"),
    )
    .select_from(
        _known.outerjoin(
            audience_memberships,
            and_(_row.destination == _known.c.destination, _row.audience == _known.c.audience),
        ).outerjoin(
            audience_syncs, and_(_sync.destination == _known.c.destination, _sync.audience == _known.c.audience)
        )
    )
    .group_by(_known.c.destination, _known.c.audience)
    .order_by(_known.c.destination, _known.c.audience)
)
_REFUSALS = (
    select(_row.refused, func.count().label("n"))
    .where(*_IS_IT, _row.refused.is_not(None))
    .group_by(_row.refused)
    .order_by(_row.refused)
)
_CHANGES = {
    refused: select(_row.contact_id, _row.wanted, _row.wanted_at, _row.refused)
    .where(*_IS_IT, condition, _row.erased.is_(None), _row.contact_id > bindparam("behind"))
    .order_by(_row.contact_id)
    .limit(bindparam("most"))
    for refused, condition in ((False, DIFFERS), (True, _row.refused.is_not(None)))
}
_pseudonym = bindparam("name", type_=SafeText)
_IS_ERASED = _row.erased == _pseudonym
ERASE_MEMBERSHIPS: Final = (
    update(audience_memberships)
    .where(_row.contact_id == bindparam("whose"))
    .values(
        # With the row's id: a late change may have made another row of the same audience.
        contact_id=_pseudonym.concat(literal(":")).concat(_row.id),
        erased=_pseudonym,
        wanted=False,
        member="",
        refused=None,
    ),
    delete(audience_memberships).where(_IS_ERASED, *_IS_NOTHING),
)
"""Remove an erased contact from all audiences. Rows stay, under its pseudonym, until the platforms have removed it."""
_PENDING = select(func.count().label("n")).where(_IS_ERASED)
