"""Corrections of journeys after the store or Temporal was restored from a backup."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Executable, bindparam, func, literal, select, update

from runtime.store.admission import StoredEntry
from runtime.store.database import InsertFactory, Queries
from runtime.store.entries import LOST
from runtime.store.schema import entries

_table = entries.c
_GIVEN = (
    *("workflow_id", "run_id", "scenario", "version", "contact_id", "key", "trigger", "admitted_at"),
    *("ended_at", "outcome", "reason", "branches", "goal_until"),
)


class RestoredEntries(Queries):
    """Corrections to the table of journeys."""

    async def restore(self, entry: StoredEntry) -> None:
        """Insert an admitted journey under the next free ordinal; its own is ignored. Idempotent."""
        row = {name: getattr(entry, name) for name in _GIVEN} | {"key": entry.key or ""}
        is_there = select(literal(1)).where(_table.workflow_id == entry.workflow_id, _table.run_id == entry.run_id)
        while not await self._database.write(_restore(self._database.insert), row):
            if await self._database.read(is_there):
                return
            # Another entry took this number: look again.

    async def reopen(self, workflow_id: str, run_id: str) -> None:
        """Record that a journey marked as lost is running. Idempotent."""
        await self._database.write(_REOPEN, {"of_workflow": workflow_id, "of_run": run_id})


_REOPEN = (
    update(entries)
    .where(_table.workflow_id == bindparam("of_workflow"), _table.run_id == bindparam("of_run"), _table.outcome == LOST)
    .values(ended_at=None, outcome=None, reason=None)
)


@cache
def _restore(insert: InsertFactory) -> Executable:
    given = {name: bindparam(name, type_=_table[name].type) for name in _GIVEN}
    before = entries.alias()
    identity = (before.c[name] == given[name] for name in ("contact_id", "scenario", "key"))
    newest = select(func.coalesce(func.max(before.c.ordinal), 0)).where(*identity).scalar_subquery()
    return (
        insert(entries)
        .from_select([*_GIVEN, "ordinal"], select(*given.values(), newest + 1))
        .on_conflict_do_nothing()
        .returning(_table.ordinal)
    )
