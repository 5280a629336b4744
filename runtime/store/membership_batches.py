"""The statements that freeze, settle and thaw batches of changes of audiences; see `runtime.store.memberships`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, and_, bindparam, case, delete, or_, select, update

from runtime.store.columns import Flag, SafeText
from runtime.store.membership_tables import DIFFERS, audience_memberships

_row = audience_memberships.c
IS_IT = (_row.destination == bindparam("to"), _row.audience == bindparam("name"))
_IN_BATCH = _row.batch == bindparam("of")
_AMONG = _row.id.in_(bindparam("ids", expanding=True))
_IS_FREE = and_(_row.batch.is_(None), _row.refused.is_(None))
TO_REMOVE = and_(_IS_FREE, _row.is_member == 1, or_(_row.wanted == 0, _row.digest != _row.sent_digest))
TO_ADD = and_(_IS_FREE, _row.is_member == 0, _row.wanted == 1)
MORE = select(_row.id).where(*IS_IT, DIFFERS, or_(TO_REMOVE, TO_ADD)).limit(1)
FROZEN = select(_row.batch).where(*IS_IT, _row.batch.is_not(None), DIFFERS).limit(1)


def _freezing(differs: ColumnElement[bool], **more: ColumnElement[Any]) -> Executable:
    some = select(_row.id).where(*IS_IT, DIFFERS, differs).order_by(_row.id).limit(bindparam("most"))
    # Once more outside: PostgreSQL compares a row again that was changed meanwhile.
    return (
        update(audience_memberships)
        .where(_row.id.in_(some.correlate(None)), differs)
        .values(batch=bindparam("made"), **more)
        .returning(_row.id)
    )


_others = audience_memberships.alias("other")
_other = _others.c


def _unless_shared(name: str) -> ColumnElement[Any]:
    """Return the address or number that is to be removed, or null if another member was sent with it and keeps it."""
    shared = (
        select(_other.id)
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
    return case((shared, None), else_=_row[f"sent_{name}"])


_IDENTIFIERS: Final = ("email", "phone")
_SENT: Final = {f"sent_{name}": _row[name] for name in ("member", "digest", *_IDENTIFIERS)}
FREEZE: Final = {
    "remove": _freezing(TO_REMOVE, **{f"sent_{name}": _unless_shared(name) for name in _IDENTIFIERS}),
    "add": _freezing(TO_ADD, **_SENT),
}
BATCH = (
    select(_row.id, _row.sent_member.label("member"), _row.sent_email, _row.sent_phone)
    .where(_IN_BATCH)
    .order_by(_row.id)
)
_OUT: Final = {"batch": None} | {name: case((_row.is_member == 1, _row[name]), else_=None) for name in _SENT}
"""Out of a batch that was not carried out: an addition was not sent."""
DROP = delete(audience_memberships).where(_IN_BATCH, _AMONG, _row.erased.is_not(None))
# A member that is wanted under other identifiers by now was not refused under these.
_IS_OUTDATED = and_(_row.batch.like("add-%"), _row.digest != _row.sent_digest)
REFUSE = (
    update(audience_memberships)
    .where(_IN_BATCH, _AMONG)
    .values(**_OUT, refused=case((_IS_OUTDATED, None), else_=bindparam("why", type_=SafeText)))
)
IS_GONE = (_row.erased.is_not(None), _row.is_member == 0)
THAW = (
    delete(audience_memberships).where(_IN_BATCH, *IS_GONE),
    update(audience_memberships).where(_IN_BATCH).values(**_OUT),
)
THAW_SOME = (
    delete(audience_memberships).where(_IN_BATCH, _AMONG, *IS_GONE),
    update(audience_memberships).where(_IN_BATCH, _AMONG).values(**_OUT),
)
GONE = delete(audience_memberships).where(_IN_BATCH, _row.erased.is_not(None))


def _adding_again(name: str) -> Executable:
    """Return the statement that adds members again if a batch of removals takes their address or number."""
    lost = (
        select(_other.id)
        .select_from(audience_memberships)
        .join(
            _others,
            and_(
                _other.destination == _row.destination,
                _other.audience == _row.audience,
                _other[name] == _row[f"sent_{name}"],
            ),
        )
        .where(_IN_BATCH, _other.batch.is_(None), _other.wanted == 1, _other.is_member == 1)
    )
    # So they differ: what the platform still has of them is removed before they are added.
    return update(audience_memberships).where(_row.id.in_(lost.correlate(None))).values(sent_digest="")


ADD_AGAIN: Final = tuple(_adding_again(name) for name in _IDENTIFIERS)
"""They were wanted again, or under this address, while the batch was sent."""
_is_new = bindparam("is_new", type_=Flag)
SETTLE = (
    update(audience_memberships)
    .where(_IN_BATCH)
    .values(batch=None, is_member=_is_new, **{name: case((_is_new == 1, _row[name]), else_=None) for name in _SENT})
)
