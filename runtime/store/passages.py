"""Results of journeys: the steps that they completed, by hour and outcome, and the goals that they reached.

Workers report the steps of running journeys within seconds (`activities.passages`), and journeys their own when they
depart or continue as new.

A journey numbers its completed steps from 0, and each report names the number of its first. The column
``entries.counted_passages`` holds how many are counted, so a repeated report, or one after a reset of the journey,
counts none twice. Temporal may refuse the workflow task that sent a report, and the steps of that task may then differ:
``entries.revisable_passages`` holds them, and a later report replaces them. All is written together, and only if both
columns have not changed since they were read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from runtime.store.admission import StoredEntry
from runtime.store.database import Database, InsertFactory, Queries
from runtime.store.entries import stored_entry
from runtime.store.schema import SafeText, day_of, entries, passages, storable
from scenario.policies.draw import WITHHELD


class Passage(NamedTuple):
    """A step that a journey has completed."""

    version: int
    step: str
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PassageCount:
    """Number of completions of a step with an outcome."""

    version: int
    step: str
    outcome: str
    total: int
    lately: int


@dataclass(frozen=True, slots=True)
class DayCount:
    """Number of completions of a step, or of attempts at it, with an outcome on one day."""

    day: str  # in UTC, ISO 8601
    version: int
    step: str
    outcome: str
    total: int


class Passages(Queries):
    """The table of completed steps."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._latest: dict[tuple[str, str], tuple[int, _Report | None]] = {}  # what this process counted last

    async def count_passages(
        self,
        workflow_id: str,
        run_id: str,
        first: int,
        passed: Sequence[Passage],
        *,
        revisable: int = 0,
        reported_at: datetime | None = None,
    ) -> None:
        """Count the steps that a journey has completed. Idempotent, also for concurrent reports.

        Args:
            first: Number of the first of these steps, among all of the journey's.
            revisable: Number of steps at the end that the latest report, by `reported_at`, replaces.
        """
        this = {"of_workflow": workflow_id, "of_run": run_id}
        told = [Passage(one.version, storable(one.step), storable(one.outcome), hour_of(one.at)) for one in passed]
        report = _Report(reported_at, told[len(told) - revisable :]) if reported_at else None
        key, is_read = (workflow_id, run_id), False
        known, before = self._latest.pop(key, (first, None))  # a guess, which the statement checks
        while True:
            if change := _change(known, before, first, told, report):
                after, tally = change
                given = {**this, "known": known, "after": after}
                given |= {"was": before and before.dump(), "becomes": report and report.dump()}
                if await self._count(given, tally):
                    self._latest[key] = (after, report)
                    if len(self._latest) > _REMEMBERED:
                        self._latest.pop(next(iter(self._latest)), None)
                    return
            elif is_read:
                return
            rows = await self._database.read(_COUNTED, this)
            if not rows:
                return
            known, before, is_read = rows[0]["counted_passages"], _Report.load(rows[0]["revisable_passages"]), True

    async def _count(self, given: dict[str, Any], tally: Mapping[Passage, int]) -> bool:
        # Sorted, so that concurrent writers of the same rows do not deadlock.
        rows = [dict(zip(_KEYS, key, strict=True), total=total) for key, total in sorted(tally.items()) if total]
        if self._database.one_writer:
            return await self._database.alone(partial(_count_in_turn, self._database.insert, given, rows))
        lists = {f"{name}s": [row[name] for row in rows] for name in (*_KEYS, "total")}
        return bool(await self._database.write(_COUNT, given | lists))

    async def passage_counts(self, scenario: str, since: datetime) -> list[PassageCount]:
        """Count the completions of a scenario's steps; `since` is rounded down to the hour."""
        lately = sa.func.sum(sa.case((_table.hour >= hour_of(since), _table.total), else_=0))
        kind = (_table.version, _table.step, _table.outcome)
        return await self._all(PassageCount, _summed(scenario, kind).add_columns(lately.label("lately")))

    async def passages_by_day(self, scenario: str, since: date) -> list[DayCount]:
        """Count the completions of a scenario's steps by day in UTC, from a day on."""
        start = datetime.combine(since, time.min, UTC)
        kind = (day_of(_table.hour, on_sqlite=self._database.one_writer), _table.version, _table.step, _table.outcome)
        return await self._all(DayCount, _summed(scenario, kind).where(_table.hour >= start))


@dataclass(frozen=True, slots=True)
class _Report:
    """The revisable end of a report."""

    at: datetime
    told: Sequence[Passage]  # the steps, with the hours in which they are counted

    def dump(self) -> str:
        told = [(*one[:3], one.at.isoformat()) for one in self.told]
        return json.dumps([self.at.isoformat(), told], ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def load(cls, text: str | None) -> _Report | None:
        if text is None:
            return None
        at, told = json.loads(text)
        passed = [Passage(version, step, word, datetime.fromisoformat(hour)) for version, step, word, hour in told]
        return cls(datetime.fromisoformat(at), passed)


def _change(
    known: int, before: _Report | None, first: int, told: Sequence[Passage], report: _Report | None
) -> tuple[int, Counter[Passage]] | None:
    """Return the new number of counted steps and the changes of the counts, or None if a report changes nothing."""
    after = first + len(told)
    tally = Counter(told[max(known - first, 0) :])
    if before and report:
        if before.at > report.at or (before.at == report.at and after < known):  # of the same workflow task
            return None
        settled = known - len(before.told)
        if first <= known and settled <= after:  # otherwise a reset has set the journey back
            tally = Counter(told[max(settled - first, 0) :])
            tally.subtract(before.told[max(first - settled, 0) :])
            is_same = after == known and before.at == report.at and not any(tally.values())
            return None if is_same else (after, tally)
    return None if after <= known else (after, tally)


def hour_of(at: datetime) -> datetime:
    """Return the hour in which a step is counted."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _count_in_turn(
    insert: InsertFactory, given: dict[str, Any], rows: list[dict[str, Any]], connection: sa.Connection
) -> bool:
    told = connection.execute(_TELL, given).first()
    if told is not None and rows:
        connection.execute(add_passages(insert), [{**row, "scenario": told.scenario} for row in rows])
    return told is not None


_REMEMBERED: Final = 5_000
"""Number of journeys whose counts a process remembers, which saves two statements for each further report."""
_table = passages.c
_KEYS: Final = ("version", "step", "outcome", "hour")
_this = (entries.c.workflow_id == sa.bindparam("of_workflow"), entries.c.run_id == sa.bindparam("of_run"))
_COUNTED = sa.select(entries.c.counted_passages, entries.c.revisable_passages).where(*_this)
_TELL = (
    sa.update(entries)
    .where(
        *_this,
        entries.c.counted_passages == sa.bindparam("known"),
        entries.c.revisable_passages.is_not_distinct_from(sa.bindparam("was")),
    )
    .values(counted_passages=sa.bindparam("after"), revisable_passages=sa.bindparam("becomes"))
    .returning(entries.c.scenario)
)
# One statement, so that contended rows are not locked during a round trip.
_COUNT = sa.text("""
WITH told AS (
    UPDATE entries SET counted_passages = :after, revisable_passages = :becomes
    WHERE workflow_id = :of_workflow AND run_id = :of_run AND counted_passages = :known
    AND revisable_passages IS NOT DISTINCT FROM :was
    RETURNING scenario
)
INSERT INTO passages (scenario, version, step, outcome, hour, total)
SELECT told.scenario, one.*
FROM told, unnest(
    CAST(:versions AS integer[]), CAST(:steps AS text[]), CAST(:outcomes AS text[]),
    CAST(:hours AS timestamptz[]), CAST(:totals AS integer[])
) AS one (version, step, outcome, hour, total)
ORDER BY one.version, one.step, one.outcome, one.hour
ON CONFLICT (scenario, version, hour, step, outcome) DO UPDATE SET total = passages.total + excluded.total
RETURNING total
""").bindparams(*(sa.bindparam(name, type_=SafeText) for name in ("of_workflow", "of_run", "was", "becomes")))


def _summed(scenario: str, kind: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
    """Sum up the completions of a scenario's steps, by `kind`."""
    total = sa.func.sum(_table.total)
    counts = sa.select(*kind, total.label("total")).where(_table.scenario == scenario)
    return counts.group_by(*kind).having(total > 0).order_by(*kind)


@cache
def add_passages(insert: InsertFactory) -> sa.Executable:
    """Add to counts; each row has all columns of the table."""
    row = insert(passages)
    return row.on_conflict_do_update(
        index_elements=passages.primary_key.columns, set_={"total": _table.total + row.excluded.total}
    )


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


_entries = entries.c


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
        wanted = [_entries.scenario == scenario]
        entered_by = sa.func.coalesce(_entries.entered_version, _entries.version)
        if version is not None:
            wanted.append(entered_by == version)
        if since is not None:
            wanted.append(_entries.admitted_at >= since)
        turn = sa.func.row_number().over(
            partition_by=_entries.contact_id, order_by=(_entries.admitted_at, _entries.ordinal, _entries.workflow_id)
        )
        one = (
            sa.select(
                entered_by.label("version"),
                _entries.branches,
                sa.case((_entries.outcome.in_(WITHHELD), _entries.outcome), else_="").label("group"),
                _entries.reached_at,
                _entries.goal_value,
                _entries.goal_until,
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
    _entries.contact_id == sa.bindparam("contact_id"),
    _entries.goal_until.is_not(None),  # makes the partial index applicable
    _entries.reached_at.is_(None),
    _entries.goal_until >= sa.bindparam("at", type_=_entries.goal_until.type),
    _entries.ended_at.is_not(None),
)
_REACH = (
    sa.update(entries)
    .where(
        _entries.workflow_id == sa.bindparam("of_workflow"),
        _entries.run_id == sa.bindparam("of_run"),
        _entries.reached_at.is_(None),
        _entries.goal_until >= sa.bindparam("at", type_=_entries.goal_until.type),
    )
    .values(reached_at=sa.bindparam("at"), goal_value=sa.bindparam("worth"))
    .returning(_entries.ordinal)
)
