"""Goals of journeys, running or over: which may still be reached, which were, and how many of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Double, Executable, Numeric, RowMapping, bindparam, case, cast, func, select, update
from sqlalchemy.types import TypeEngine

from runtime.store.admission import StoredEntry
from runtime.store.database import Queries
from runtime.store.entries import stored_entry
from runtime.store.schema import entries
from scenario.policies.draw import WITHHELD


@dataclass(frozen=True, slots=True)
class GoalCount:
    """Entries of one kind, counted.

    Attributes:
        version: The version that let them in, whichever they follow by now.
        group: One of `scenario.policies.draw.WITHHELD`, or empty for those who went through the scenario.
        branches: The branch of each split, by the split's id, as it was drawn when they came in.
        entered: How many there are.
        contacts: How many of them were the first entry of their contact, among all that were asked for.
        reached: How many reached the goal.
        open: How many have not, and still have time.
        value: What the goals were worth together.
    """

    version: int
    group: str
    branches: Mapping[str, str]
    entered: int
    contacts: int
    reached: int
    open: int
    value: Decimal


_table = entries.c


class Goals(Queries):
    """What the table of journeys says of goals."""

    async def open_goals(self, contact_id: str, at: datetime) -> list[StoredEntry]:
        """A contact's journeys that are over, and whose goal would count at that moment; the oldest first."""
        rows = await self._database.read(_OPEN, {"contact_id": contact_id, "at": at})
        return sorted(map(stored_entry, rows), key=lambda entry: (entry.admitted_at, entry.workflow_id))

    async def reach(self, workflow_id: str, run_id: str, at: datetime, value: Decimal | None = None) -> bool:
        """Notes that a journey reached its goal: the first time counts, and none after `goal_until`.

        Args:
            workflow_id: The journey.
            run_id: Its first execution run id.
            at: When.
            value: What that is worth.

        Returns:
            Whether it counts now, and did not before.
        """
        worth = None if value is None else format(value, "f")
        given = {"of_workflow": workflow_id, "of_run": run_id, "at": at, "worth": worth}
        return bool(await self._database.write(_REACH, given))

    async def tally(
        self, scenario: str, now: datetime, *, version: int | None = None, since: datetime | None = None
    ) -> list[GoalCount]:
        """Counts a scenario's entries, of each kind apart.

        Args:
            scenario: Its name.
            now: The time: goals after it are still open.
            version: Only those let in by this version.
            since: Only those let in then or later.
        """
        wanted = [_table.scenario == scenario]
        entered_by = func.coalesce(_table.entered_version, _table.version)
        if version is not None:
            wanted.append(entered_by == version)
        if since is not None:
            wanted.append(_table.admitted_at >= since)
        turn = func.row_number().over(
            partition_by=_table.contact_id, order_by=(_table.admitted_at, _table.ordinal, _table.workflow_id)
        )
        one = (
            select(
                entered_by.label("version"),
                _table.branches,
                case((_table.outcome.in_(WITHHELD), _table.outcome), else_="").label("group"),
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
        statement: Executable = select(
            *kind,
            func.count().label("entered"),
            func.sum(case((one.turn == 1, 1), else_=0)).label("contacts"),
            func.count(one.reached_at).label("reached"),
            func.sum(case((still, 1), else_=0)).label("open"),
            func.sum(cast(one.goal_value, _AMOUNT)).label("value"),
        ).group_by(*kind)
        rows = await self._database.read(statement)
        return [_tally(row) for row in rows]


def _tally(row: RowMapping) -> GoalCount:
    found = GoalCount(**row)
    return replace(found, branches=found.branches or {}, value=round(Decimal(found.value or 0), 6))


# SQLite has no decimal numbers: its sums are right to some fifteen digits.
_AMOUNT: Final[TypeEngine[Any]] = Double[Any]().with_variant(Numeric(), "postgresql")
_OPEN = select(entries).where(
    _table.contact_id == bindparam("contact_id"),
    _table.goal_until.is_not(None),  # so that the index of open goals is taken
    _table.reached_at.is_(None),
    _table.goal_until >= bindparam("at", type_=_table.goal_until.type),
    _table.ended_at.is_not(None),
)
_REACH = (
    update(entries)
    .where(
        _table.workflow_id == bindparam("of_workflow"),
        _table.run_id == bindparam("of_run"),
        _table.reached_at.is_(None),
        _table.goal_until >= bindparam("at", type_=_table.goal_until.type),
    )
    .values(reached_at=bindparam("at"), goal_value=bindparam("worth"))
    .returning(_table.ordinal)
)
