"""Journeys, running or ended, and their admission.

Admission is atomic without a transaction or a lock. A contact's entries under one scenario and key are numbered by
``ordinal``, and (contact, scenario, key, ordinal) is unique. A caller reads the existing entries, decides, and inserts
the next number. If another entry took that number, the insert does nothing, and the caller reads again. Any other
change in between, such as the end of a journey, could only turn a refusal into an admission.

A campaign may send without workflows. The run id of such an entry is its root. If a workflow continues it, the
admission of that workflow sets the run id to its own, unless the entry has ended. So only one of both ends the entry.

Entries that a gateway has acknowledged have a table of their own, until a worker has admitted or refused them. Temporal
has the workflow, but its search lags, and the table of journeys learns of it from a worker. A gateway therefore records
the run before it acknowledges the entry. Later events for the contact then find it.

A worker does not delete the row of a run that it admits or refuses: that would be a statement more for every journey.
A row is ignored once `entries` has its run, and gateways delete it later. The row of a refused run is deleted once a
signal finds that the run has ended, or after a day. By then search has learned of every run that is still pending. If
Temporal has lost the run, the row is its only record, which `scenario store reconcile` lists.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.admission import (
    AdmissionRequest,
    AdmittedRun,
    AlreadyEntered,
    Eligible,
    StoredEntry,
    TakesOver,
    admitted_before,
    decide,
)
from runtime.store.database import InsertFactory, Queries, in_chunks, insert_new, matching, row_of
from runtime.store.schema import UtcDateTime, entries, storable, table_of
from runtime.store.versions import Closure, closed, versions

LOST = "lost"
"""The outcome of a journey that ended without reporting it: it was terminated, or its departure was not recorded."""

FINISHED: Final = "finished"  # the outcome of most journeys
TOGETHER: Final = 500  # maximum number of journeys of a statement

_table = entries.c


@dataclass(frozen=True, slots=True)
class JourneyCount:
    """Number of journeys with the same versions and outcome."""

    version: int
    entered_by: int
    outcome: str | None
    n: int


class Entries(Queries):
    """The table of journeys."""

    async def admit(self, asking: AdmissionRequest) -> AdmittedRun | AlreadyEntered | Closure:
        """Admit a run, or return the earlier entry or the closure that prevents it.

        Idempotent: an admitted run gets its first answer again, also for concurrent requests.
        """
        row = row_of_admission(asking)
        # Most entries are a contact's first, and need one statement.
        if await self._database.write(_add_first(self._database.insert), row):
            return AdmittedRun(asking.version, 1, asking.admitted_at, asking.outcome, asking.reason)
        asking = replace(asking, workflow_id=storable(asking.workflow_id), run_id=storable(asking.run_id))
        while True:
            known = {name: row[name] for name in ("workflow_id", "run_id", "root", *_IDENTITY)}
            earlier = await self._all(stored_entry, _EARLIER, known)
            ruling = decide(asking, earlier)
            for entry in ruling.lost:
                await self.depart(entry.workflow_id, entry.run_id, LOST, "replaced by a newer run", asking.admitted_at)
            is_new = not isinstance(ruling.answer, AdmittedRun | TakesOver)
            if is_new and (closure := await self._find(Closure, closed, scenario=asking.scenario)):
                return closure
            match ruling.answer:
                case Eligible(ordinal):
                    adding = insert_new(self._database.insert, entries)
                    if await self._database.write(adding, {**row, "ordinal": ordinal}):
                        return AdmittedRun(asking.version, ordinal, asking.admitted_at, asking.outcome, asking.reason)
                    # Another entry took this number: look again.
                case TakesOver(entry):
                    is_open = (*_is_run(entry.workflow_id, entry.run_id), _table.ended_at.is_(None))
                    if await self._change(entries, *is_open, run_id=asking.run_id):
                        return admitted_before(entry)
                    # It has ended in between: look again.
                case answer:
                    return answer

    async def depart(self, workflow_id: str, run_id: str, outcome: str, reason: str | None, ended_at: datetime) -> None:
        """Record that a journey has ended. The journey's latest report wins; idempotent.

        A journey may depart again with another outcome: Temporal refuses the workflow task that closes it if an event
        arrives meanwhile. `LOST`, which other parties report, is recorded only if the journey has not departed.
        """
        given = {"of_workflow": workflow_id, "of_run": run_id}
        given |= {"outcome": outcome, "reason": reason, "ended_at": ended_at}
        await self._database.write(_LOSE if outcome == LOST else _DEPART, given)

    async def adopt(self, workflow_id: str, run_id: str, version: int) -> None:
        """Record that a journey has moved to another version."""
        await self._change(entries, *_is_run(workflow_id, run_id), version=version, entered_version=_ENTERED_BY)

    async def expect_earlier(self, workflow_id: str, run_id: str) -> None:
        """Record that a journey may move to an earlier version. Idempotent."""
        await self._change(entries, *_is_run(workflow_id, run_id), entered_version=_ENTERED_BY)

    async def running(self, contact_id: str) -> list[StoredEntry]:
        """Return a contact's running journeys, the oldest first."""
        found = await self._all(stored_entry, _RUNNING, {"contact_id": contact_id})
        # Sorted here: SQLite would use an index that has this order, and scan the whole scenario.
        return sorted(found, key=lambda entry: (entry.admitted_at, entry.workflow_id))

    async def running_by_use(self, contact_id: str, event: str) -> tuple[list[StoredEntry], list[StoredEntry]]:
        """Return a contact's running journeys: those that may use an event of this name, and the others.

        A journey may use the events of its version and of newer ones, to which it may move. One that has moved, or may
        move to an earlier version, may use those of all versions. Without its version, it may use any event.
        """
        found: tuple[list[StoredEntry], list[StoredEntry]] = [], []
        for row in await self._all(dict[str, Any], _RUNNING_BY_USE, {"contact_id": contact_id, "event": f" {event} "}):
            found[not row.pop("may_use")].append(stored_entry(**row))
        return found

    async def entry(self, workflow_id: str, run_id: str | None = None) -> StoredEntry | None:
        """Return a journey by its first run id, or the latest of a workflow id; None if it was not admitted."""
        statement = _LAST_RUN if run_id is None else _ONE
        return await self._one(stored_entry, statement, {"workflow_id": workflow_id, "run_id": run_id})

    async def entry_after(self, entry: StoredEntry) -> StoredEntry | None:
        """Return the next journey admitted under the same workflow id, or None."""
        order = (_table.admitted_at, _table.ordinal)
        of_id = [_table.workflow_id == entry.workflow_id]
        found = await self._newest(stored_entry, entries, of_id, order, entry, 1, oldest_first=True)
        return found[0] if found else None

    async def entries(
        self,
        *,
        scenario: str | None = None,
        version: int | None = None,
        contact_id: str | None = None,
        key: str | None = None,
        running: bool | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        by_end: bool = False,
        oldest_first: bool = False,
        after: StoredEntry | None = None,
        limit: int = 100,
    ) -> list[StoredEntry]:
        """Return the journeys that match, the newest first.

        Those of a version follow it, or did at their end. With `by_end`, `since`, `until` (exclusive) and the order are
        about the end, not the admission, of journeys that have ended.
        """
        order = _ORDER_OF_ENDS if by_end else _ORDER
        wanted = matching(entries, version=version, contact_id=contact_id, key=key, outcome=outcome)
        if scenario is not None:
            # A contact has few journeys and a scenario many: the index by scenario must not be used. Nor for an order
            # by the end, which it does not have.
            is_indexed = contact_id is None and not by_end
            wanted.append((_table.scenario if is_indexed else _table.scenario.concat("")) == scenario)
        if outcome is not None and outcome != FINISHED and not by_end:
            wanted.append(_table.outcome != sa.literal_column(f"'{FINISHED}'"))  # makes the partial index applicable
        if by_end:
            running = False
        if running is not None:
            wanted.append(_table.ended_at.is_(None) if running else _table.ended_at.is_not(None))
        if since is not None:
            wanted.append(order[0] >= since)
        if until is not None:
            wanted.append(order[0] < until)
        return await self._newest(stored_entry, entries, wanted, order, after, limit, oldest_first=oldest_first)

    async def counts(self) -> dict[tuple[str, int], int]:
        """Count the running journeys, by scenario and version."""
        key = (_table.scenario, _table.version)
        rows = await self._tuples(sa.select(*key, sa.func.count()).where(_table.ended_at.is_(None)).group_by(*key))
        return {(scenario, version): n for scenario, version, n in rows}

    async def journey_counts(self, scenario: str) -> list[JourneyCount]:
        """Count a scenario's journeys, by versions and outcome."""
        kind = (
            _table.version,
            sa.func.coalesce(_table.entered_version, _table.version).label("entered_by"),
            sa.case((_table.ended_at.is_not(None), sa.func.coalesce(_table.outcome, "over"))).label("outcome"),
        )
        counts = sa.select(*kind, sa.func.count().label("n")).where(_table.scenario == scenario).group_by(*kind)
        return await self._all(JourneyCount, counts)

    async def has_entered(self, contact_id: str, scenarios: Collection[str] | None = None) -> bool:
        """Return True if the contact ever had a journey, in these scenarios if they are given."""
        if scenarios is None:
            return bool(await self._database.read(_KNOWS, {"contact_id": contact_id}))
        given = {"contact_id": contact_id, "scenarios": list(scenarios)}
        return bool(await self._database.read(_KNOWS_IN, given))

    async def admitted(self, runs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of these runs (workflow id and first execution run id) that were admitted."""
        found = set[tuple[Any, ...]]()
        for some in in_chunks(runs, TOGETHER):
            found.update(await self._tuples(_ADMITTED, {"runs": some}))
        return found

    async def find_running(self, workflow_ids: Collection[str]) -> dict[str, StoredEntry]:
        """Return the running ones of these journeys, by workflow id."""
        found: dict[str, StoredEntry] = {}
        for some in in_chunks(workflow_ids, TOGETHER):
            in_order = await self._all(stored_entry, _STILL_RUNNING, {"workflow_ids": some})
            found.update((entry.workflow_id, entry) for entry in in_order)
        return found

    async def restore(self, entry: StoredEntry) -> None:
        """Insert an admitted journey under the next free ordinal; its own is ignored. Idempotent."""
        row = row_of_admission(entry)
        is_there = sa.select(sa.literal(1)).where(*_is_run(entry.workflow_id, entry.run_id))
        while not await self._database.write(_restore(self._database.insert), row):
            if await self._database.read(is_there):
                return
            # Another entry took this number: look again.

    async def reopen(self, workflow_id: str, run_id: str) -> None:
        """Record that a journey marked as lost is running. Idempotent."""
        is_lost = (*_is_run(workflow_id, run_id), _table.outcome == LOST)
        await self._change(entries, *is_lost, ended_at=None, outcome=None, reason=None)


def row_of_admission(asking: AdmissionRequest | StoredEntry) -> dict[str, Any]:
    """Return the row of an admitted run, without its number."""
    row = {name: getattr(asking, name) for name in ADMITTED}
    return row | {"key": asking.key or "", "branches": asking.branches or None}


def _is_run(workflow_id: str, run_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _table.workflow_id == workflow_id, _table.run_id == run_id


def stored_entry(*, key: str, revisable_passages: str | None, **row: Any) -> StoredEntry:
    return StoredEntry(key=key or None, **row)


_ORDER = (_table.admitted_at, _table.ordinal, _table.workflow_id, _table.run_id)
_ORDER_OF_ENDS = (_table.ended_at, *_ORDER[1:])
_IDENTITY = ("contact_id", "scenario", "key")
_END = ("outcome", "reason", "ended_at")
_LATER: Final = ("ordinal", "entered_version", "reached_at", "goal_value", "counted_passages", "revisable_passages")
ADMITTED: Final = tuple(column.name for column in _table if column.name not in _LATER)
"""The columns that an admission writes, but the number."""

_same = [_table[name] == sa.bindparam(name) for name in _IDENTITY]
_this = [_table[name] == sa.bindparam(name) for name in ("workflow_id", "run_id")]
_last = entries.alias()
_newest = (
    sa.select(sa.func.max(_last.c.ordinal))
    .where(*(_last.c[name] == sa.bindparam(name) for name in _IDENTITY))
    .scalar_subquery()
)
_EARLIER = sa.select(entries).where(
    sa.or_(
        sa.and_(*_this),
        sa.and_(_this[0], _table.root == sa.bindparam("root")),
        sa.and_(*_same, sa.or_(_table.ended_at.is_(None), _table.ordinal == _newest)),
    )
)
_of_journey = (_table.workflow_id == sa.bindparam("of_workflow"), _table.run_id == sa.bindparam("of_run"))
_ENTERED_BY = sa.func.coalesce(_table.entered_version, _table.version)
_ended: dict[str, Any] = {name: sa.bindparam(name) for name in _END}
_LOSE = sa.update(entries).where(*_of_journey, _table.ended_at.is_(None)).values(_ended)
_DEPART = (
    sa.update(entries)
    .where(
        *_of_journey,
        sa.or_(_table.ended_at.is_(None), _table.outcome == LOST, _table.ended_at <= sa.bindparam("ended_at")),
    )
    .values(_ended)
)
_RUNNING = sa.select(entries).where(_table.contact_id == sa.bindparam("contact_id"), _table.ended_at.is_(None))
_of_scenario = sa.select(sa.literal(1)).where(versions.c.scenario == _table.scenario)
_is_ahead = sa.or_(versions.c.version >= _table.version, _table.entered_version.is_not(None))
# LIKE would ignore the case on SQLite.
_names_event = sa.func.replace(versions.c.events, sa.bindparam("event"), "") != versions.c.events
_may_use = sa.or_(
    ~_of_scenario.where(versions.c.version == _table.version).exists(),
    _of_scenario.where(_is_ahead, sa.or_(versions.c.events.is_(None), _names_event)).exists(),
)
_RUNNING_BY_USE = _RUNNING.add_columns(_may_use.label("may_use"))
_STILL_RUNNING = (
    sa.select(entries)
    .where(_table.workflow_id.in_(sa.bindparam("workflow_ids", expanding=True)), _table.ended_at.is_(None))
    .order_by(_table.admitted_at, _table.ordinal)
)
_ADMITTED = sa.select(_table.workflow_id, _table.run_id).where(
    sa.tuple_(_table.workflow_id, _table.run_id).in_(sa.bindparam("runs", expanding=True))
)
_KNOWS = sa.select(sa.literal(1)).where(_table.contact_id == sa.bindparam("contact_id")).limit(1)
_KNOWS_IN = _KNOWS.where(_table.scenario.in_(sa.bindparam("scenarios", expanding=True)))
_ONE = sa.select(entries).where(*_this)
_LAST_RUN = sa.select(entries).where(_this[0]).order_by(_table.admitted_at.desc(), _table.ordinal.desc()).limit(1)
_given = {name: sa.bindparam(name, type_=_table[name].type) for name in ADMITTED}


@cache
def _add_first(insert: InsertFactory) -> sa.Executable:
    is_first = ~sa.exists().where(*(_table[name] == _given[name] for name in _IDENTITY))
    is_open = ~sa.exists().where(closed.c.scenario == _given["scenario"])
    return _add(insert, sa.select(*_given.values(), sa.literal(1)).where(is_first, is_open))


@cache
def _restore(insert: InsertFactory) -> sa.Executable:
    return _add(insert, sa.select(*_given.values(), sa.func.coalesce(_newest, 0) + 1))


def _add(insert: InsertFactory, row: sa.Select[Any]) -> sa.Executable:
    return insert(entries).from_select([*ADMITTED, "ordinal"], row).on_conflict_do_nothing().returning(_table.ordinal)


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

_accepted = accepted_entries.c


class AcceptedEntries(Queries):
    """The table of acknowledged entries."""

    async def accept(self, *accepted: AcceptedEntry) -> None:
        """Record entries that are about to be acknowledged. Idempotent."""
        statement = self._database.insert(accepted_entries).on_conflict_do_nothing()
        await self._database.write_many(statement, [row_of(accepted_entries, entry) for entry in accepted])

    async def pending_entries(self, contact_id: str) -> list[AcceptedEntry]:
        """Return a contact's acknowledged entries that have not been admitted, the oldest first."""
        found = await self._all(AcceptedEntry, _ACCEPTED_PENDING, {"contact_id": contact_id})
        return sorted(found, key=lambda entry: (entry.accepted_at, entry.workflow_id))

    async def pending_page(self, after: AcceptedEntry | None, limit: int) -> list[AcceptedEntry]:
        """Return a page of acknowledged entries that have not been admitted; `after` is the last of the page before."""
        table, key = accepted_entries, _ACCEPTED_KEY
        return await self._newest(AcceptedEntry, table, [~_admitted], key, after, limit, oldest_first=True)

    async def forget_accepted(self, entry: AcceptedEntry) -> None:
        """Delete the row of a run that is over."""
        key = {"contact_id": entry.contact_id, "workflow_id": entry.workflow_id, "run_id": entry.run_id}
        await self._delete(accepted_entries, *matching(accepted_entries, **key))

    async def prune_accepted(self, now: datetime) -> int:
        """Delete obsolete rows, the oldest first. Return their number."""
        deleted = 0
        while rows := await self._database.write(_PRUNE, {"old": now - KEPT, "most": _TOGETHER}):
            deleted += len(rows)
        return deleted


_admitted = sa.exists().where(_table.workflow_id == _accepted.workflow_id, _table.run_id == _accepted.run_id)
_ACCEPTED_PENDING = sa.select(accepted_entries).where(_accepted.contact_id == sa.bindparam("contact_id"), ~_admitted)
_ACCEPTED_KEY = (_accepted.contact_id, _accepted.workflow_id, _accepted.run_id)
_oldest = sa.select(accepted_entries).order_by(_accepted.accepted_at).limit(sa.bindparam("most")).subquery().c
_is_done = sa.or_(
    _oldest.accepted_at < sa.bindparam("old", type_=UtcDateTime),
    sa.exists().where(_table.workflow_id == _oldest.workflow_id, _table.run_id == _oldest.run_id),
)
_done = sa.select(_oldest.contact_id, _oldest.workflow_id, _oldest.run_id).where(_is_done)
_PRUNE = sa.delete(accepted_entries).where(sa.tuple_(*_ACCEPTED_KEY).in_(_done)).returning(_accepted.run_id)
