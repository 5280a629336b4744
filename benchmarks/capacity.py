"""Unit costs of journeys, deliveries and campaign lines, and the resources for a number of journeys a day.

Run by hand, from the project's folder: ``python -m benchmarks.capacity``. It measures on this machine, writes the run
to ``benchmarks/capacity.json``, and writes the tables of ``docs/run/capacity.md`` between their markers.
``--recalculate`` only writes the tables, for example after a change of the assumptions below.

Processor times and counts hold on a busy machine. Elapsed times do not, so the page has none. To show on a few shared
cores that throughput grows with the number of worker processes, each process gets a small share of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from benchmarks.api import run_gateway
from benchmarks.campaigns import SCENARIOS as CAMPAIGNS
from benchmarks.campaigns import Bench, run_postgresql
from benchmarks.journeys import (
    Tally,
    Testbed,
    cpu_seconds,
    journey_starter,
    run_testbed,
    run_turn,
    run_worker_process,
    say,
    scenario_text,
)
from runtime.process.shutdown import exit_process
from runtime.store import Store
from service.client import ScenarioClient

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ROOT / "benchmarks" / "capacity.json"
PAGE: Final = ROOT / "docs" / "run" / "capacity.md"

# ---- assumptions, also stated on the page

VOLUMES: Final = (1_000_000, 10_000_000, 100_000_000)
"""Journeys a day."""
DELIVERIES: Final = 3
WAITS: Final = 2
PEAK_FACTOR: Final = 3.0
"""The busiest hour, as a multiple of the day's average."""
PEAK_UTILIZATION: Final = 0.6
"""Share of a core that is used at the peak."""
PARTITION_RATE: Final = 500
"""Tasks a second for each partition of a task queue. A rule of thumb, not measured."""
JOURNEY_DAYS: Final = 7
"""Days that a journey runs, on average."""
HISTORY_DAYS: Final = 3
"""Days that Temporal keeps the histories of ended journeys."""
STORE_DAYS: Final = 180
"""Days that the store keeps entries and deliveries."""

_WORDS: Final = ("worker", "gateway", "postgresql", "temporal")
_CORE_SHARE: Final = 0.08
"""Share of a core for each worker process in the comparison of throughput."""
_HOOK: Final = "  - webhook: {name}\n    url: https://hooks.example.com/a\n    body: {{id: '{{{{ contact.id }}}}'}}\n"
_SCENARIOS: Final = {
    "once": scenario_text("once", _HOOK.format(name="w0")),
    "often": scenario_text("often", *(_HOOK.format(name=f"w{number}") for number in range(5))),
    "waits": scenario_text("waits", *("  - wait: 1s\n" for _ in range(4)), _HOOK.format(name="w0")),
}


@dataclass(frozen=True)
class UnitCost:
    """Cost of one journey, delivery, wait, entry or line: CPU milliseconds by process, and counts.

    Attributes:
        statements: Number of SQL statements.
        store: Bytes of tables and indexes.
        history: Bytes of its history, as Temporal counts them.
        actions: Temporal Cloud's actions, as far as the history shows them.
    """

    worker: float = 0.0
    gateway: float = 0.0
    postgresql: float = 0.0
    temporal: float = 0.0
    statements: float = 0.0
    store: float = 0.0
    history: float = 0.0
    actions: float = 0.0

    def __add__(self, other: UnitCost) -> UnitCost:
        return UnitCost(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __mul__(self, number: float) -> UnitCost:
        return UnitCost(**{one.name: getattr(self, one.name) * number for one in fields(self)})

    def __sub__(self, other: UnitCost) -> UnitCost:
        return self + other * -1


# ---- measurement


async def _store_size(store: Store) -> tuple[int, int]:
    """Return the number of transactions, which are statements, and the bytes of the store's tables and indexes."""
    await asyncio.sleep(2)  # PostgreSQL reports its statistics late
    database = store._database  # pyright: ignore[reportPrivateUsage]
    [row] = await database.read(
        text(
            "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS statements, "
            "(SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relkind = 'r' "
            "AND c.relnamespace = current_schema()::regnamespace)::bigint AS bytes"
        )
    )
    return row["statements"], row["bytes"]


@asynccontextmanager
async def unit_cost(bench: Bench, number: int) -> AsyncGenerator[dict[str, float]]:
    """Measure the cost of the block, divided by `number`."""
    found: dict[str, float] = {}
    statements, size = await _store_size(bench.store)
    before = bench.cpu_seconds()
    yield found
    after = bench.cpu_seconds()
    more, larger = await _store_size(bench.store)
    names = {"worker": "worker", "gateway": "gateway", "postgresql": "PostgreSQL", "temporal": "Temporal"}
    found |= {ours: 1e3 * (after[theirs] - before[theirs]) / number for ours, theirs in names.items()}
    found |= {"statements": (more - statements) / number, "store": (larger - size) / number}


async def _measure_journeys(bench: Bench, name: str, count: int) -> UnitCost:
    """Run journeys to their ends. Return the cost of one."""
    await run_turn(bench.testbed, Tally(name), journey_starter(name), range(900_000, 900_030))
    tally = Tally(name)
    async with unit_cost(bench, count) as found:
        await run_turn(bench.testbed, tally, journey_starter(name), range(count))
    handle = tally.handles[-1]
    info = (await handle.describe()).raw_description.workflow_execution_info
    return UnitCost(**found | {"history": info.history_size_bytes, "actions": await _count_actions(handle)})


async def _count_actions(handle: Any) -> int:
    """Count the events that Temporal Cloud bills: starts, activities, timers, search attributes, local activities."""
    billed = {
        *("workflow_execution_started_event_attributes", "activity_task_scheduled_event_attributes"),
        *("timer_started_event_attributes", "upsert_workflow_search_attributes_event_attributes"),
    }
    count, tasks = 0, set[int]()
    async for event in handle.fetch_history_events():
        kind = event.WhichOneof("attributes")
        count += kind in billed
        if kind == "marker_recorded_event_attributes":  # the local activities of a workflow task are one action
            tasks.add(event.marker_recorded_event_attributes.workflow_task_completed_event_id)
    return count + len(tasks)


@asynccontextmanager
async def suspended(worker: int) -> AsyncGenerator[None]:
    """Suspend a worker, so that only the other processes are measured."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def _entry_cost(found: Mapping[str, float]) -> UnitCost:
    """Return the cost of an entry without its journey."""
    return UnitCost(**{name: found[name] for name in ("gateway", "postgresql", "statements", "store")})


async def _measure_entries(bench: Bench, count: int) -> UnitCost:
    """Enter contacts one by one through the API. Return the cost of an entry."""
    async with suspended(bench.testbed.worker), unit_cost(bench, count) as found:
        for number in range(count):
            await bench.gateway.enter("sale", 500_000 + number)
    return _entry_cost(found)


async def _measure_lines(bench: Bench, count: int) -> UnitCost:
    """Run a campaign in the gear *enter*, from the upload of its file to its end. Return the cost of a line."""
    async with suspended(bench.testbed.worker), unit_cost(bench, count) as found:
        await bench.start_campaign("lines", "sale", count)
        await bench.wait_until_ended("lines", count, [])
    return _entry_cost(found)


async def _measure_blast(bench: Bench, count: int) -> UnitCost:
    """Run a campaign in the gear *blast*, from the upload of its file to its end. Return the cost of a line."""
    async with unit_cost(bench, count) as found:
        await bench.start_campaign("blast", "offer", count)
        await bench.wait_until_ended("blast", count, [])
    return UnitCost(**found)


async def measure_costs(bench: Bench, count: int) -> dict[str, UnitCost]:
    """Measure the unit costs. Those of a delivery and a wait are differences between journeys."""
    once, often, waits = [await _measure_journeys(bench, name, count) for name in _SCENARIOS]
    delivery, wait = (often - once) * (1 / 4), (waits - once) * (1 / 4)
    found = {"journey": once - delivery, "delivery": delivery, "wait": wait}
    found |= {"entry": await _measure_entries(bench, count), "line": await _measure_lines(bench, count)}
    while len(await bench.store.entries(scenario="sale", limit=2 * count)) < 2 * count:
        await asyncio.sleep(1)  # the worker was suspended, and admits them now
    return found | {"blast": await _measure_blast(bench, 10 * count)}


async def _throttle(pid: int, share: float) -> None:
    """Limit a process to a share of a core, by suspending and resuming it."""
    began, before, stopped = time.monotonic(), cpu_seconds(pid), False
    try:
        while True:
            await asyncio.sleep(0.02)
            ahead = cpu_seconds(pid) - before > share * (time.monotonic() - began)
            if ahead != stopped:
                os.kill(pid, signal.SIGSTOP if ahead else signal.SIGCONT)
                stopped = ahead
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Growth:
    """The throughput of a number of worker processes.

    Attributes:
        rate: Journeys a second, with a small share of a core for each process.
        worker: CPU milliseconds of all worker processes for a journey.
    """

    processes: int
    rate: float
    worker: float


async def _measure_throughput(testbed: Testbed, pids: Sequence[int], name: str, numbers: range) -> tuple[float, float]:
    """Run journeys to their ends. Return their rate a second, and the workers' CPU milliseconds for each."""
    tally, before = Tally(name), sum(map(cpu_seconds, pids))
    await run_turn(testbed, tally, journey_starter("once"), numbers)
    return tally.rate, 1e3 * (sum(map(cpu_seconds, pids)) - before) / len(numbers)


async def measure_growth(testbed: Testbed, each: int) -> list[Growth]:
    """Measure the throughput of one, two and four worker processes."""
    found: list[Growth] = []
    async with AsyncExitStack() as stack:
        pids, first = [testbed.worker], 1_000_000
        for processes in (1, 2, 4):
            while len(pids) < processes:
                words = ("--work", testbed.address, testbed.store, testbed.receiver, "smtp://127.0.0.1:1025", "0")
                pids.append(await stack.enter_async_context(run_worker_process("benchmarks.journeys", *words)))
            await _measure_throughput(testbed, pids, "warm", range(first, first + 40))
            first += 40
            slowing = [asyncio.create_task(_throttle(pid, _CORE_SHARE)) for pid in pids]
            rate, worker = await _measure_throughput(testbed, pids, "slow", range(first, first + processes * each))
            first += processes * each
            for task in slowing:
                task.cancel()
            await asyncio.gather(*slowing, return_exceptions=True)
            found.append(Growth(processes, rate, worker))
    return found


async def measure(count: int, each: int) -> dict[str, Any]:
    """Measure everything. Return the run."""
    scenarios = {**_SCENARIOS, **CAMPAIGNS}
    with run_postgresql() as database:
        async with run_testbed(scenarios, store=database.schema()) as testbed:
            async with run_gateway(testbed) as gateway, Store.open(testbed.store) as store:
                bench = Bench(testbed, gateway, database, store, ScenarioClient(testbed.client, store))
                costs = await measure_costs(bench, count)
            growth = await measure_growth(testbed, each)
    return {
        "journeys": count,
        "cores": os.cpu_count(),
        "costs": {
            name: {part: round(value, 3) for part, value in asdict(cost).items()} for name, cost in costs.items()
        },
        "growth": [{name: round(value, 2) for name, value in asdict(one).items()} for one in growth],
    }


# ---- the page


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join([_row(*header), _row(*["---"] * len(header)), *(_row(*row) for row in rows)])


def _costs(run: Mapping[str, Any]) -> dict[str, UnitCost]:
    return {name: UnitCost(**parts) for name, parts in run["costs"].items()}


def _reference(costs: Mapping[str, UnitCost]) -> UnitCost:
    """Return the cost of the reference journey, from which the page calculates the resources."""
    return costs["journey"] + costs["delivery"] * DELIVERIES + costs["wait"] * WAITS


def _cell(number: float, digits: int) -> str:
    """Return a number, or nothing if it is too small to be seen."""
    shown = f"{number:,.{digits}f}"
    return shown if number > 0 and shown.strip("0.") else ""


_NAMES: Final = {
    "journey": "a journey: start, admission, end",
    "delivery": "a webhook",
    "wait": "a wait",
    "entry": "an entry through the API, besides its journey",
    "line": "a line of a campaign in the gear *enter*, besides its journey",
    "blast": "a line of a campaign in the gear *blast*, whole",
}


def units(run: Mapping[str, Any]) -> str:
    """Return the table of unit costs."""
    costs = _costs(run)
    rows = [(name, costs[key]) for key, name in _NAMES.items()]
    rows.append((f"the journey below: {DELIVERIES} webhooks, {WAITS} waits", _reference(costs)))
    header = ("", *(f"{word} ms" for word in _WORDS), "statements", "store, bytes", "history, bytes", "actions")
    return _table(
        header,
        [
            (
                name,
                *(_cell(getattr(cost, word), 1) for word in (*_WORDS, "statements")),
                *(_cell(number, 0) for number in (cost.store, cost.history, cost.actions)),
            )
            for name, cost in rows
        ],
    )


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1_000:
            return f"{number:,.0f} {unit}"
        number /= 1_000
    return f"{number:,.1f} TB"


def needs(run: Mapping[str, Any]) -> str:
    """Return the table of resources by the number of journeys a day."""
    costs = _costs(run)
    one = _reference(costs) + costs["entry"]

    def cores(rate: float, milliseconds: float) -> str:
        return f"{max(math.ceil(10 * rate * milliseconds / 1e3 / PEAK_UTILIZATION) / 10, 0.1):,.1f}"

    columns: list[list[str]] = []
    for volume in VOLUMES:
        average = volume / 86_400
        peak = PEAK_FACTOR * average
        columns.append(
            [
                f"{average:,.0f}, {peak:,.0f}",
                f"{peak * DELIVERIES:,.0f}",
                f"{max(2, math.ceil(peak * one.worker / 1e3 / PEAK_UTILIZATION)):,}",
                f"{max(2, math.ceil(peak * one.gateway / 1e3 / PEAK_UTILIZATION)):,}",
                cores(peak, one.postgresql),
                f"{peak * one.statements:,.0f}",
                f"{_size(volume * one.store)}, {_size(volume * one.store * STORE_DAYS)}",
                cores(peak, one.temporal),
                f"{peak * one.actions:,.0f}",
                f"{volume * one.actions / 1e6:,.0f} million",
                _size(volume * one.history * (JOURNEY_DAYS + HISTORY_DAYS)),
                f"{math.ceil(peak * DELIVERIES / PARTITION_RATE):,}",
            ]
        )
    names = (
        *("journeys a second: average, peak", "webhooks a second", "worker processes (a core each)"),
        *("gateway processes", "PostgreSQL: cores", "PostgreSQL: statements a second"),
        f"store: a day, and {STORE_DAYS} days",
        *("Temporal and its database: cores", "Temporal: actions a second", "Temporal: actions a day"),
        f"Temporal: histories of {JOURNEY_DAYS} days running and {HISTORY_DAYS} days ended",
        "`SCENARIO_QUEUE_SHARDS`",
    )
    rows = [(name, *(column[number] for column in columns)) for number, name in enumerate(names)]
    return _table(("journeys a day", *(f"{volume // 1_000_000} million" for volume in VOLUMES)), rows)


def growth(run: Mapping[str, Any]) -> str:
    """Return the table of throughput by the number of worker processes."""
    found = [Growth(**one) for one in run["growth"]]
    base = found[0]
    return _table(
        (f"worker processes, each with {_CORE_SHARE:.0%} of a core", "journeys a second", "worker ms a journey"),
        [(one.processes, f"{one.rate / base.rate:.2f} times", f"{one.worker:.1f}") for one in found],
    )


def write_page(page: str, run: Mapping[str, Any]) -> str:
    """Return the page with the tables of a run between their markers."""
    for name, table in (("units", units(run)), ("needs", needs(run)), ("growth", growth(run))):
        before, begin, rest = page.partition(f"<!-- {name}: written by benchmarks.capacity -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            raise SystemExit(f"{PAGE} has no markers of the table '{name}'")
        page = f"{before}{begin}\n{table}\n\n{end}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure unit costs, and calculate the resources for a number of journeys a day."
    )
    parser.add_argument("--recalculate", action="store_true", help="only write the tables of the latest run")
    parser.add_argument("--count", type=int, default=300, help="journeys, entries and lines of each kind")
    parser.add_argument("--each", type=int, default=40, help="journeys for each slowed worker process")
    options = parser.parse_args()
    if not options.recalculate:
        RUN.write_text(json.dumps(asyncio.run(measure(options.count, options.each)), indent=2) + "\n")
    run = json.loads(RUN.read_text())
    PAGE.write_text(write_page(PAGE.read_text(), run))
    say(f"{units(run)}\n\n{needs(run)}\n\n{growth(run)}")


if __name__ == "__main__":
    main()
    exit_process(0)
