"""Questions about many journeys at once: hundreds in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import bindparam, select, tuple_

from runtime.store.admission import StoredEntry
from runtime.store.database import Database
from runtime.store.entries import entry_of
from runtime.store.schema import entries

TOGETHER: Final = 500
"""Journeys that one statement is about at most."""

T = TypeVar("T")
_table = entries.c


class Many:
    """The table of journeys, asked about many of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admitted(self, runs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these runs were let in.

        Args:
            runs: Workflow ids and first execution run ids.

        Raises:
            StoreError: The store could not be read.
        """
        found: set[tuple[str, str]] = set()
        for some in _together(runs):
            rows = await self._database.read(_ADMITTED, {"runs": some})
            found.update((row["workflow_id"], row["run_id"]) for row in rows)
        return found

    async def under_way(self, workflow_ids: Collection[str]) -> dict[str, StoredEntry]:
        """Those of these journeys that are in and not over, by workflow id.

        Raises:
            StoreError: The store could not be read.
        """
        found: dict[str, StoredEntry] = {}
        for some in _together(workflow_ids):
            rows = await self._database.read(_UNDER_WAY, {"workflow_ids": some})
            found.update((row["workflow_id"], entry_of(row)) for row in rows)
        return found


def _together(items: Collection[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, TOGETHER)):
        yield some


_ADMITTED = select(_table.workflow_id, _table.run_id).where(
    tuple_(_table.workflow_id, _table.run_id).in_(bindparam("runs", expanding=True))
)
_UNDER_WAY = (
    select(entries)
    .where(_table.workflow_id.in_(bindparam("workflow_ids", expanding=True)), _table.ended_at.is_(None))
    .order_by(_table.admitted_at, _table.nth)
)
