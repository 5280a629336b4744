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
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, in_chunks, matching, row_of
from runtime.store.schema import Flag, SafeText, partial_index, table_of

_Columns = sa.sql.expression.ColumnCollection[str, Any]
_TOGETHER: Final = 500  # maximum number of rows that one statement names
# In parentheses, and word for word as in the index that serves it.
_DIFFERS: Final = sa.text("(batch IS NOT NULL OR (refused IS NULL AND (is_member <> wanted OR digest <> sent_digest)))")
NO_MEMBER: Final = sa.literal_column("is_member = 0", sa.Boolean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A wanted membership, and the one that the platform has."""

    id: str
    """Random. It orders the members of a request, and stays when an erasure replaces the contact's id."""
    destination: str
    audience: str
    contact_id: str
    wanted: bool
    wanted_at: datetime
    member: str  # the identifiers of the wanted member at the platform, encrypted if payloads are
    digest: str  # a keyed digest of `member`
    is_member: bool = False  # True if the platform has the member
    email: str | None = None
    """A keyed digest of the wanted member's address, if the platform knows members by it alone; `phone` likewise."""
    phone: str | None = None
    sent_member: str | None = None
    """The member that was sent last, or is being sent. In a removal, an address or number of another member is None."""
    sent_digest: str | None = None
    sent_email: str | None = None
    sent_phone: str | None = None
    batch: str | None = None  # the request in progress
    refused: str | None = None  # why the platform refused the change
    erased: str | None = None  # the pseudonym of an erased contact


audience_memberships = table_of(
    "audience_memberships",
    Membership,
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("destination", "audience", "contact_id"),
    # Read for erasures.
    sa.Index(None, "contact_id"),
    partial_index("ix_audience_memberships_erased", "erased", where="erased IS NOT NULL"),
    partial_index("ix_audience_memberships_batch", "batch", where="batch IS NOT NULL"),
    partial_index("ix_audience_memberships_differing", "destination", "audience", where=_DIFFERS.text),
    partial_index("ix_audience_memberships_refused", "wanted_at", where="refused IS NOT NULL"),
    partial_index("ix_audience_memberships_no_member", "wanted_at", where="is_member = 0"),
    partial_index("ix_audience_memberships_email", "destination", "audience", "email", where="email IS NOT NULL"),
    partial_index("ix_audience_memberships_phone", "destination", "audience", "phone", where="phone IS NOT NULL"),
)
"""One row a contact and audience. That of a removed contact stays a while: an earlier addition may arrive."""

_row = audience_memberships.c
IS_SETTLED: Final = sa.or_(_row.refused.is_not(None), sa.and_(_row.wanted == 0, _row.batch.is_(None)))
"""With `NO_MEMBER`: the platform refused the contact, or it was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceSync:
    """The state of an audience."""

    destination: str
    audience: str
    synced_at: datetime | None
    unnamed: int  # number of members of all requests that the platform refused without naming them
    trouble: str | None  # why it makes no progress: a sentence
    held_at: datetime | None  # since when it waits for an operator


audience_syncs = table_of("audience_syncs", AudienceSync, sa.PrimaryKeyConstraint("destination", "audience"))
"""The state of each audience that was ever sent."""
_sync = audience_syncs.c


@dataclass(frozen=True, slots=True)
class BatchMember:
    """A member as a batch sends it."""

    id: str
    member: str
    sent_email: str | None  # None if the batch leaves the address out, because another member has it
    sent_phone: str | None  # the same for the number


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCounts(AudienceSync):
    """The state of an audience, with numbers."""

    members: int  # number of members that the platform has, as far as is known
    waiting: int  # number of changes that are not sent yet
    refused: int  # number of changes that the platform refused


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsyncedChange:
    """A change of an audience that waits, or that the platform refused for a reason."""

    contact_id: str
    wanted: bool
    wanted_at: datetime
    refused: str | None


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
        return await self._tuples(_UNSYNCED)

    async def freeze_audience_batch(self, destination: str, audience: str, batch: str, size: int) -> tuple[str, bool]:
        """Freeze the next changes of an audience, at most `size`, removals first. `batch` ends a new batch's id.

        Return the batch's id, an earlier one if one is frozen, or "" if nothing differs; and True if more differs.
        """
        given = {"to": destination, "name": audience}
        identifier = await self._value(_FROZEN, given) or ""
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
        for some in in_chunks(ids, _TOGETHER):
            given = {"of": batch, "ids": some}
            await self._database.write(_DROP, given)
            await self._database.write(_REFUSE, given | {"why": reason})

    async def thaw_audience_batch(
        self, batch: str, ids: Sequence[str] | None = None, *, maybe_done: bool = False
    ) -> None:
        """Take members out of a batch that was not carried out, by default all. A later batch sends them.

        With `maybe_done`, an earlier attempt may have carried it out. They are then removed first, and those that are
        wanted are added again: a contact that leaves meanwhile must not stay a member.
        """
        in_batch = _row.batch == batch
        some = [[in_batch]] if ids is None else [[in_batch, _row.id.in_(part)] for part in in_chunks(ids, _TOGETHER)]
        for where in some:
            if not maybe_done:
                await self._database.write(sa.delete(audience_memberships).where(*where, *_IS_GONE))
            values = _MAYBE_DONE if maybe_done else _OUT
            await self._database.write(sa.update(audience_memberships).where(*where).values(values))

    async def settle_audience_batch(self, batch: str) -> None:
        """Record that the platform carried out the changes that are left in a batch."""
        if is_removal := batch.startswith("remove-"):
            for statement in (*_ADD_AGAIN, _GONE):
                await self._database.write(statement, {"of": batch})
        await self._database.write(_SETTLE, {"of": batch, "is_new": not is_removal})

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
        one = {"destination": destination, "audience": audience}
        await self._change(audience_syncs, *matching(audience_syncs, **one), held_at=None, trouble=note)
        refused = (*matching(audience_memberships, **one), _row.refused.is_not(None))
        await self._database.write(sa.update(audience_memberships).where(*refused).values(refused=None))

    async def has_audience_trouble(self, destination: str, audience: str) -> bool:
        """Return True if the last request was not carried out, as far as is known."""
        one = matching(audience_syncs, destination=destination, audience=audience)
        return bool(await self._count_rows(audience_syncs, *one, _sync.trouble.is_not(None)))

    async def count_held_audiences(self) -> int:
        return await self._count_rows(audience_syncs, _sync.held_at.is_not(None))

    async def audience_counts(self) -> list[AudienceCounts]:
        """Return the states of all audiences, by destination and name."""
        return await self._all(AudienceCounts, _COUNTS)

    async def audience_refusals(self, destination: str, audience: str) -> dict[str, int]:
        """Count the refused changes of an audience by reason."""
        where = (*matching(audience_memberships, destination=destination, audience=audience), _row.refused.is_not(None))
        counts = sa.select(_row.refused, sa.func.count()).where(*where)
        return dict(await self._tuples(counts.group_by(_row.refused).order_by(_row.refused)))

    async def audience_changes(
        self, destination: str, audience: str, *, refused: bool, after: str = "", limit: int = 100
    ) -> list[UnsyncedChange]:
        """Return waiting or refused changes of an audience, by contact, behind one, without erased contacts."""
        changes = sa.select(_row.contact_id, _row.wanted, _row.wanted_at, _row.refused).where(
            *matching(audience_memberships, destination=destination, audience=audience),
            _row.refused.is_not(None) if refused else _DIFFERS,
            _row.erased.is_(None),
            _row.contact_id > after,
        )
        return await self._all(UnsyncedChange, changes.order_by(_row.contact_id).limit(limit))

    async def pending_removals(self, pseudonym: str) -> int:
        """Count the removals of an erased contact that are not sent yet."""
        return await self._count_rows(audience_memberships, _row.erased == pseudonym)


_IS_IT = (_row.destination == sa.bindparam("to"), _row.audience == sa.bindparam("name"))
_IN_BATCH = _row.batch == sa.bindparam("of")
_AMONG = _row.id.in_(sa.bindparam("ids", expanding=True))
_IS_FREE = sa.and_(_row.batch.is_(None), _row.refused.is_(None))
_TO_REMOVE = sa.and_(_IS_FREE, _row.is_member == 1, sa.or_(_row.wanted == 0, _row.digest != _row.sent_digest))
_TO_ADD = sa.and_(_IS_FREE, _row.is_member == 0, _row.wanted == 1)
_MORE = sa.select(_row.id).where(*_IS_IT, _DIFFERS, sa.or_(_TO_REMOVE, _TO_ADD)).limit(1)
_FROZEN = sa.select(_row.batch).where(*_IS_IT, _row.batch.is_not(None), _DIFFERS).limit(1)


def _freezing(differs: sa.ColumnElement[bool], **more: sa.ColumnElement[Any]) -> sa.Executable:
    some = sa.select(_row.id).where(*_IS_IT, _DIFFERS, differs).order_by(_row.id).limit(sa.bindparam("most"))
    # Once more outside: PostgreSQL compares a row again that was changed meanwhile.
    return (
        sa.update(audience_memberships)
        .where(_row.id.in_(some.correlate(None)), differs)
        .values(batch=sa.bindparam("made"), **more)
        .returning(_row.id)
    )


_others = audience_memberships.alias("other")
_other = _others.c


_REMAINS = (_other.is_member == 1, _other.wanted == 1)


def _same(one: _Columns, other: _Columns) -> sa.ColumnElement[bool]:
    """Return the condition that two rows are about the same audience."""
    return sa.and_(one.destination == other.destination, one.audience == other.audience)


def _uses_sent(name: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the condition that another member of the audience is wanted with the address or number of one."""
    return _same(_other, _row), _other[name] == _row[f"sent_{name}"]


def _unless_shared(name: str) -> sa.ColumnElement[Any]:
    """Return the address or number that is to be removed, or null if another member was sent with it and keeps it."""
    is_shared = (*_uses_sent(name), _other[f"sent_{name}"] == _row[f"sent_{name}"], _other.id != _row.id, *_REMAINS)
    shared = sa.select(_other.id).where(*is_shared).correlate(audience_memberships).exists()
    return sa.case((shared, None), else_=_row[f"sent_{name}"])


_IDENTIFIERS: Final = ("email", "phone")
_SENT: Final = {f"sent_{name}": _row[name] for name in ("member", "digest", *_IDENTIFIERS)}
_FREEZE: Final = {
    "remove": _freezing(_TO_REMOVE, **{f"sent_{name}": _unless_shared(name) for name in _IDENTIFIERS}),
    "add": _freezing(_TO_ADD, **_SENT),
}
_BATCH = (
    sa.select(_row.id, _row.sent_member.label("member"), _row.sent_email, _row.sent_phone)
    .where(_IN_BATCH)
    .order_by(_row.id)
)
_OUT: Final = {"batch": None} | {name: sa.case((_row.is_member == 1, _row[name]), else_=None) for name in _SENT}
"""Out of a batch that was not carried out: an addition was not sent."""
_MAYBE_DONE: Final = {"batch": None, "is_member": True, "sent_digest": ""}
_DROP = sa.delete(audience_memberships).where(_IN_BATCH, _AMONG, _row.erased.is_not(None))
# A member that is wanted under other identifiers by now was not refused under these.
_IS_OUTDATED = sa.and_(_row.batch.like("add-%"), _row.digest != _row.sent_digest)
_REFUSE = (
    sa.update(audience_memberships)
    .where(_IN_BATCH, _AMONG)
    .values(**_OUT, refused=sa.case((_IS_OUTDATED, None), else_=sa.bindparam("why", type_=SafeText)))
)
_IS_GONE = (_row.erased.is_not(None), _row.is_member == 0)
_GONE = sa.delete(audience_memberships).where(_IN_BATCH, _row.erased.is_not(None))


def _adding_again(name: str) -> sa.Executable:
    """Return the statement that adds members again if a batch of removals takes their address or number."""
    lost = (
        sa.select(_other.id)
        .select_from(audience_memberships)
        .join(_others, sa.and_(*_uses_sent(name)))
        .where(_IN_BATCH, _other.batch.is_(None), *_REMAINS)
    )
    # So they differ: what the platform still has of them is removed before they are added.
    return sa.update(audience_memberships).where(_row.id.in_(lost.correlate(None))).values(sent_digest="")


_ADD_AGAIN: Final = tuple(_adding_again(name) for name in _IDENTIFIERS)
"""They were wanted again, or under this address, while the batch was sent."""
_is_new = sa.bindparam("is_new", type_=Flag)
_SETTLE = (
    sa.update(audience_memberships)
    .where(_IN_BATCH)
    .values(batch=None, is_member=_is_new, **{name: sa.case((_is_new == 1, _row[name]), else_=None) for name in _SENT})
)


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


_DIFFERENCE = sa.select(_row.id).where(*_IS_IT, _row.contact_id == sa.bindparam("whose"), _DIFFERS)
_HELD = sa.select(_sync.destination).where(_same(_sync, _row), _sync.held_at.is_not(None)).exists()
_UNSYNCED = sa.select(_row.destination, _row.audience).where(_DIFFERS, ~_HELD).distinct()
_known = sa.union(
    sa.select(_row.destination, _row.audience).where(sa.or_(_row.wanted == 1, _row.is_member == 1)),
    sa.select(_sync.destination, _sync.audience),
).subquery()
_COUNTS = (
    sa.select(
        _known.c.destination,
        _known.c.audience,
        sa.func.coalesce(sa.func.sum(sa.type_coerce(_row.is_member, sa.Integer)), 0).label("members"),
        sa.func.sum(sa.case((sa.or_(_row.batch.is_not(None), _TO_ADD, _TO_REMOVE), 1), else_=0)).label("waiting"),
        sa.func.sum(sa.case((_row.refused.is_not(None), 1), else_=0)).label("refused"),
        sa.func.coalesce(sa.func.max(_sync.unnamed), 0).label("unnamed"),
        *(sa.func.max(_sync[name]).label(name) for name in ("synced_at", "trouble", "held_at")),
    )
    .select_from(
        _known.outerjoin(audience_memberships, _same(_row, _known.c)).outerjoin(audience_syncs, _same(_sync, _known.c))
    )
    .group_by(_known.c.destination, _known.c.audience)
    .order_by(_known.c.destination, _known.c.audience)
)
_pseudonym = sa.bindparam("name", type_=SafeText)
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
        **dict.fromkeys(("email", "phone", "refused")),
    ),
    sa.delete(audience_memberships).where(*_IS_GONE, _row.erased == _pseudonym, _row.batch.is_(None)),
)
"""Remove an erased contact from all audiences. Rows stay, under its pseudonym, until the platforms have removed it."""
