"""Goals of journeys, running or ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from runtime.store.admission import StoredEntry
from runtime.store.database import Queries
from runtime.store.entries import stored_entry
from runtime.store.schema import entries
from scenario.policies.draw import WITHHELD


@dataclass(frozen=True, slots=True)
class GoalCount:
    """Number of entries with the same version, group and branches."""

    version: int
    group: str  # one of `scenario.policies.draw.WITHHELD`, or "" for entries that receive messages
    branches: Mapping[str, str]
    entered: int
    contacts: int
    reached: int
    open: int
    value: Decimal


_table = entries.c


class Goals(Queries):
    """The goals in the table of journeys."""

    async def open_goals(self, contact_id: str, at: datetime) -> list[StoredEntry]:
        """Return a contact's ended journeys that may still reach their goal at a time, the oldest first."""
        found = await self._all(stored_entry, _OPEN, {"contact_id": contact_id, "at": at})
        return sorted(found, key=lambda entry: (entry.admitted_at, entry.workflow_id))

    async def reach(self, workflow_id: str, run_id: str, at: datetime, value: Decimal | None = None) -> bool:
        """Record that a journey reached its goal, and return True if it counts.

        Only the first time counts, and none after `goal_until`.
        """
        worth = None if value is None else format(value, "f")
        given = {"of_workflow": workflow_id, "of_run": run_id, "at": at, "worth": worth}
        return bool(await self._database.write(_REACH, given))

    async def goal_counts(
        self, scenario: str, now: datetime, *, version: int | None = None, since: datetime | None = None
    ) -> list[GoalCount]:
        """Count a scenario's entries, by version, group and branches."""
        wanted = [_table.scenario == scenario]
        entered_by = sa.func.coalesce(_table.entered_version, _table.version)
        if version is not None:
            wanted.append(entered_by == version)
        if since is not None:
            wanted.append(_table.admitted_at >= since)
        turn = sa.func.row_number().over(
            partition_by=_table.contact_id, order_by=(_table.admitted_at, _table.ordinal, _table.workflow_id)
        )
        one = (
            sa.select(
                entered_by.label("version"),
                _table.branches,
                sa.case((_table.outcome.in_(WITHHELD), _table.outcome), else_="").label("group"),
                _table.reached_at,
                _table.goal_value,
                _table.goal_until,
                turn.label("turn"),
            )
            .where(*wanted)
            .subquery()
            .c
        )
        still = one.reached_at.is_(None) & (one.goal_until > now)
        kind = (one.version, one.group, one.branches)
        statement: sa.Executable = sa.select(
            *kind,
            sa.func.count().label("entered"),
            sa.func.sum(sa.case((one.turn == 1, 1), else_=0)).label("contacts"),
            sa.func.count(one.reached_at).label("reached"),
            sa.func.sum(sa.case((still, 1), else_=0)).label("open"),
            sa.func.sum(sa.cast(one.goal_value, _AMOUNT)).label("value"),
        ).group_by(*kind)
        return await self._all(_tally, statement)


def _tally(*, branches: Mapping[str, str] | None, value: float | Decimal | None, **row: Any) -> GoalCount:
    return GoalCount(branches=branches or {}, value=round(Decimal(value or 0), 6), **row)


# SQLite has no decimal numbers: its sums are exact to about fifteen digits.
_AMOUNT: Final[TypeEngine[Any]] = sa.Double[Any]().with_variant(sa.Numeric(), "postgresql")
_OPEN = sa.select(entries).where(
    _table.contact_id == sa.bindparam("contact_id"),
    _table.goal_until.is_not(None),  # makes the partial index applicable
    _table.reached_at.is_(None),
    _table.goal_until >= sa.bindparam("at", type_=_table.goal_until.type),
    _table.ended_at.is_not(None),
)
_REACH = (
    sa.update(entries)
    .where(
        _table.workflow_id == sa.bindparam("of_workflow"),
        _table.run_id == sa.bindparam("of_run"),
        _table.reached_at.is_(None),
        _table.goal_until >= sa.bindparam("at", type_=_table.goal_until.type),
    )
    .values(reached_at=sa.bindparam("at"), goal_value=sa.bindparam("worth"))
    .returning(_table.ordinal)
)
