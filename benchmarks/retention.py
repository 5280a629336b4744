"""What pruning costs the journeys that run meanwhile: 1,000,000 attempts and 100,000 entries in PostgreSQL.

Run by hand, from the project's folder: ``python -m benchmarks.retention``. Spells with and without the workflow
`Prune` take turns while journeys run on one dev server, one database and one worker process: so their ratios hold, if
roughly, on a busy machine. Then it is pruned to the end, and what journeys, `again:` and statistics need is looked for.
``--attempts 100000`` is quick.
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
from benchmarks.claims import family
from benchmarks.journeys import cpu, journey, scenario
from benchmarks.stops import say
from gateway.publishing import publish
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
AT_ONCE: Final = 4
"""Journeys at once: two cores are busy with them, and not overwhelmed."""

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
class Place:
    """Everything that runs."""

    client: Client
    store: Store
    server: Server
    url: str
    worker: int

    def ask(self, statement: str) -> Any:
        """One value of the database."""
        with self.server.connect() as connection:
            self.within(connection)
            row = connection.execute(statement.encode()).fetchone()
            return row and row[0]

    def cpu(self) -> float:
        """Seconds of the database's processes."""
        return sum(map(cpu, family(self.server._process.pid)))  # pyright: ignore[reportPrivateUsage]

    def within(self, connection: psycopg.Connection) -> None:
        """Goes to the store's tables."""
        connection.execute(f"SET search_path = {self.url.rpartition('%3D')[2]}".encode())


async def work(address: str, url: str, receiver: str) -> None:
    """The worker process."""
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
class Journeys:
    """Journeys that run one after the other, some of them concurrently, until they are stopped.

    Attributes:
        done: When each was through, and how long it took.
    """

    client: Client
    done: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    numbers: count[int] = field(default_factory=count)

    async def lane(self) -> None:
        """One after the other."""
        start = journey("bench")
        while True:
            began = time.perf_counter()
            await (await start(self.client, next(self.numbers))).result()
            now = time.perf_counter()
            self.done.append((now, now - began))

    def within(self, began: float, ended: float) -> list[float]:
        """How long those took that were through by then."""
        return [took for at, took in self.done if began <= at < ended]


async def prune(place: Place, name: str) -> WorkflowHandle[Any, Any]:
    """Begins to prune."""
    return await place.client.start_workflow(
        PRUNE_WORKFLOW, PruneRequest(ages=AGES), id=f"scenario-retention-{name}", task_queue=JOURNEYS, result_type=dict
    )


async def compare(place: Place, turns: int, seconds: float) -> None:
    """Spells with pruning and without, in turn, while journeys run."""
    journeys = Journeys(place.client)
    lanes = [asyncio.create_task(journeys.lane()) for _ in range(AT_ONCE)]
    await asyncio.sleep(seconds)
    rates: list[tuple[float, float]] = []
    halves: list[tuple[float, float]] = []
    left = place.ask("SELECT count(*) FROM deliveries")
    for turn in range(turns):
        spells: dict[bool, list[float]] = {}
        for prunes in (False, True) if turn % 2 else (True, False):
            handle = await prune(place, f"{turn}") if prunes else None
            await asyncio.sleep(3)  # for what was under way before, the last batches too
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            spells[prunes] = journeys.within(began, time.perf_counter())
            if handle is not None:
                if (await handle.describe()).close_time is not None:
                    raise SystemExit("it was pruned before the spell was over: fill in more")
                await handle.terminate()
        rates.append((len(spells[False]) / seconds, len(spells[True]) / seconds))
        halves.append((statistics.median(spells[False]), statistics.median(spells[True])))
    for lane in lanes:
        lane.cancel()
    await asyncio.gather(*lanes, return_exceptions=True)
    say(f"{left - place.ask('SELECT count(*) FROM deliveries')} attempts deleted meanwhile")
    say(f"\n| {turns} turns of {seconds:g} s, {AT_ONCE} at once | alone | while pruning | ratio, median of turns |")
    say("|---|---|---|---|")
    for what, factor, pairs in (("journeys a second", 1, rates), ("ms a journey, p50", 1e3, halves)):
        without, with_ = (factor * statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        say(f"| {what} | {without:.1f} | {with_:.1f} | {statistics.median(b / a for a, b in pairs):.2f} |")


async def complete(place: Place) -> None:
    """Prunes to the end, in this process and without pauses."""
    began, used, there = time.perf_counter(), cpu(os.getpid()), place.cpu()
    with patch.object(pruning, "PAUSE", 0.0), patch.object(pruning, "LEAST_PAUSE", 0.0):
        done = await pruning.Pruner(place.store).run(parse_ages(AGES), datetime.now(UTC))
    took, rows = time.perf_counter() - began, done.deleted.total()
    say(f"\nthe rest, alone and without pauses: {dict(done.deleted)}; {'; '.join(done.kept)}")
    ours, theirs = (1e6 * seconds / rows for seconds in (cpu(os.getpid()) - used, place.cpu() - there))
    say(f"{rows} rows in {took:.0f} s, {rows / took:.0f} a second")
    say(f"CPU of 1,000 rows: {ours:.0f} ms of who prunes, {theirs:.0f} ms of PostgreSQL's")


async def check(place: Place, before: Mapping[str, Any], now: datetime) -> None:
    """Nothing is lost that is needed."""
    after = needed(place, now)
    assert after == before, (after, before)
    for gone in (
        "deliveries WHERE started_at < now() - interval '181 d'",
        "deliveries WHERE started_at < now() - interval '31 d' AND response <> ''",
        "entries WHERE scenario = 'old' AND ended_at < now() - interval '731 d'",
    ):
        assert not place.ask(f"SELECT count(*) FROM {gone}"), gone
    for contact in (10, place.ask("SELECT max(contact_id::int) FROM entries WHERE scenario = 'once'")):
        asking = AdmissionRequest("once", 1, str(contact), None, f"once/{contact}", "again", "never", now)
        assert isinstance(await place.store.admit(asking), AlreadyEntered), contact
    say("again: never holds, running journeys are there, statistics are the same")


def needed(place: Place, now: datetime) -> dict[str, Any]:
    """What must be the same before and after: the ages, and a day to spare."""
    year, month = (f"'{(now - timedelta(days=days)).isoformat()}'" for days in (729, 29))
    return {
        "under way": place.ask("SELECT count(*) FROM entries WHERE ended_at IS NULL"),
        "once": place.ask("SELECT count(*) FROM entries WHERE scenario = 'once'"),
        "over lately": place.ask(f"SELECT count(*) FROM entries WHERE scenario = 'old' AND ended_at >= {year}"),
        "passed lately": place.ask(f"SELECT sum(n) FROM passages WHERE scenario = 'old' AND hour >= {year}"),
        "answered lately": place.ask(
            f"SELECT count(*) FROM deliveries WHERE scenario = 'old' AND started_at >= {month} AND response <> ''"
        ),
    }


async def main(given: argparse.Namespace) -> None:
    """All of it."""
    found = programs()
    if found is None:
        raise SystemExit("there is no PostgreSQL")
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
            "bench": scenario("bench", HOOK),
            "old": scenario("old", HOOK),
            "once": scenario("once", HOOK).replace("again: always", "again: never"),
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
            place, now = Place(client, store, server, url, process.pid), datetime.now(UTC)
            began = time.perf_counter()
            with server.connect() as connection:
                place.within(connection)
                sizes = {"attempts": given.attempts, "entries": given.attempts // 10}
                connection.execute(FILL.format(**sizes, year="360 d", years="1460 d").encode())
            say(f"{given.attempts} attempts, filled in {time.perf_counter() - began:.0f} s")
            before = needed(place, now)
            await compare(place, given.turns, given.seconds)
            await complete(place)
            await check(place, before, now)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=12, help="turns of two spells, with pruning and without")
    parser.add_argument("--seconds", type=float, default=15, help="of a spell")
    arguments = parser.parse_args()
    asyncio.run(work(*arguments.work) if arguments.work else main(arguments))
    exit_process(0)
