"""Deletion of expired rows in small batches, the oldest first.

A batch is one statement for a bounded number of rows, found by an index.

Rows locked by a writer are skipped, so nothing waits; of two concurrent deletions, each takes other rows. So pruning
may be stopped, repeated, and run by several processes.

Admission needs ended journeys for `again:`: `never` needs all of a scenario's entries for ever, `after 30d` those of
the last 30 days. Journeys that are running or may still reach a goal are never deleted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from time import monotonic
from typing import Any, Final

import sqlalchemy as sa

from runtime.retention import NATURAL, Ages
from runtime.store.api_access import api_answers
from runtime.store.batches import batch_items, batches
from runtime.store.campaigns import campaign_items, campaigns
from runtime.store.claims import claims
from runtime.store.database import Queries
from runtime.store.deliveries import deliveries
from runtime.store.memberships import IS_SETTLED, NO_MEMBER, audience_memberships
from runtime.store.operations import operation_items, operations
from runtime.store.outgoing import outgoing_events
from runtime.store.outgoing_sends import outgoing_sends
from runtime.store.schema import entries, passages, provider_events, soft_bounces
from runtime.store.versions import versions
from scenario.errors import DurationError
from scenario.time import format_duration, parse_duration

BATCH: Final = 250  # rows of a batch: some milliseconds, which is how long other writers wait in SQLite
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PruningJob:
    """Expired rows of one kind."""

    name: str
    """Unique name, such as ``entries/welcome``. Jobs are ordered."""
    table: str
    before: datetime
    scenario: str = ""


@dataclass(frozen=True)
class PruningPlan:
    """The jobs in order, and sentences about rows that are kept for longer than requested."""

    jobs: tuple[PruningJob, ...]
    kept: tuple[str, ...] = ()

    def since(self, place: str) -> tuple[PruningJob, ...]:
        """Return the jobs from a name on, or all if there is none with that name."""
        names = [job.name for job in self.jobs]
        return self.jobs[names.index(place) :] if place in names else self.jobs


@dataclass(frozen=True)
class PrunedBatch:
    """A deleted batch; the next one starts `until`, the time of the newest deleted row."""

    rows: int
    until: datetime
    is_last: bool


class Retention(Queries):
    """Deletes expired rows."""

    def agenda(self, ages: Ages, now: datetime, again: Mapping[str, tuple[int, frozenset[str]]]) -> PruningPlan:
        """Return what to delete. Kinds with a natural end are always deleted.

        Of scenarios without rules in `again`, see `read_again_rules`, no entries are deleted.
        """
        given = {**NATURAL, **ages}
        jobs: list[PruningJob] = []
        kept: list[str] = []
        for table in _KINDS:
            age = given.get(_AGE_OF.get(table, table))
            if age is None:
                continue
            if table != "entries":
                jobs.append(PruningJob(table, table, now - age))
                continue
            for scenario, (_, words) in sorted(again.items()):
                needed = max((_needed(word) for word in words), default=timedelta(0))
                if needed == timedelta.max:
                    kept.append(f"{scenario} keeps all its entries: a version of it says 'again: never'")
                    continue
                if needed > age:
                    kept.append(
                        f"{scenario} keeps its entries for {format_duration(needed)}, as 'again:' of a version needs"
                    )
                jobs.append(PruningJob(f"entries/{scenario}", "entries", now - max(age, needed), scenario))
        return PruningPlan(tuple(jobs), tuple(kept))

    async def read_again_rules(self, known: dict[str, tuple[int, frozenset[str]]]) -> None:
        """Read the rules `again:` of all versions into `known`: the latest version read and the rules, by scenario.

        Versions never change, so only newer ones are read.
        """
        newest_of = sa.select(versions.c.scenario, sa.func.max(versions.c.version).label("newest"))
        for row in await self._database.read(newest_of.group_by(versions.c.scenario)):
            name, newest = row["scenario"], row["newest"]
            seen, words = known.get(name, (0, frozenset[str]()))
            for version in range(seen + 1, newest + 1):  # one by one, since some are large
                of_version = (versions.c.scenario == name, versions.c.version == version)
                documents = await self._database.read(sa.select(versions.c.document).where(*of_version))
                words |= {_again(one["document"]) for one in documents}
                known[name] = (version, words)

    async def delete_some(self, job: PruningJob, since: datetime = BEGINNING, most: int = BATCH) -> PrunedBatch:
        """Delete a batch of a job's rows, the oldest first."""
        kind = _KINDS[job.table]
        given: dict[str, Any] = {"since": since, "until": job.before, "most": most}
        given |= {"whose": job.scenario} if job.scenario else {}
        rows = await self._database.write(_deleting(job.table, self._database.one_writer), given)
        if kind.at is None:
            return PrunedBatch(len(rows), since, not rows)
        return PrunedBatch(len(rows), max((row["at"] for row in rows), default=since), len(rows) < most)

    async def old(self, job: PruningJob) -> int:
        """Count the rows of a job."""
        given = {"since": BEGINNING, "until": job.before} | ({"whose": job.scenario} if job.scenario else {})
        kind = _KINDS[job.table]
        wanted = kind.wanted if kind.all_over is None else [kind.all_over]
        statement = sa.select(sa.func.count().label("n")).select_from(kind.table).where(*wanted)
        return (await self._database.read(statement, given))[0]["n"]


def _again(document: Mapping[str, Any]) -> str:
    rules: Mapping[str, Any] = document.get("entry") or {}
    return str(rules.get("again", "when_finished"))


def _needed(again: str) -> timedelta:
    match again:
        case "never":
            return timedelta.max
        case "when_finished" | "always":
            return timedelta(0)
        case _:
            try:
                return parse_duration(again.removeprefix("after "))
            except DurationError:  # of a later release
                return timedelta.max


@dataclass(frozen=True)
class _Kind:
    table: sa.Table
    at: sa.Column[datetime] | None  # the indexed time they are selected by, or None if they have none
    also: Sequence[sa.ColumnElement[bool]] = ()
    instead: Mapping[str, None] = field(default_factory=dict[str, None])
    """New values of columns, if the rows are emptied instead of deleted."""
    all_over: sa.ColumnElement[bool] | None = None
    """The condition that counts all of them, if `also` selects those of one batch only."""

    @property
    def wanted(self) -> Sequence[sa.ColumnElement[bool]]:
        return [*self.also, *([self.at >= _since, self.at < _until] if self.at is not None else [])]

    def deleting(self, one_writer: bool) -> sa.Executable:
        """Delete a batch. Rows are addressed physically, and locked ones are skipped."""
        place: sa.ColumnElement[Any] = sa.literal_column(f"{self.table.name}.{'rowid' if one_writer else 'ctid'}")
        some: sa.Select[Any] = (
            sa.select(place).select_from(self.table).where(*self.wanted).limit(sa.bindparam("most")).correlate(None)
        )
        some = some.with_for_update(skip_locked=True, of=self.table)
        if self.at is not None:
            some = some.order_by(self.at)
        named = place.in_(some) if one_writer else place == sa.func.any(sa.func.array(some.scalar_subquery()))
        changes = sa.update(self.table).values(self.instead) if self.instead else sa.delete(self.table)
        told: sa.ColumnElement[Any] = sa.literal_column("1") if self.at is None else self.at
        return changes.where(named).returning(told.label("at"))


_instant = deliveries.c.started_at.type
_since, _until = sa.bindparam("since", type_=_instant), sa.bindparam("until", type_=_instant)


def _with_items(table: sa.Table, key: sa.Column[str], items: sa.Table, of: sa.Column[str]) -> dict[str, _Kind]:
    """Return the kinds of a table's ended rows and of their items, which name them by the column `of`.

    The items go first, those of one row at a time.
    """
    at = table.c.created_at
    ended = (at < _until, table.c.ended_at < _until)
    first = sa.select(of).where(of == key).limit(1).correlate(table).scalar_subquery()
    oldest = sa.select(key).where(*ended, first.is_not(None)).order_by(at).limit(1).scalar_subquery()
    return {
        items.name: _Kind(items, None, [of == oldest], all_over=of.in_(sa.select(key).where(*ended))),
        table.name: _Kind(table, at, [ended[1], first.is_(None)]),
    }


_KINDS: Final[Mapping[str, _Kind]] = {
    "deliveries": _Kind(deliveries, deliveries.c.started_at),
    "responses": _Kind(deliveries, deliveries.c.started_at, [deliveries.c.response.is_not(None)], {"response": None}),
    # By admission, which is indexed: none ended before it.
    "entries": _Kind(
        entries,
        entries.c.admitted_at,
        [
            entries.c.scenario == sa.bindparam("whose"),
            entries.c.ended_at < _until,
            sa.or_(entries.c.goal_until.is_(None), entries.c.goal_until < _until),
        ],
    ),
    "claims": _Kind(claims, claims.c.claimed_at),
    "soft_bounces": _Kind(soft_bounces, soft_bounces.c.bounced_at),
    "provider_events": _Kind(provider_events, provider_events.c.seen_at),
    "passages": _Kind(passages, passages.c.hour),
    **_with_items(operations, operations.c.id, operation_items, operation_items.c.operation_id),
    **_with_items(campaigns, campaigns.c.name, campaign_items, campaign_items.c.campaign),
    "non_members": _Kind(audience_memberships, audience_memberships.c.wanted_at, [NO_MEMBER, IS_SETTLED]),
    **_with_items(batches, batches.c.id, batch_items, batch_items.c.batch),
    "answers": _Kind(api_answers, api_answers.c.requested_at),
    "events": _Kind(outgoing_events, outgoing_events.c.recorded_at),
    "event_sends": _Kind(outgoing_sends, outgoing_sends.c.recorded_at),
}


@cache
def _deleting(table: str, one_writer: bool) -> sa.Executable:
    return _KINDS[table].deleting(one_writer)


_AGE_OF: Final = {
    **dict.fromkeys(("operation_items", "campaign_items", "campaigns"), "operations"),
    **dict.fromkeys(("batch_items", "batches"), "deliveries"),
    "event_sends": "events",
}
TABLES: Final = tuple(_KINDS)  # kinds of rows, counted separately

PAUSE: Final = 9.0
"""Length of the pause after a batch, as a multiple of its duration: pruning takes a tenth of the time at most."""
LEAST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 30.0
"""Seconds. A batch that took minutes waited for a lock, which a longer pause does not help."""

VACUUM: Final = (
    "the space of deleted rows is used again, and its bytes remain in the files until VACUUM (SQLite), "
    "or autovacuum and VACUUM FULL (PostgreSQL)"
)
"""Advice about the disk space of deleted rows."""


@dataclass(frozen=True)
class PruningPosition:
    """A position in a plan: the next job, or "" at the start, and the time of its next row."""

    job: str = ""
    since: datetime = BEGINNING


@dataclass
class PruningResult:
    """The result of a run: the place to continue at, if any, and the seconds to pause before."""

    place: PruningPosition | None = None
    pause: float = 0.0
    deleted: Counter[str] = field(default_factory=Counter[str])
    kept: tuple[str, ...] = ()


class Pruner:
    """Prunes a store. Caches the rules of published versions, which never change."""

    def __init__(self, store: Retention) -> None:
        self._store = store
        self._again: dict[str, tuple[int, frozenset[str]]] = {}

    async def agenda(self, ages: Ages, now: datetime) -> PruningPlan:
        if "entries" in ages:
            await self._store.read_again_rules(self._again)
        return self._store.agenda(ages, now, self._again)

    async def run(
        self,
        ages: Ages,
        now: datetime,
        place: PruningPosition | None = None,
        *,
        seconds: float | None = None,
        told: Callable[[str, int], None] = lambda table, rows: None,
        paused: Callable[[float], None] = lambda seconds: None,
    ) -> PruningResult:
        """Delete expired rows: at least one batch, then more for some seconds, pauses included; None is no limit.

        `told` is called after each batch with its table and the number of deleted rows, `paused` before each pause.
        """
        place = place or PruningPosition()
        agenda, begun = await self.agenda(ages, now), monotonic()
        done = PruningResult(kept=agenda.kept)
        jobs = agenda.since(place.job)
        here = PruningPosition(jobs[0].name, place.since if jobs[0].name == place.job else BEGINNING)
        while jobs:
            started = monotonic()
            batch = await self._store.delete_some(jobs[0], here.since)
            if batch.rows:
                done.deleted[jobs[0].table] += batch.rows
                told(jobs[0].table, batch.rows)
            if batch.is_last:
                jobs = jobs[1:]
            if jobs:
                here = PruningPosition(jobs[0].name, BEGINNING if batch.is_last else batch.until)
                ended = monotonic()
                pause = min(max((ended - started) * PAUSE, LEAST_PAUSE), LONGEST_PAUSE) if batch.rows else 0.0
                if seconds is not None and ended - begun + pause >= seconds:
                    done.place, done.pause = here, pause
                    break
                paused(pause)
                await asyncio.sleep(pause)
        return done
