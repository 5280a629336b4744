"""Outgoing events: a log in the order of commits, which feeds and subscriptions read by position.

An event is written with the row that it reports. It gets its position afterwards, by a statement that one reader at a
time carries out: on PostgreSQL, a row with a lower number may be committed later, and a reader that went by numbers
would miss it. Positions only grow, also across restores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, insert_new
from runtime.store.schema import partial_index, table_of
from scenario.words import EventType

TOGETHER: Final = 1_000  # maximum number of events that one statement gives positions


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """An outgoing event."""

    position: int  # its place in the log
    id: str  # the same in every copy
    type: str
    at: datetime
    recorded_at: datetime
    subject: str
    """Its subject: a journey, a destination or a campaign. Events about the same stay in order."""
    scenario: str | None  # None for events about destinations
    contact_id: str | None  # None for events about destinations and campaigns
    data: Mapping[str, Any]  # other ids and words, by name


outgoing_events = table_of(
    "outgoing_events",
    OutgoingEvent,
    # Order of insertion, which on PostgreSQL is not that of commits.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
    # Given after its commit; null before.
    sa.Column("position", sa.BigInteger, nullable=True),
    sa.Index(None, "position"),
    # Read for erasures.
    sa.Index(None, "contact_id"),
    sa.Index(None, "recorded_at"),
    partial_index("ix_outgoing_events_unnumbered", "number", where="position IS NULL"),
    sqlite_autoincrement=True,  # no number is used twice
)
"""Outgoing events, written by the triggers of the first migration and by activities."""

outgoing_types = table_of("outgoing_types", {"type": "str"}, sa.PrimaryKeyConstraint("type"))
"""The types of events that somebody wants. Others are not stored."""

outgoing_cursors = table_of(
    "outgoing_cursors",
    {"name": "str"},
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("name"),
)
"""The place up to which each subscription's events were sent, or are in `outgoing_sends`; "" is the log itself."""

destination_pauses = table_of(
    "destination_pauses", {"destination": "str", "paused_at": "datetime"}, sa.PrimaryKeyConstraint("destination")
)
"""Destinations that a worker has paused because they failed too often."""


class OutgoingEvents(Queries):
    """The table of outgoing events."""

    async def want_events(self, types: Collection[str]) -> None:
        """Set the types of events that are stored from now on."""
        await self._delete(outgoing_types, outgoing_types.c.type.not_in(sorted(types)))
        if types:
            rows = [{"type": name} for name in sorted(types)]
            await self._database.write_many(self._database.insert(outgoing_types).on_conflict_do_nothing(), rows)

    async def wanted_events(self) -> set[str]:
        """Return the types of events that are stored."""
        return set(await self._values(sa.select(outgoing_types.c.type)))

    async def report_event(
        self,
        kind: EventType,
        identifier: str,
        at: datetime,
        *,
        subject: str,
        scenario: str | None,
        contact_id: str,
        data: Mapping[str, Any],
    ) -> None:
        """Store an event that no row reports, if its type is wanted and it is not stored yet."""
        row = {"id": identifier, "type": kind, "at": at, "recorded_at": datetime.now(UTC), "subject": subject}
        row |= {"scenario": scenario, "contact_id": contact_id, "data": data}
        await self._database.write(_add(self._database.insert), row)

    async def outgoing_events(
        self,
        after: int,
        *,
        types: Collection[str] | None = None,
        scenarios: Collection[str] | None = None,
        limit: int = 100,
    ) -> tuple[list[OutgoingEvent], int]:
        """Return events after a position, in order, and the position up to which all were considered.

        Events about destinations belong to none of the `scenarios`.
        """
        last = await self.last_event()
        where = [_table.position > after, _table.position <= last]
        if types is not None:
            where.append(_table.type.in_(sorted(types)))
        if scenarios is not None:
            where.append(_table.scenario.in_(sorted(scenarios)))
        found = await self._all(OutgoingEvent, _SELECT.where(*where).order_by(_table.position).limit(limit))
        return found, found[-1].position if len(found) == limit else max(last, after)

    async def outgoing_at(self, positions: Iterable[int]) -> dict[int, OutgoingEvent]:
        """Return the events at these positions; those that were deleted are missing."""
        found = await self._all(OutgoingEvent, _SELECT.where(_table.position.in_(sorted(positions))))
        return {one.position: one for one in found}

    async def last_event(self) -> int:
        """Give positions to new events. Return the last one that was given, or 0."""
        while await self._database.read(_IS_UNNUMBERED):
            if self._database.one_writer:
                await self._database.alone(_number_in_turn)
            else:
                await self._database.write(_NUMBER, {"most": TOGETHER})
        return await self._value(_LAST) or 0

    async def leap(self, position: int) -> None:
        """Give new events later positions than this. After a restore, readers may know later ones than the store."""
        await self._database.write(_LEAP, {"to": position})
        if self._database.one_writer:
            for statement in _LEAP_NUMBERS:
                await self._database.write(statement, {"to": position})

    # ---- destinations that fail

    async def pause_destination(self, destination: str, at: datetime) -> None:
        """Record that a worker has paused a destination. The first report counts."""
        row = {"destination": destination, "paused_at": at}
        await self._database.write(insert_new(self._database.insert, destination_pauses), row)

    async def recover_destination(self, destination: str) -> None:
        """Record that a paused destination answers again."""
        await self._delete(destination_pauses, destination_pauses.c.destination == destination)


_table = outgoing_events.c
_SELECT = sa.select(*(_table[name] for name in OutgoingEvent.__dataclass_fields__))
_IS_UNNUMBERED = sa.select(sa.literal(1)).where(_table.position.is_(None)).limit(1)
_LAST = sa.select(outgoing_cursors.c.position).where(outgoing_cursors.c.name == "")
# The insertion into `outgoing_cursors` waits for others that do the same; rows that they have numbered meanwhile are
# skipped, and their numbers stay unused.
_NUMBER = sa.text("""
WITH fresh AS (
    SELECT number, row_number() OVER (ORDER BY number) AS turn
    FROM (SELECT number FROM outgoing_events WHERE position IS NULL ORDER BY number LIMIT :most) AS oldest
), counter AS (
    INSERT INTO outgoing_cursors (name, position) SELECT '', count(*) FROM fresh HAVING count(*) > 0
    ON CONFLICT (name) DO UPDATE SET position = outgoing_cursors.position + excluded.position
    RETURNING position
)
UPDATE outgoing_events SET position = counter.position - (SELECT count(*) FROM fresh) + fresh.turn
FROM fresh, counter WHERE outgoing_events.number = fresh.number AND outgoing_events.position IS NULL
""")
_LEAP = sa.text("""
INSERT INTO outgoing_cursors (name, position) VALUES ('', :to)
ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE outgoing_cursors.position < excluded.position
""")
_LEAP_NUMBERS: Final = (
    sa.text("UPDATE sqlite_sequence SET seq = :to WHERE name = 'outgoing_events' AND seq < :to"),
    sa.text(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'outgoing_events', :to "
        "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'outgoing_events')"
    ),
)
# SQLite has one writer at a time, so that numbers are in the order of commits.
_IN_TURN: Final[Sequence[str]] = (
    "UPDATE outgoing_events SET position = number WHERE position IS NULL",
    "INSERT INTO outgoing_cursors (name, position) SELECT '', seq FROM sqlite_sequence WHERE name = 'outgoing_events' "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
)


def _number_in_turn(connection: sa.Connection) -> None:
    for statement in _IN_TURN:
        connection.exec_driver_sql(statement)


@cache
def _add(insert: InsertFactory) -> sa.Executable:
    names = ("id", "type", "at", "recorded_at", "subject", "scenario", "contact_id", "data")
    given = {name: sa.bindparam(name, type_=_table[name].type) for name in names}
    is_wanted = sa.exists().where(outgoing_types.c.type == given["type"])
    # By the contact, whose few events an index finds.
    is_new = ~sa.exists().where(_table.contact_id == given["contact_id"], _table.id == given["id"])
    return insert(outgoing_events).from_select(names, sa.select(*given.values()).where(is_wanted, is_new))
