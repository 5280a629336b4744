"""The log of deliveries, counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, select

from runtime.store.database import Queries
from runtime.store.schema import deliveries

COUNTED: Final = 100_000
"""Attempts that are counted at most: some tenths of a second's work for SQLite."""

_table = deliveries.c


@dataclass(frozen=True)
class Outcomes:
    """How attempts ended.

    Attributes:
        by_destination: Of each destination, how many with which outcome.
        is_cut: Whether there were more than were counted: then these are the newest.
    """

    by_destination: dict[str, dict[str, int]]
    is_cut: bool


class AttemptCounts(Queries):
    """The table of attempts, as counts."""

    async def outcomes(self, *, since: datetime, most: int = COUNTED) -> Outcomes:
        """How attempts to each destination ended.

        Args:
            since: Of those that began then or later.
            most: So many at most, the newest.
        """
        rows = await self._database.read(_OUTCOMES, {"since": since, "most": most})
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            found.setdefault(row["destination"], {})[row["outcome"]] = row["attempts"]
        return Outcomes(found, sum(row["attempts"] for row in rows) >= most)


_newest = (
    select(_table.destination, _table.outcome)
    .where(_table.started_at >= bindparam("since"), _table.test_by.is_(None))
    .order_by(_table.started_at.desc())
    .limit(bindparam("most"))
    .subquery()
)
_kind = (_newest.c.destination, _newest.c.outcome)
_OUTCOMES = select(*_kind, func.count().label("attempts")).group_by(*_kind)
