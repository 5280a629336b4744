"""Scenarios that are closed to new entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, select

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import closed

_table = closed.c


@dataclass(frozen=True, slots=True)
class Closure:
    """A scenario that is closed to new entries.

    Attributes:
        reason: Free text, or "".
    """

    scenario: str
    closed_at: datetime
    closed_by: str
    reason: str


class Closures(Queries):
    """The table of closed scenarios. Admission checks it in the same statement that admits an entry."""

    async def close_scenario(self, closure: Closure) -> bool:
        """Close a scenario. Return False if it was already closed; the first closure is kept."""
        row = {name: getattr(closure, name) for name in _NAMES}
        return bool(await self._database.write(_close(self._database.insert), row))

    async def open_scenario(self, scenario: str) -> bool:
        """Reopen a scenario. Return False if it was not closed."""
        return bool(await self._database.write(_OPEN, {"name": scenario}))

    async def closure(self, scenario: str) -> Closure | None:
        """Return the closure of a scenario, or None if it is open."""
        rows = await self._database.read(_ONE, {"name": scenario})
        return Closure(**rows[0]) if rows else None

    async def closures(self) -> dict[str, Closure]:
        """Return all closures by scenario."""
        return {row["scenario"]: Closure(**row) for row in await self._database.read(select(closed))}


_NAMES = ("scenario", "closed_at", "closed_by", "reason")
_ONE = select(closed).where(_table.scenario == bindparam("name"))
_OPEN = delete(closed).where(_table.scenario == bindparam("name")).returning(_table.scenario)


@cache
def _close(insert: InsertFactory) -> Executable:
    row = insert(closed).values({name: bindparam(name) for name in _NAMES})
    return row.on_conflict_do_nothing().returning(_table.scenario)
