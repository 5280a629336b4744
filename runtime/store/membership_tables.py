"""The tables of audiences, and the statements of their batches; see `runtime.store.memberships`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.schema import Flag, SafeText, UtcDateTime, metadata, partial_index, table_of

# In parentheses, and word for word as in the index that serves it.
DIFFERS: Final = sa.text("(batch IS NOT NULL OR (refused IS NULL AND (is_member <> wanted OR digest <> sent_digest)))")
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
    member: str
    """The identifiers of the wanted member at the platform, encrypted if payloads are."""
    digest: str
    """A keyed digest of `member`."""
    is_member: bool = False
    """True if the platform has the member."""
    email: str | None = None
    """A keyed digest of the wanted member's address, if the platform knows members by it alone; `phone` likewise."""
    phone: str | None = None
    sent_member: str | None = None
    """The member that was sent last, or is being sent. In a removal, an address or number of another member is None."""
    sent_digest: str | None = None
    sent_email: str | None = None
    sent_phone: str | None = None
    batch: str | None = None
    """The request in progress."""
    refused: str | None = None
    """Why the platform refused the change."""
    erased: str | None = None
    """The pseudonym of an erased contact."""


audience_memberships = table_of(
    "audience_memberships",
    Membership,
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("destination", "audience", "contact_id"),
    # Read for erasures.
    sa.Index(None, "contact_id"),
    partial_index("ix_audience_memberships_erased", "erased", where="erased IS NOT NULL"),
    partial_index("ix_audience_memberships_batch", "batch", where="batch IS NOT NULL"),
    partial_index("ix_audience_memberships_differing", "destination", "audience", where=DIFFERS.text),
    partial_index("ix_audience_memberships_refused", "wanted_at", where="refused IS NOT NULL"),
    partial_index("ix_audience_memberships_no_member", "wanted_at", where="is_member = 0"),
    partial_index("ix_audience_memberships_email", "destination", "audience", "email", where="email IS NOT NULL"),
    partial_index("ix_audience_memberships_phone", "destination", "audience", "phone", where="phone IS NOT NULL"),
)
"""One row a contact and audience. That of a removed contact stays a while: an earlier addition may arrive."""

IS_SETTLED: Final = sa.or_(
    audience_memberships.c.refused.is_not(None),
    sa.and_(audience_memberships.c.wanted == 0, audience_memberships.c.batch.is_(None)),
)
"""With `NO_MEMBER`: the platform refused the contact, or it was removed."""

audience_syncs = sa.Table(
    "audience_syncs",
    metadata,
    sa.Column("destination", SafeText, nullable=False),
    sa.Column("audience", SafeText, nullable=False),
    sa.Column("synced_at", UtcDateTime, nullable=True),
    # Number of members of all requests that the platform refused without naming them.
    sa.Column("unnamed", sa.Integer, nullable=False),
    # Why it makes no progress: a sentence.
    sa.Column("trouble", SafeText, nullable=True),
    # Since when it waits for an operator.
    sa.Column("held_at", UtcDateTime, nullable=True),
    sa.PrimaryKeyConstraint("destination", "audience"),
)
"""The state of each audience that was ever sent."""

_row = audience_memberships.c
IS_IT = (_row.destination == sa.bindparam("to"), _row.audience == sa.bindparam("name"))
_IN_BATCH = _row.batch == sa.bindparam("of")
_AMONG = _row.id.in_(sa.bindparam("ids", expanding=True))
_IS_FREE = sa.and_(_row.batch.is_(None), _row.refused.is_(None))
TO_REMOVE = sa.and_(_IS_FREE, _row.is_member == 1, sa.or_(_row.wanted == 0, _row.digest != _row.sent_digest))
TO_ADD = sa.and_(_IS_FREE, _row.is_member == 0, _row.wanted == 1)
MORE = sa.select(_row.id).where(*IS_IT, DIFFERS, sa.or_(TO_REMOVE, TO_ADD)).limit(1)
FROZEN = sa.select(_row.batch).where(*IS_IT, _row.batch.is_not(None), DIFFERS).limit(1)


def _freezing(differs: sa.ColumnElement[bool], **more: sa.ColumnElement[Any]) -> sa.Executable:
    some = sa.select(_row.id).where(*IS_IT, DIFFERS, differs).order_by(_row.id).limit(sa.bindparam("most"))
    # Once more outside: PostgreSQL compares a row again that was changed meanwhile.
    return (
        sa.update(audience_memberships)
        .where(_row.id.in_(some.correlate(None)), differs)
        .values(batch=sa.bindparam("made"), **more)
        .returning(_row.id)
    )


_others = audience_memberships.alias("other")
_other = _others.c


def _unless_shared(name: str) -> sa.ColumnElement[Any]:
    """Return the address or number that is to be removed, or null if another member was sent with it and keeps it."""
    shared = (
        sa.select(_other.id)
        .where(
            _other.destination == _row.destination,
            _other.audience == _row.audience,
            _other[name] == _row[f"sent_{name}"],
            _other[f"sent_{name}"] == _row[f"sent_{name}"],
            _other.id != _row.id,
            _other.is_member == 1,
            _other.wanted == 1,
        )
        .correlate(audience_memberships)
        .exists()
    )
    return sa.case((shared, None), else_=_row[f"sent_{name}"])


_IDENTIFIERS: Final = ("email", "phone")
_SENT: Final = {f"sent_{name}": _row[name] for name in ("member", "digest", *_IDENTIFIERS)}
FREEZE: Final = {
    "remove": _freezing(TO_REMOVE, **{f"sent_{name}": _unless_shared(name) for name in _IDENTIFIERS}),
    "add": _freezing(TO_ADD, **_SENT),
}
BATCH = (
    sa.select(_row.id, _row.sent_member.label("member"), _row.sent_email, _row.sent_phone)
    .where(_IN_BATCH)
    .order_by(_row.id)
)
OUT: Final = {"batch": None} | {name: sa.case((_row.is_member == 1, _row[name]), else_=None) for name in _SENT}
"""Out of a batch that was not carried out: an addition was not sent."""
DROP = sa.delete(audience_memberships).where(_IN_BATCH, _AMONG, _row.erased.is_not(None))
# A member that is wanted under other identifiers by now was not refused under these.
_IS_OUTDATED = sa.and_(_row.batch.like("add-%"), _row.digest != _row.sent_digest)
REFUSE = (
    sa.update(audience_memberships)
    .where(_IN_BATCH, _AMONG)
    .values(**OUT, refused=sa.case((_IS_OUTDATED, None), else_=sa.bindparam("why", type_=SafeText)))
)
IS_GONE = (_row.erased.is_not(None), _row.is_member == 0)
GONE = sa.delete(audience_memberships).where(_IN_BATCH, _row.erased.is_not(None))


def _adding_again(name: str) -> sa.Executable:
    """Return the statement that adds members again if a batch of removals takes their address or number."""
    lost = (
        sa.select(_other.id)
        .select_from(audience_memberships)
        .join(
            _others,
            sa.and_(
                _other.destination == _row.destination,
                _other.audience == _row.audience,
                _other[name] == _row[f"sent_{name}"],
            ),
        )
        .where(_IN_BATCH, _other.batch.is_(None), _other.wanted == 1, _other.is_member == 1)
    )
    # So they differ: what the platform still has of them is removed before they are added.
    return sa.update(audience_memberships).where(_row.id.in_(lost.correlate(None))).values(sent_digest="")


ADD_AGAIN: Final = tuple(_adding_again(name) for name in _IDENTIFIERS)
"""They were wanted again, or under this address, while the batch was sent."""
_is_new = sa.bindparam("is_new", type_=Flag)
SETTLE = (
    sa.update(audience_memberships)
    .where(_IN_BATCH)
    .values(batch=None, is_member=_is_new, **{name: sa.case((_is_new == 1, _row[name]), else_=None) for name in _SENT})
)
