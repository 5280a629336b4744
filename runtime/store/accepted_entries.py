"""Entries that a gateway has acknowledged and no worker has admitted or refused yet.

Temporal has the workflow, but its search lags, and the table of journeys learns of it from a worker. A gateway
therefore records the run before it acknowledges the entry. Later events for the contact then find it.

A worker does not delete the row of a run that it admits or refuses: that would be a statement more for every journey.
A row is ignored once `entries` has its run, and gateways delete it later. The row of a refused run is deleted once a
signal finds that the run has ended, or after a day. By then search has learned of every run that is still pending. If
Temporal has lost the run, the row is its only record, which `scenario store reconcile` lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from runtime.store.database import Queries, row_of
from runtime.store.schema import UtcDateTime, entries, table_of

KEPT: Final = timedelta(days=1)  # retention of a row without an admitted run
_TOGETHER: Final = 500  # the oldest rows that one statement looks at


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """An acknowledged entry and the run that was started for it."""

    workflow_id: str
    run_id: str
    contact_id: str
    accepted_at: datetime

    @property
    def scenario(self) -> str:
        return self.workflow_id.partition("/")[0]


accepted_entries = table_of(
    "accepted_entries",
    AcceptedEntry,
    # The contact first: a contact's pending entries are queried for every event.
    sa.PrimaryKeyConstraint("contact_id", "workflow_id", "run_id"),
    sa.Index(None, "accepted_at"),
)
"""Entries that a gateway has acknowledged. One is pending while `entries` lacks its run."""

_table = accepted_entries.c


class AcceptedEntries(Queries):
    """The table of acknowledged entries."""

    async def accept(self, *accepted: AcceptedEntry) -> None:
        """Record entries that are about to be acknowledged. Idempotent."""
        statement = self._database.insert(accepted_entries).on_conflict_do_nothing()
        await self._database.write_many(statement, [row_of(accepted_entries, entry) for entry in accepted])

    async def pending_entries(self, contact_id: str) -> list[AcceptedEntry]:
        """Return a contact's acknowledged entries that have not been admitted, the oldest first."""
        found = await self._all(AcceptedEntry, _PENDING, {"contact_id": contact_id})
        return sorted(found, key=lambda entry: (entry.accepted_at, entry.workflow_id))

    async def pending_page(self, after: AcceptedEntry | None, limit: int) -> list[AcceptedEntry]:
        """Return a page of acknowledged entries that have not been admitted; `after` is the last of the page before."""
        pending = [~_admitted]
        return await self._newest(AcceptedEntry, accepted_entries, pending, _KEY, after, limit, oldest_first=True)

    async def forget_accepted(self, entry: AcceptedEntry) -> None:
        """Delete the row of a run that is over."""
        this = (entry.contact_id, entry.workflow_id, entry.run_id)
        await self._delete(accepted_entries, *(column == value for column, value in zip(_KEY, this, strict=True)))

    async def prune_accepted(self, now: datetime) -> int:
        """Delete obsolete rows, the oldest first. Return their number."""
        deleted = 0
        while rows := await self._database.write(_PRUNE, {"old": now - KEPT, "most": _TOGETHER}):
            deleted += len(rows)
        return deleted


_admitted = sa.exists().where(entries.c.workflow_id == _table.workflow_id, entries.c.run_id == _table.run_id)
_PENDING = sa.select(accepted_entries).where(_table.contact_id == sa.bindparam("contact_id"), ~_admitted)
_KEY = (_table.contact_id, _table.workflow_id, _table.run_id)
_oldest = sa.select(accepted_entries).order_by(_table.accepted_at).limit(sa.bindparam("most")).subquery().c
_PRUNE = (
    sa.delete(accepted_entries)
    .where(
        sa.tuple_(*_KEY).in_(
            sa.select(_oldest.contact_id, _oldest.workflow_id, _oldest.run_id).where(
                sa.or_(
                    _oldest.accepted_at < sa.bindparam("old", type_=UtcDateTime),
                    sa.exists().where(entries.c.workflow_id == _oldest.workflow_id, entries.c.run_id == _oldest.run_id),
                )
            )
        )
    )
    .returning(_table.run_id)
)
