"""Lines of campaigns in bulk, with the entries that they begin and end, and the uploaded files that they come from.

A file is deleted when a campaign has read it, at an erasure, or after a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.admission import AdmissionRequest, AdmittedRun, AlreadyEntered
from runtime.store.campaigns import LINES_TOGETHER, campaign_items, campaigns
from runtime.store.database import InsertFactory, Queries, in_chunks, insert_new
from runtime.store.entries import ADMITTED, Entries, row_of_admission
from runtime.store.passages import Passage, add_passages, hour_of
from runtime.store.schema import ColumnType, RowList, UtcDateTime, column_type, entries, json_text, table_of
from runtime.store.versions import Closure


@dataclass(frozen=True, slots=True)
class LineDeparture:
    """The end of an entry without a workflow, and the steps that it has completed."""

    workflow_id: str
    run_id: str
    outcome: str
    reason: str | None
    ended_at: datetime
    passed: Sequence[Passage] = ()


@dataclass(frozen=True, slots=True)
class LineEnd:
    """The outcome of a line."""

    line: int
    outcome: str  # one of `scenario.words.LineOutcome`
    reason: str | None = None
    departure: LineDeparture | None = None  # the end of its entry; None if it has none, or if a workflow continues it


class CampaignLines(Entries):
    """The rows of a campaign's lines, entries and passages, many at once. Every call is idempotent."""

    async def admit_many(self, asking: Sequence[AdmissionRequest]) -> list[AdmittedRun | AlreadyEntered | Closure]:
        """Admit runs by the rules of `admit`, and return the answers in this order.

        Entries that are their contacts' first, as most of a campaign are, take one statement together.
        """
        first = set[tuple[str, str]]()
        for some in in_chunks(asking, LINES_TOGETHER):
            rows = self._dump(_ENTRIES, map(_row, some))
            found = await self._database.write(_ADMIT[self._on_sqlite], {"entries": rows})
            first.update((row["workflow_id"], row["run_id"]) for row in found)
        return [
            AdmittedRun(one.version, 1, one.admitted_at, one.outcome, one.reason)
            if (one.workflow_id, one.run_id) in first
            else await self.admit(one)
            for one in asking
        ]

    async def pending_campaign_lines(self, campaign: str, lines: Sequence[int]) -> list[int]:
        """Return those of these lines that have no outcome."""
        return [
            line
            for some in in_chunks(lines, LINES_TOGETHER)
            for line in await self._values(_PENDING, {"of": campaign, "lines": some})
        ]

    async def mark_campaign_lines(self, campaign: str, lines: Sequence[int]) -> list[int]:
        """Record that the messages of lines may be sent from now on, and must not be sent twice.

        Return the lines that had no mark and no outcome: others are, or were, sent by another worker.
        """
        return [
            row["line"]
            for some in in_chunks(lines, LINES_TOGETHER)
            for row in await self._database.write(_MARK, {"of": campaign, "lines": some})
        ]

    async def put_back_campaign_lines(
        self, campaign: str, lines: Sequence[int], journeys: Sequence[tuple[str, str]]
    ) -> None:
        """Remove the marks of lines, and the entries (by workflow id and root) admitted for them: nothing was sent."""
        for some in in_chunks(lines, LINES_TOGETHER):
            await self._database.write(_UNMARK, {"of": campaign, "lines": some})
        for some in in_chunks(journeys, LINES_TOGETHER):
            await self._database.write(_WITHDRAW, {"journeys": some})

    async def end_campaign_lines(self, campaign: str, ends: Sequence[LineEnd], at: datetime) -> None:
        """Record the outcomes of lines, and end their entries with the steps that these have completed.

        The first outcome of a line and the first end of an entry win.
        """
        for some in in_chunks(ends, LINES_TOGETHER):
            departures = [one.departure for one in some if one.departure is not None]
            steps = [
                (one.workflow_id, one.run_id, step.version, step.step, step.outcome, hour_of(step.at))
                for one in departures
                for step in one.passed
            ]
            given = {
                "at": at,
                "lines": self._dump(_LINES, ((campaign, one.line, one.outcome, one.reason) for one in some)),
                "departures": self._dump(
                    _DEPARTURES,
                    (
                        (one.workflow_id, one.run_id, one.outcome, one.reason, one.ended_at, len(one.passed))
                        for one in departures
                    ),
                ),
            }
            if self._on_sqlite:
                await self._database.alone(partial(_end_in_turn, self._database.insert, given, steps))
            else:
                await self._database.write(_END_AT_ONCE, given | {"steps": self._dump(_STEPS, steps)})
        await self._change(campaigns, campaigns.c.name == campaign, campaigns.c.ended_at.is_(None), progressed_at=at)

    def _dump(self, rows: RowList, values: Iterable[Sequence[Any]]) -> str:
        return rows.dump(values, on_sqlite=self._on_sqlite)

    @property
    def _on_sqlite(self) -> bool:
        return self._database.one_writer


def _row(asking: AdmissionRequest) -> list[Any]:
    row = row_of_admission(asking)
    row["branches"] = row["branches"] and json_text(row["branches"])
    return [row[name] for name in ADMITTED]


_ENTRIES: Final = RowList({name: column_type(entries.c[name]) for name in ADMITTED})
_LINES: Final = RowList({"campaign": "text", "line": "integer", "outcome": "text", "reason": "text"})
_JOURNEY: Final[dict[str, ColumnType]] = {"workflow_id": "text", "run_id": "text"}
_DEPARTURES: Final = RowList(
    {**_JOURNEY, "outcome": "text", "reason": "text", "ended_at": "timestamptz", "passed": "integer"}
)
_STEPS: Final = RowList({**_JOURNEY, "version": "integer", "step": "text", "outcome": "text", "hour": "timestamptz"})
_END_LINES: Final = """
UPDATE campaign_items SET outcome = one.outcome, reason = one.reason, answered_at = :at, entry = NULL
FROM {lines} AS one
WHERE campaign_items.campaign = one.campaign AND campaign_items.line = one.line AND campaign_items.outcome IS NULL
"""
_DEPART: Final = """
UPDATE entries
SET outcome = one.outcome, reason = one.reason, ended_at = one.ended_at, counted_passages = one.passed
FROM {departures} AS one
WHERE entries.workflow_id = one.workflow_id AND entries.run_id = one.run_id AND entries.ended_at IS NULL
RETURNING entries.workflow_id, entries.run_id, entries.scenario
"""
# Sorted, so that concurrent writers of the same rows do not deadlock.
_COUNT: Final = """
INSERT INTO passages (scenario, version, step, outcome, hour, total)
SELECT departed.scenario, one.version, one.step, one.outcome, one.hour, count(*)
FROM departed
JOIN {steps} AS one ON one.workflow_id = departed.workflow_id AND one.run_id = departed.run_id
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (scenario, version, hour, step, outcome) DO UPDATE SET total = passages.total + excluded.total
RETURNING total
"""


# The entries that are their contacts' first under their scenario and key, unless the scenario is closed. LIMIT has
# PostgreSQL look each up in the index: a join, planned while the table was small, would read all of it ever after.
_ADMIT_FIRST: Final = """
INSERT INTO entries ({names}, ordinal)
SELECT {names}, 1 FROM {entries} AS one
WHERE (
    SELECT 1 FROM entries AS earlier
    WHERE earlier.contact_id = one.contact_id AND earlier.scenario = one.scenario AND earlier.key = one.key LIMIT 1
) IS NULL AND NOT EXISTS (SELECT 1 FROM closed_scenarios WHERE closed_scenarios.scenario = one.scenario)
ON CONFLICT DO NOTHING RETURNING workflow_id, run_id
"""


def _bound(statement: str, on_sqlite: bool) -> sa.TextClause:
    """Return a statement with the rows of its parameters as tables."""
    lists = {"entries": _ENTRIES, "lines": _LINES, "departures": _DEPARTURES, "steps": _STEPS}
    sources = {name: one.source(f":{name}", on_sqlite=on_sqlite) for name, one in lists.items()}
    whole = sa.text(statement.format(names=_ENTRIES.names, **sources))
    return whole.bindparams(sa.bindparam("at", type_=UtcDateTime())) if ":at" in statement else whole


_ADMIT: Final = {on_sqlite: _bound(_ADMIT_FIRST, on_sqlite) for on_sqlite in (True, False)}
_IN_TURN: Final = tuple(_bound(statement, True) for statement in (_END_LINES, _DEPART))
_END_AT_ONCE: Final = _bound(f"WITH ended AS ({_END_LINES}), departed AS ({_DEPART}) {_COUNT}", False)


def _end_in_turn(
    insert: InsertFactory, given: Mapping[str, Any], steps: Sequence[tuple[Any, ...]], connection: sa.Connection
) -> None:
    end_lines, depart = _IN_TURN
    connection.execute(end_lines, {"lines": given["lines"], "at": given["at"]})
    found = connection.execute(depart, {"departures": given["departures"]})
    departed = {(row.workflow_id, row.run_id): row.scenario for row in found}
    tally = Counter((departed[step[:2]], *step[2:]) for step in steps if step[:2] in departed)
    if tally:
        names = ("scenario", "version", "step", "outcome", "hour", "total")
        connection.execute(add_passages(insert), [dict(zip(names, (*key, n), strict=True)) for key, n in tally.items()])


_lines = campaign_items.c
_NAMED = (_lines.campaign == sa.bindparam("of"), _lines.line.in_(sa.bindparam("lines", expanding=True)))
_PENDING = sa.select(_lines.line).where(*_NAMED, _lines.outcome.is_(None))
_MARK = (
    sa.update(campaign_items)
    .where(
        *_NAMED, _lines.marked == sa.bindparam("no", value=False, type_=_lines.marked.type), _lines.outcome.is_(None)
    )
    .values(marked=True)
    .returning(_lines.line)
)
_UNMARK = sa.update(campaign_items).where(*_NAMED, _lines.outcome.is_(None)).values(marked=False)
_WITHDRAW = sa.delete(entries).where(
    sa.tuple_(entries.c.workflow_id, entries.c.run_id).in_(sa.bindparam("journeys", expanding=True)),
    entries.c.root == entries.c.run_id,
    entries.c.ended_at.is_(None),
)


audience_parts = table_of(
    "audience_parts",
    {"audience": "str", "number": "int", "content": "str"},
    sa.PrimaryKeyConstraint("audience", "number"),
)
"""The contents of uploaded files, encoded, and encrypted if payloads are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAudience:
    """An uploaded file."""

    id: str
    name: str
    owner: str  # the id of the key that uploaded it
    created_at: datetime
    digest: str = ""  # SHA-256 of its bytes, in hex; empty until it is complete
    bytes: int = 0
    parts: int = 0
    completed_at: datetime | None = None  # when all parts were stored


audiences = table_of(
    "audiences",
    StoredAudience,
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("id"),
    sa.Index(None, "created_at"),
    sa.Index(None, "owner", "name", "created_at"),
)
"""Uploaded files, each under its own id: a file never changes."""


_files, _parts = audiences.c, audience_parts.c


class StoredAudiences(Queries):
    """The tables of uploaded files."""

    async def add_audience(self, audience: StoredAudience) -> None:
        await self._add(audiences, audience)

    async def add_audience_part(self, audience: str, number: int, content: str) -> None:
        """Store a part of a file, counted from 0."""
        row = {"audience": audience, "number": number, "content": content}
        await self._database.write(insert_new(self._database.insert, audience_parts), row)

    async def complete_audience(self, identifier: str, digest: str, size: int, parts: int, at: datetime) -> bool:
        """Record that a file is complete. Return False if it was deleted meanwhile."""
        whole = {"digest": digest, "bytes": size, "parts": parts, "completed_at": at}
        return await self._change(audiences, _files.id == identifier, **whole)

    async def stored_audience(self, identifier: str) -> StoredAudience | None:
        return await self._find(StoredAudience, audiences, id=identifier)

    async def newest_audience(self, owner: str, name: str) -> StoredAudience | None:
        """Return the newest complete file of a name that a key uploaded."""
        where = (_files.owner == owner, _files.name == name, _files.completed_at.is_not(None))
        found = await self._newest(StoredAudience, audiences, where, (_files.created_at,), None, 1)
        return found[0] if found else None

    async def audience_part(self, audience: str, number: int) -> str | None:
        """Return a part of a file, or None if it was deleted."""
        where = (_parts.audience == audience, _parts.number == number)
        return await self._value(sa.select(_parts.content).where(*where))

    async def delete_audience(self, identifier: str, besides: str | None = None) -> None:
        """Delete a file, unless a campaign other than `besides` is still to read it."""
        await self._delete_files(_parts.audience == identifier, _files.id == identifier, besides)

    async def delete_audiences(self, before: datetime) -> tuple[int, int]:
        """Delete the files whose upload began before a time, unless a campaign is still to read them.

        Return the number of deleted files and of remaining ones.
        """
        is_old = _files.created_at < before
        parts = _parts.audience.in_(sa.select(_files.id).where(is_old))
        return await self._delete_files(parts, is_old), await self._count_rows(audiences, is_old)

    async def _delete_files(
        self, parts: sa.ColumnElement[bool], files: sa.ColumnElement[bool], besides: str | None = None
    ) -> int:
        def is_unused(file: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
            """Return the condition that no other campaign is still to read a file."""
            return ~sa.exists().where(
                campaigns.c.audience == file,
                campaigns.c.loaded_at.is_(None),
                campaigns.c.ended_at.is_(None),
                campaigns.c.name != (besides or ""),
            )

        await self._database.write(sa.delete(audience_parts).where(parts, is_unused(_parts.audience)))
        gone = sa.delete(audiences).where(files, is_unused(_files.id)).returning(_files.id)
        return len(await self._database.write(gone))
