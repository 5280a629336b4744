"""The outbox of the journal, and this store's place in it.

Triggers write a change's entry in the statement that makes the change: an erasure, a suppression, an unsubscription,
their removals, and the closing and opening of a scenario. `activities.journal` moves the entries into the journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import uuid4

import sqlalchemy as sa

from runtime.store.campaigns import campaign_items
from runtime.store.claims import claims
from runtime.store.database import Queries, insert_new
from runtime.store.deliveries import deliveries
from runtime.store.entries import accepted_entries
from runtime.store.memberships import audience_memberships
from runtime.store.outgoing import outgoing_events
from runtime.store.schema import entries, erased_name, table_of


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A change that is not in the journal yet."""

    number: int  # its place in the outbox, which is not its number in the journal
    id: str  # random; of an erasure, its id
    kind: str
    """`erased`, `suppressed`, `unsuppressed`, `imported`, `closed` or `opened`."""
    recorded_at: datetime
    data: Mapping[str, Any]


journal_outbox = table_of(
    "journal_outbox",
    OutboxEntry,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
    sa.UniqueConstraint("id"),
    sqlite_autoincrement=True,  # no number is used twice
)
"""Changes that are not in the journal yet, in their order."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """A store's place in its journal."""

    place: str  # where the journal is: see `activities.journal.places`
    position: int = 0  # number of the last entry that the store contains
    behind: bool = False  # True if the journal has later entries, until all of them were replayed


journal_state = table_of(
    "journal_state",
    JournalState,
    sa.Column("name", sa.Text, primary_key=True),
)
"""One row, made by the first process that writes to the journal."""

_NAME: Final = "journal"
_out = journal_outbox.c
_state = journal_state.c
_FIELDS: Final = (_state.place, _state.position, _state.behind)
_POSITION: Final = sa.select(_state.position).scalar_subquery().label("position")
_PAGE: Final = 5_000
_WITH_CONTACTS: Final = (
    *(entries, deliveries, accepted_entries, claims),
    *(campaign_items, audience_memberships, outgoing_events),
)


class JournalWriter(Protocol):
    """Waits for the journal: see `activities.journal.journal.Journal`."""

    async def confirm(self, identifier: str) -> None: ...


class JournalEntries(Queries):
    """The outbox of the journal, and the store's place in it."""

    journal: JournalWriter | None = None
    """This process's journal. None means that erasures need not wait for it."""

    async def journal_state(self) -> JournalState | None:
        """Return the store's place in its journal, or None if nothing was ever written to one."""
        return await self._one(JournalState, sa.select(*_FIELDS))

    async def keep_journal(self, place: str) -> JournalState:
        """Return the store's place in its journal. Begin one in this place if there is none."""
        known = await self.journal_state()
        if known is None:
            row = {"name": _NAME, "place": place, "position": 0, "behind": False}
            await self._database.write(insert_new(self._database.insert, journal_state), row)
            known = await self.journal_state()
        return known or JournalState(place)

    async def mark_behind(self, place: str) -> None:
        """Record that the journal has entries that the store lacks. From now on, changes are not handed to it."""
        await self.keep_journal(place)
        await self._change(journal_state, _state.name == _NAME, behind=True)

    async def catch_up(self, place: str, position: int) -> None:
        """Record that the store contains all entries up to this number of the journal in this place."""
        await self.keep_journal(place)
        await self._change(journal_state, _state.name == _NAME, place=place, position=position, behind=False)

    async def add_journal_entry(self, kind: str, data: Mapping[str, Any]) -> None:
        """Hand an entry to the journal that no trigger writes."""
        row = {"id": uuid4().hex, "kind": kind, "recorded_at": datetime.now(UTC), "data": dict(data)}
        await self._database.write(sa.insert(journal_outbox).values(row))

    async def outbox(self, limit: int) -> tuple[int, list[OutboxEntry]]:
        """Return the oldest changes that are not in the journal yet, and the number after which they follow in it."""
        # In one statement: of processes that write concurrently, all give an entry the same number.
        rows = await self._database.read(sa.select(journal_outbox, _POSITION).order_by(_out.number).limit(limit))
        found = [OutboxEntry(**{column.name: row[column.name] for column in _out}) for row in rows]
        return (rows[0]["position"] or 0 if rows else 0), found

    async def in_outbox(self, identifiers: Collection[str]) -> set[str]:
        """Return those of these ids that are not in the journal yet, as far as the store knows."""
        return set(await self._values(sa.select(_out.id).where(_out.id.in_(identifiers)))) if identifiers else set()

    async def oldest_in_outbox(self) -> datetime | None:
        """Return the time of the oldest change that is not in the journal yet."""
        return await self._value(sa.select(sa.func.min(_out.recorded_at)))

    async def remove_from_outbox(self, identifiers: Collection[str]) -> None:
        """Record that these entries are in the journal. A trigger advances the position by each. Idempotent."""
        if identifiers:
            await self._delete(journal_outbox, _out.id.in_(identifiers))

    async def known_contacts(self) -> AsyncIterator[str]:
        """Yield the ids of all contacts that rows of the store name, with repetitions."""
        for table in _WITH_CONTACTS:
            column: sa.Column[str] = table.c.contact_id
            last = ""
            while page := await self._values(
                sa.select(column).distinct().where(column > last).order_by(column).limit(_PAGE)
            ):
                for last in page:
                    if not last.startswith(erased_name("")):
                        yield last
