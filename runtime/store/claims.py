"""Slots under caps: one row a delivery, claimed before it is first sent and released if nothing arrived.

One statement counts and inserts. Concurrent claims of a contact must see each other: SQLite has one writer at a time,
and on PostgreSQL the statement takes the contact's lock before it counts (see the function ``claims_in_turn``). No lock
outlives its statement, so a killed or slow process never holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries
from runtime.store.deliveries import deliveries
from runtime.store.schema import Flag, UtcDateTime, storable, table_of
from scenario.policies.caps import Cap, Full, full


@dataclass(frozen=True, slots=True)
class CapClaim:
    """A delivery's slot."""

    delivery_id: str
    contact_id: str
    channel: str  # ``email``, ``webhook``, …
    destination: str
    scenario: str
    claimed_at: datetime
    permanent: bool = False  # True if the message may have arrived: the slot is not released


claims = table_of(
    "claims",
    CapClaim,
    # True if it was released. It still counts if the log of attempts records an arrival.
    sa.Column("released", Flag, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("delivery_id"),
    sa.Index(None, "contact_id", "claimed_at"),
    sa.Index(None, "claimed_at"),
)
"""Slots under caps: one row a delivery, claimed before it is sent."""

_table = claims.c
_GIVEN = tuple(field.name for field in fields(CapClaim) if field.name != "permanent")


class Claims(Queries):
    """The table of slots."""

    async def claim(self, wanted: CapClaim, caps: Sequence[Cap], zone: tzinfo) -> Full | None:
        """Claim a slot under all caps that apply to a delivery.

        Idempotent: a delivery keeps its slot, whatever the caps are now. After a release it needs a new one. The store
        is not queried if no cap applies. Return the cap that is full, or None if the delivery has a slot.
        """
        applying = [cap for cap in caps if cap.applies_to(wanted.channel, wanted.destination)]
        if not applying:
            return None
        now = wanted.claimed_at
        bounds = [cap.since(now, zone) for cap in applying]
        earliest = min(bounds)
        asked = {"contact_id": wanted.contact_id, "since": earliest, "delivery_id": storable(wanted.delivery_id)}
        row: dict[str, Any] = {name: getattr(wanted, name) for name in _GIVEN} | {"earliest": earliest}
        row |= {f"since_{number}": bound for number, bound in enumerate(bounds)}
        counted = tuple((cap.channels, cap.at_most) for cap in applying)
        taking = _take(self._database.insert, self._database.one_writer, counted)
        while True:
            if await self._database.write(taking, row):
                return None
            earlier = await self._all(CapClaim, _EARLIER, asked)
            if any(claim.delivery_id == asked["delivery_id"] for claim in earlier):
                return None
            if found := full(applying, earlier, now, zone):
                return found
            # A slot was released in between: try again.

    async def keep(self, delivery_id: str) -> None:
        """Record that the message may have arrived: the slot is not released any later."""
        await self._database.write(_KEEP, {"of_delivery": delivery_id})

    async def release(self, delivery_id: str) -> None:
        """Release a delivery's slot, unless it is permanent. Idempotent.

        An attempt may be in flight: the slot still counts if the log of attempts then records an arrival.
        """
        await self._database.write(_RELEASE, {"of_delivery": delivery_id})

    async def claims_of(self, contact_id: str, since: datetime) -> list[CapClaim]:
        """Return a contact's slots since a time, the oldest first."""
        found = await self._all(CapClaim, _OF_CONTACT, {"contact_id": contact_id, "since": since})
        return sorted(found, key=lambda claim: (claim.claimed_at, claim.delivery_id))


_ARRIVED = ("delivered", "refused_answer", "unknown")
_counts = sa.or_(
    _table.released == 0,
    sa.exists().where(
        deliveries.c.delivery_id == _table.delivery_id,
        deliveries.c.outcome.in_([sa.literal_column(f"'{outcome}'") for outcome in _ARRIVED]),
    ),
)
_columns = [_table[field.name] for field in fields(CapClaim)]
_of_contact = (_table.contact_id == sa.bindparam("contact_id"), _table.claimed_at >= sa.bindparam("since"), _counts)
_OF_CONTACT = sa.select(*_columns).where(*_of_contact)
# The delivery's own claim may be older than the period of the caps.
_EARLIER = _OF_CONTACT.union_all(
    sa.select(*_columns).where(
        _table.delivery_id == sa.bindparam("delivery_id"), _table.claimed_at < sa.bindparam("since"), _counts
    )
)
_KEEP = (
    sa.update(claims).where(_table.delivery_id == sa.bindparam("of_delivery")).values(permanent=True, released=False)
)
_RELEASE = (
    sa.update(claims)
    .where(_table.delivery_id == sa.bindparam("of_delivery"), _table.permanent == 0)
    .values(released=True)
)


@lru_cache(maxsize=256)
def _take(
    insert: InsertFactory, one_writer: bool, counted: tuple[tuple[tuple[str, ...] | None, int], ...]
) -> sa.Executable:
    """Insert a delivery's row if all caps (with the channels and destinations that they count) have a free slot."""
    given: dict[str, sa.ColumnElement[Any]] = {name: sa.bindparam(name, type_=_table[name].type) for name in _GIVEN}
    earlier = _earlier(one_writer, given["contact_id"])
    free: list[sa.ColumnElement[bool]] = []
    # Constants are part of the statement, since each parameter costs time.
    for number, (names, at_most) in enumerate(counted):
        counts = [earlier.c.claimed_at >= sa.bindparam(f"since_{number}", type_=UtcDateTime)]
        if names is not None:
            columns = (earlier.c.channel, earlier.c.destination)
            counts.append(sa.or_(*(column == _quoted(name) for name in names for column in columns)))
        places = sa.select(sa.func.count()).select_from(earlier).where(*counts).scalar_subquery()
        free.append(places < sa.literal_column(str(at_most), sa.Integer))
    row = sa.select(*given.values(), sa.literal_column("0", sa.Integer)).where(*free)
    adding = insert(claims).from_select([*given, "permanent"], row)
    return adding.on_conflict_do_update(
        index_elements=claims.primary_key.columns,
        set_={"claimed_at": adding.excluded.claimed_at, "released": False},
        where=_table.released == 1,
    ).returning(sa.literal_column("1", sa.Integer))


def _earlier(one_writer: bool, contact_id: sa.ColumnElement[str]) -> sa.CTE:
    """Return the contact's slots, at a time when no other statement can claim one."""
    columns = (_table.channel, _table.destination, _table.claimed_at)
    earliest = sa.bindparam("earliest", type_=UtcDateTime)
    if one_writer:
        return (
            sa.select(*columns)
            .where(_table.contact_id == contact_id, _table.claimed_at >= earliest, _counts)
            .cte("earlier")
        )
    in_turn = sa.func.claims_in_turn(contact_id, earliest).table_valued(
        *(sa.column(one.name, one.type) for one in columns)
    )
    return sa.select(in_turn).cte("earlier")


def _quoted(name: str) -> sa.ColumnElement[str]:
    return sa.literal_column("'" + name.replace("'", "''") + "'")
