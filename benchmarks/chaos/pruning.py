"""The run's database, and old rows in it that are pruned at four times."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from activities.background import PRUNE_WORKFLOW
from activities.retention import SCHEDULE
from benchmarks.chaos.scenarios import AGES
from benchmarks.stops import say
from tests.runtime.store.conftest import Server

if TYPE_CHECKING:
    from benchmarks.chaos.record import ChaosRun

PRUNINGS: Final = (0.1, 0.25, 0.58, 0.75)
"""Shares of all deliveries at which old rows are inserted and pruned."""
COMMAND_PRUNING: Final = PRUNINGS[1]
"""The pruning by the command; the schedule starts the others."""
# Inserts a lot of rows: the names of old ones contain "gone", those of recent or needed ones "kept".
FILL: Final = """
INSERT INTO deliveries (delivery_id, attempt, started_at, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, milliseconds, outcome, status, error, next_try_at, response, trace_id)
    SELECT w.word || '_{lot}_' || n, 1, now() - w.age - n * interval '1 s', 'old/' || n, 'r', 'old',
    1, 'hook', 'webhook', 'other', w.word, 12, 'delivered', 200, NULL, NULL, 'thanks', NULL
    FROM generate_series(1, {rows}) n, (VALUES ('gone', interval '30 d'), ('kept', interval '2 h')) w(word, age);
INSERT INTO entries SELECT w.scenario || '/' || w.word || '_{lot}_' || n, 'r', w.scenario, 1,
    w.word || '_{lot}_' || n, '', 1, 'segment', now() - interval '40 d' - n * interval '1 s', w.ended,
    CASE WHEN w.ended IS NOT NULL THEN 'finished' END FROM generate_series(1, {rows} / 10) n,
    (VALUES ('gone', 'old', now() - interval '30 d'), ('kept', 'old', NULL), ('kept', 'once', now() - interval '30 d'))
    w(word, scenario, ended);
INSERT INTO claims SELECT w.word || '_{lot}_' || n, w.word, 'webhook', 'other', 'old', now() - w.age, 1
    FROM generate_series(1, {rows} / 10) n,
    (VALUES ('gone', interval '40 d'), ('kept', interval '20 d')) w(word, age);
INSERT INTO passages SELECT 'old', 100000 * {lot} + n, w.word, 'delivered', date_trunc('hour', now()) - w.age, 1
    FROM generate_series(1, {rows} / 10) n, (VALUES ('gone', interval '30 d'), ('kept', interval '1 h')) w(word, age);
"""
COUNT: Final = """
SELECT 'deliveries', count(*) FROM deliveries WHERE delivery_id LIKE '{word}\\_%'
UNION ALL SELECT 'entries', count(*) FROM entries WHERE contact_id LIKE '{word}\\_%'
UNION ALL SELECT 'claims', count(*) FROM claims WHERE delivery_id LIKE '{word}\\_%'
UNION ALL SELECT 'passages', count(*) FROM passages WHERE step = '{word}'
"""


def rows_in_lot(rows: int) -> dict[str, dict[str, int]]:
    """Return the rows that `FILL` inserts for a lot, by word and table."""
    tenth = rows // 10
    return {
        "gone": {"deliveries": rows, "entries": tenth, "claims": tenth, "passages": tenth},
        "kept": {"deliveries": rows, "entries": 2 * tenth, "claims": tenth, "passages": tenth},
    }


@dataclass
class Database:
    """The PostgreSQL server, and the store's tables in it."""

    server: Server
    url: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's schema. Return all rows."""
        with self.server.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def schema(self) -> str:
        """Return the schema of the store's tables."""
        return self.url.rpartition("%3D")[2]

    def count_rows(self, word: str) -> dict[str, int]:
        """Count the inserted rows that remain, by table."""
        return dict(self.query(COUNT.format(word=word)))

    def count_containing(self, text: str) -> dict[str, int]:
        """Count the rows that contain a text, by table. Omit tables without any."""
        tables = [name for (name,) in self.query(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.schema}'")]
        found = {name: self.query(f"SELECT count(*) FROM {name} t WHERE t::text LIKE '%{text}%'") for name in tables}
        return {name: rows[0][0] for name, rows in found.items() if rows[0][0]}


async def prune(run: ChaosRun) -> None:
    """Insert rows into the store, and prune it: by the schedule, and once by the command."""
    for lot, share in enumerate(PRUNINGS):
        await run.wait_for_share(share)
        fill = FILL.format(lot=lot, rows=run.rows)
        await run.retry(lambda fill=fill: asyncio.to_thread(run.database.query, fill))
        if share != COMMAND_PRUNING:
            await run.retry(run.client.temporal.get_schedule_handle(SCHEDULE).trigger)
            run.note("the schedule started to prune")
            continue
        ages = [word for one in AGES.split(",") for word in ("--{}={}".format(*one.split("=")),)]
        run.by_command.update(json.loads(await run.command_until_done("prune", "--format", "json", *ages))["rows"])
        run.note(f"`scenario prune` deleted {run.by_command.total()} rows")


async def finish_pruning(run: ChaosRun) -> None:
    """Prune for the last time, and wait until nothing old is left."""
    await run.retry(run.client.temporal.get_schedule_handle(SCHEDULE).trigger)
    while run.database.count_rows("gone") != dict.fromkeys(run.database.count_rows("gone"), 0):
        await asyncio.sleep(1)
    while await run.count_running(f"WorkflowType = '{PRUNE_WORKFLOW}'"):
        await asyncio.sleep(1)


def compare_rows(run: ChaosRun) -> None:
    """Check that pruning deleted all old rows, and nothing else."""
    gone, kept = run.database.count_rows("gone"), run.database.count_rows("kept")
    wanted = {table: len(PRUNINGS) * n for table, n in rows_in_lot(run.rows)["kept"].items()}
    run.expect(not any(gone.values()) and kept == wanted, f"pruning left {gone} old rows, and kept {kept} of {wanted}")
    entered = run.database.query("SELECT count(*) FROM entries WHERE scenario = 'chaos'")[0][0]
    run.expect(entered == run.number, f"{entered} entries of {run.number} journeys")
    say(f"inserted rows: {gone} old ones left; {kept} of {wanted} others kept; {entered} entries")
