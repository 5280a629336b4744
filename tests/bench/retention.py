"""What pruning costs the journeys that run meanwhile: 1,000,000 attempts and 100,000 entries in PostgreSQL.

Run by hand, from the project's folder: ``python -m tests.bench.retention``. Rounds with and without the workflow
`Prune` take turns on one dev server, one database and one worker process, in one run: so their ratios hold on a busy
machine. Then it is pruned to the end, and what journeys, `again:` and statistics need is looked for.
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
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import SecretStr
from temporalio.client import Client, WorkflowHandle

from activities.interface import JOURNEYS
from activities.retention import WORKFLOW, Pruning
from activities.webhook.route import Diverted
from gateway.publishing import publish
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Receiver
from runtime.process.exit import leave
from runtime.settings import Settings
from runtime.store import AdmissionRequest, AlreadyIn, Store
from tests.bench.journeys import cpu, journey, scenario
from tests.bench.stops import say
from tests.runtime.store.conftest import Server, programs
from worker import running, services, workers

AGES: Final = "deliveries=180d,responses=30d,entries=2y,passages=2y"
HOOK: Final = "  - webhook: hook\n    url: https://hooks.example.com/bench\n    body: {a: 1}\n"
PACE: Final = 4.0
"""Journeys a second where latencies are measured: a part of what two cores can do."""

FILL: Final = """
INSERT INTO deliveries SELECT 'msg_' || n, 1, now() - n * interval '{year}' / {attempts}, 'old/' || n, 'r' || n, 'old',
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


@dataclass
class Side:
    """Rounds with pruning, or without."""

    rates: list[float] = field(default_factory=list[float])
    latencies: list[float] = field(default_factory=list[float])
    worker: list[float] = field(default_factory=list[float])


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
        crew = await stack.enter_async_context(running(workers(client, opened)))
        say("ready")
        await crew.until(stop)


async def crowded(place: Place, many: range) -> float:
    """How many journeys a second are through, 20 at once."""
    slots, start = asyncio.Semaphore(20), journey("bench")

    async def one(number: int) -> None:
        async with slots:
            await (await start(place.client, number)).result()

    began = time.perf_counter()
    await asyncio.gather(*map(one, many))
    return len(many) / (time.perf_counter() - began)


async def paced(place: Place, many: range) -> list[float]:
    """How long journeys take that come one after the other."""
    start, took, tasks = journey("bench"), list[float](), list[asyncio.Task[None]]()

    async def one(number: int) -> None:
        began = time.perf_counter()
        await (await start(place.client, number)).result()
        took.append(time.perf_counter() - began)

    for number in many:
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(1 / PACE)
    await asyncio.gather(*tasks)
    return took


async def prune(place: Place, name: str) -> WorkflowHandle[Any, Any]:
    """Begins to prune."""
    return await place.client.start_workflow(
        WORKFLOW, Pruning(ages=AGES), id=f"scenario-retention-{name}", task_queue=JOURNEYS, result_type=dict
    )


async def compare(place: Place, rounds: int, each: int) -> None:
    """Rounds with pruning and without, in turn."""
    sides, number = {False: Side(), True: Side()}, 0
    await crowded(place, range(900_000, 900_000 + each))
    for turn in range(rounds):
        for pruning in (False, True) if turn % 2 else (True, False):
            left = place.ask("SELECT count(*) FROM deliveries")
            handle = await prune(place, f"{turn}") if pruning else None
            side, used, numbers = sides[pruning], cpu(place.worker), iter(range(number, number + 2 * each, each))
            side.rates.append(await crowded(place, range(first := next(numbers), first + each)))
            side.latencies += await paced(place, range(first := next(numbers), first + each))
            side.worker.append(cpu(place.worker) - used)
            number += 2 * each
            if handle is not None:
                if (await handle.describe()).close_time is not None:
                    raise SystemExit("it was pruned before the round was over: fill in more")
                await handle.terminate()
                say(f"round {turn + 1}: {left - place.ask('SELECT count(*) FROM deliveries')} attempts deleted")
    off, on = sides[False], sides[True]
    rows = {
        "journeys a second, 20 at once": (statistics.median(off.rates), statistics.median(on.rates)),
        "ms a journey, p50 at 4 a second": tuple(1e3 * statistics.median(side.latencies) for side in (off, on)),
        "ms a journey, p90": tuple(1e3 * statistics.quantiles(side.latencies, n=10)[-1] for side in (off, on)),
        "worker CPU s a round": (statistics.median(off.worker), statistics.median(on.worker)),
    }
    say("| | alone | while pruning | ratio |\n|---|---|---|---|")
    for what, (without, with_) in rows.items():
        say(f"| {what} | {without:.2f} | {with_:.2f} | {with_ / without:.2f} |")


async def complete(place: Place) -> Mapping[str, Any]:
    """Prunes to the end."""
    began, used = time.perf_counter(), cpu(place.worker)
    done = await (await prune(place, "all")).result()
    took = time.perf_counter() - began
    say(
        f"the rest: {done} in {took:.0f} s, {cpu(place.worker) - used:.1f} s of the worker's CPU, "
        f"{sum(done['deleted'].values()) / took:.0f} rows a second"
    )
    return done


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
        assert isinstance(await place.store.admit(asking), AlreadyIn), contact
    say("again: never holds, journeys under way are there, statistics are the same")


def needed(place: Place, now: datetime) -> dict[str, Any]:
    """What must be the same before and after."""
    year, month = (f"'{(now - timedelta(days=days)).isoformat()}'" for days in (730, 30))
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
            *(sys.executable, "-m", "tests.bench.retention", "--work", temporal.address, url, receiver.url),
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
            await compare(place, given.rounds, given.each)
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
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--each", type=int, default=60, help="journeys of a round, crowded and paced")
    arguments = parser.parse_args()
    asyncio.run(work(*arguments.work) if arguments.work else main(arguments))
    leave(0)
