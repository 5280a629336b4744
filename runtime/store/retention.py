"""Deletes old rows in small batches: each is one statement, for a bounded number of rows by an index, the oldest first.

A row that somebody writes to just now is left for the next time, so that nobody waits for anybody; of two who delete at
once, each takes rows that the other does not. So it may be stopped at any time, repeated, and done in several places.

What `again:` needs of journeys that are over: `never` needs all of a scenario's entries for ever, `after 30d` those of
the last 30 days; who is under way, or may still reach a goal, is never deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from runtime.retention import NATURAL, Ages
from runtime.store.database import Queries
from runtime.store.schema import (
    api_answers,
    claims,
    deliveries,
    entries,
    operation_items,
    operations,
    passages,
    soft_bounces,
    versions,
)
from scenario.errors import DurationError
from scenario.time.duration import format_duration, parse_duration

BATCH: Final = 500
"""Rows of a batch: some milliseconds' work, which is how long others wait for it in SQLite."""
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Job:
    """Rows of one kind that are old enough.

    Attributes:
        name: What they are, and the scenario where it is about one: ``entries/welcome``. Jobs have an order, and none
            has the name of another.
        table: What they are counted as.
        before: Those from before this are to go.
        scenario: Whose journeys.
    """

    name: str
    table: str
    before: datetime
    scenario: str = ""


@dataclass(frozen=True)
class Agenda:
    """What there is to delete.

    Attributes:
        jobs: In their order; there are always some.
        kept: What is kept for longer than it was asked for, and why: sentences.
    """

    jobs: tuple[Job, ...]
    kept: tuple[str, ...] = ()

    def since(self, place: str) -> tuple[Job, ...]:
        """The jobs from one on; all, where there is none of that name."""
        names = [job.name for job in self.jobs]
        return self.jobs[names.index(place) :] if place in names else self.jobs


@dataclass(frozen=True)
class Batch:
    """What a batch deleted.

    Attributes:
        rows: How many rows.
        until: Of when the newest of them was: the next batch begins there.
        is_last: Whether there are no more of them.
    """

    rows: int
    until: datetime
    is_last: bool


class Retention(Queries):
    """Deletes what is old."""

    async def agenda(self, ages: Ages, now: datetime, again: Mapping[str, frozenset[str]]) -> Agenda:
        """What there is to delete.

        Args:
            ages: How long what is kept. What has an end of its own is deleted in any case.
            now: When.
            again: What is said as `again:` in any version, by scenario; see `again`.
        """
        given = {**NATURAL, **ages}
        jobs: list[Job] = []
        kept: list[str] = []
        for table in _KINDS:
            age = given.get(_AGE_OF.get(table, table))
            if age is None:
                continue
            if table != "entries":
                jobs.append(Job(table, table, now - age))
                continue
            for scenario, words in sorted(again.items()):
                needed = max((_needed(word) for word in words), default=timedelta(0))
                if needed == timedelta.max:
                    kept.append(f"{scenario} keeps all its entries: a version of it says 'again: never'")
                    continue
                if needed > age:
                    kept.append(
                        f"{scenario} keeps its entries for {format_duration(needed)}, as 'again:' of a version needs"
                    )
                jobs.append(Job(f"entries/{scenario}", "entries", now - max(age, needed), scenario))
        return Agenda(tuple(jobs), tuple(kept))

    async def again(self, known: Mapping[str, tuple[int, frozenset[str]]]) -> dict[str, tuple[int, frozenset[str]]]:
        """What each scenario's versions say as `again:`, with the newest version's number.

        Args:
            known: What was found the last time. Versions never change, and only newer ones are looked at.
        """
        found: dict[str, tuple[int, frozenset[str]]] = {}
        for row in await self._database.read(_NEWEST):
            name, newest = row["scenario"], row["newest"]
            seen, words = known.get(name, (0, frozenset[str]()))
            for version in range(seen + 1, newest + 1):  # one at a time: some are large
                documents = await self._database.read(_DOCUMENT, {"name": name, "number": version})
                words |= {_again(one["document"]) for one in documents}
            found[name] = (newest, words)
        return found

    async def delete_some(self, job: Job, since: datetime = BEGINNING, most: int = BATCH) -> Batch:
        """Deletes some of a job's rows, the oldest first.

        Args:
            job: Which.
            since: Where the last batch ended: what lies before is not looked at again.
            most: So many rows at most.
        """
        kind = _KINDS[job.table]
        given: dict[str, Any] = {"since": since, "until": job.before, "most": most}
        given |= {"whose": job.scenario} if job.scenario else {}
        rows = await self._database.write(kind.statement, given)
        until = since if kind.at is None else max((row["at"] for row in rows), default=since)
        return Batch(len(rows), until, len(rows) < most)

    async def old(self, job: Job) -> int:
        """How many rows a job is about, as it stands."""
        given = {"since": BEGINNING, "until": job.before} | ({"whose": job.scenario} if job.scenario else {})
        return (await self._database.read(_KINDS[job.table].count, given))[0]["n"]


def _again(document: Mapping[str, Any]) -> str:
    rules: Mapping[str, Any] = document.get("entry") or {}
    return str(rules.get("again", "when_finished"))


def _needed(again: str) -> timedelta:
    """How long after its admission an entry counts."""
    match again:
        case "never":
            return timedelta.max
        case "when_finished" | "always":
            return timedelta(0)
        case _:
            try:
                return parse_duration(again.removeprefix("after "))
            except DurationError:  # a word of a later release
                return timedelta.max


@dataclass(frozen=True)
class _Kind:
    """How rows of a kind are found and deleted.

    Attributes:
        statement: Deletes some.
        count: Counts all.
        at: The time by whose index they are found; None: they have none of their own.
    """

    statement: Delete | Update
    count: Select[Any]
    at: Column[datetime] | None


def _kind(table: Table, at: Column[datetime] | None, *also: ColumnElement[bool], **instead: None) -> _Kind:
    """Rows of a table.

    Args:
        table: Which.
        at: Its column of times, with an index.
        also: What else must hold of them.
        instead: What their columns become, where the rows stay.
    """
    since, until = (bindparam(name, type_=deliveries.c.started_at.type) for name in ("since", "until"))
    wanted = [*also, *([at >= since, at < until] if at is not None else [])]
    key = list(table.primary_key.columns)
    # Without waiting for who writes to them, or deletes them, too.
    some = select(*key).where(*wanted).limit(bindparam("most")).with_for_update(skip_locked=True, of=table)
    if at is not None:
        some = some.order_by(at)
    changes = update(table).values(instead) if instead else delete(table)
    told = key[0] if at is None else at
    return _Kind(
        changes.where((tuple_(*key) if len(key) > 1 else key[0]).in_(some)).returning(told.label("at")),
        select(func.count().label("n")).select_from(table).where(*wanted),
        at,
    )


_until = bindparam("until", type_=operations.c.ended_at.type)
_over = select(operations.c.id).where(operations.c.created_at < _until, operations.c.ended_at < _until)
_KINDS: Final[Mapping[str, _Kind]] = {
    "responses": _kind(deliveries, deliveries.c.started_at, deliveries.c.response.is_not(None), response=None),
    "deliveries": _kind(deliveries, deliveries.c.started_at),
    # By when they were admitted, for which there is an index: none ended before.
    "entries": _kind(
        entries,
        entries.c.admitted_at,
        entries.c.scenario == bindparam("whose"),
        entries.c.ended_at < _until,
        or_(entries.c.goal_until.is_(None), entries.c.goal_until < _until),
    ),
    "claims": _kind(claims, claims.c.claimed_at),
    "soft_bounces": _kind(soft_bounces, soft_bounces.c.bounced_at),
    "passages": _kind(passages, passages.c.hour),
    "operation_items": _kind(operation_items, None, operation_items.c.operation.in_(_over)),
    "operations": _kind(
        operations,
        operations.c.created_at,
        operations.c.ended_at < _until,
        ~select(operation_items.c.operation).where(operation_items.c.operation == operations.c.id).exists(),
    ),
    "answers": _kind(api_answers, api_answers.c.begun_at),
}
_AGE_OF: Final = {"operation_items": "operations"}
TABLES: Final = tuple(_KINDS)
"""What is deleted, and counted apart."""
_NEWEST = select(versions.c.scenario, func.max(versions.c.version).label("newest")).group_by(versions.c.scenario)
_DOCUMENT = select(versions.c.document).where(
    versions.c.scenario == bindparam("name"), versions.c.version == bindparam("number")
)
