"""Unit costs of journeys, deliveries and campaign lines, and what so many journeys a day need.

Run by hand, from the project's folder: ``python -m benchmarks.capacity``. It measures on this machine, writes the run
into ``benchmarks/capacity.json``, and the tables of ``docs/run/capacity.md`` between their markers.
``--recalculate`` only does the latter, for example after a change of the assumptions below.

Processor time and counts hold on a busy machine; times by the clock do not, so none is on the page. To show that
throughput grows with worker processes although all share a few cores, each gets a small share of a core.
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

from benchmarks.api import gateway
from benchmarks.campaigns import SCENARIOS as CAMPAIGNS
from benchmarks.campaigns import Bench, postgresql
from benchmarks.journeys import Place, Tally, cpu, journey, place, process, say, scenario, turn
from gateway.client import ScenarioClient
from runtime.process.shutdown import exit_process
from runtime.store import Store

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ROOT / "benchmarks" / "capacity.json"
PAGE: Final = ROOT / "docs" / "run" / "capacity.md"

# ---- assumptions, which the page states

VOLUMES: Final = (1_000_000, 10_000_000, 100_000_000)
"""Journeys a day."""
DELIVERIES: Final = 3
WAITS: Final = 2
PEAK: Final = 3.0
"""The busiest hour, as a multiple of the day's average."""
USED: Final = 0.6
"""Share of a core that is used at the peak."""
PARTITION: Final = 500
"""Tasks a second of a queue with one partition. A rule of thumb, not measured."""
WAITING: Final = 7
"""Days that a journey runs, on average."""
RETAINED: Final = 3
"""Days that Temporal keeps the histories of ended journeys."""
KEPT: Final = 180
"""Days that the store keeps entries and deliveries."""

_WORDS: Final = ("worker", "gateway", "postgresql", "temporal")
_SHARE: Final = 0.08
"""Share of a core of each worker process whose throughput is compared."""
_HOOK: Final = "  - webhook: {name}\n    url: https://hooks.example.com/a\n    body: {{id: '{{{{ contact.id }}}}'}}\n"
_SCENARIOS: Final = {
    "once": scenario("once", _HOOK.format(name="w0")),
    "often": scenario("often", *(_HOOK.format(name=f"w{number}") for number in range(5))),
    "waits": scenario("waits", *("  - wait: 1s\n" for _ in range(4)), _HOOK.format(name="w0")),
}


@dataclass(frozen=True)
class Cost:
    """Costs of one thing. Milliseconds of processor time, and numbers.

    Attributes:
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

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __mul__(self, number: float) -> Cost:
        return Cost(**{one.name: getattr(self, one.name) * number for one in fields(self)})

    def __sub__(self, other: Cost) -> Cost:
        return self + other * -1


# ---- measurement


async def _stored(store: Store) -> tuple[int, int]:
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
async def costing(bench: Bench, number: int) -> AsyncGenerator[dict[str, float]]:
    """Measure what happens in the context, and divide it by a number."""
    found: dict[str, float] = {}
    statements, size = await _stored(bench.store)
    before = bench.used()
    yield found
    after = bench.used()
    more, larger = await _stored(bench.store)
    names = {"worker": "worker", "gateway": "gateway", "postgresql": "PostgreSQL", "temporal": "Temporal"}
    found |= {ours: 1e3 * (after[theirs] - before[theirs]) / number for ours, theirs in names.items()}
    found |= {"statements": (more - statements) / number, "store": (larger - size) / number}


async def _journeys(bench: Bench, name: str, count: int) -> Cost:
    """Run journeys to their ends."""
    await turn(bench.at, Tally(name), journey(name), range(900_000, 900_030))
    tally = Tally(name)
    async with costing(bench, count) as found:
        await turn(bench.at, tally, journey(name), range(count))
    handle = tally.handles[-1]
    info = (await handle.describe()).raw_description.workflow_execution_info
    return Cost(**found | {"history": info.history_size_bytes, "actions": await _actions(handle)})


async def _actions(handle: Any) -> int:
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
async def standing(worker: int) -> AsyncGenerator[None]:
    """Let a worker stand still, so that only what others do is measured."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def _way_in(found: Mapping[str, float]) -> Cost:
    """Return the cost of a way to enter, besides the journey."""
    return Cost(**{name: found[name] for name in ("gateway", "postgresql", "statements", "store")})


async def _entries(bench: Bench, count: int) -> Cost:
    """Enter contacts one by one through the API."""
    async with standing(bench.at.worker), costing(bench, count) as found:
        for number in range(count):
            await bench.by.enter("sale", 500_000 + number)
    return _way_in(found)


async def _lines(bench: Bench, count: int) -> Cost:
    """Start a campaign in the gear *enter*, from the upload of its file to its end."""
    async with standing(bench.at.worker), costing(bench, count) as found:
        await bench.begin("lines", "sale", count)
        await bench.ended("lines", count, [])
    return _way_in(found)


async def _blast(bench: Bench, count: int) -> Cost:
    """Send a campaign in the gear *blast*, from the upload of its file to its end."""
    async with costing(bench, count) as found:
        await bench.begin("blast", "offer", count)
        await bench.ended("blast", count, [])
    return Cost(**found)


async def measure_costs(bench: Bench, count: int) -> dict[str, Cost]:
    """Measure the unit costs. Those of a delivery and a wait are differences between journeys."""
    once, often, waits = [await _journeys(bench, name, count) for name in _SCENARIOS]
    delivery, wait = (often - once) * (1 / 4), (waits - once) * (1 / 4)
    found = {"journey": once - delivery, "delivery": delivery, "wait": wait}
    found |= {"entry": await _entries(bench, count), "line": await _lines(bench, count)}
    while len(await bench.store.entries(scenario="sale", limit=2 * count)) < 2 * count:
        await asyncio.sleep(1)  # the worker admits those that it missed
    return found | {"blast": await _blast(bench, 10 * count)}


async def _throttle(pid: int, share: float) -> None:
    """Keep a process at a share of a core, by stopping and continuing it."""
    began, before, stopped = time.monotonic(), cpu(pid), False
    try:
        while True:
            await asyncio.sleep(0.02)
            ahead = cpu(pid) - before > share * (time.monotonic() - began)
            if ahead != stopped:
                os.kill(pid, signal.SIGSTOP if ahead else signal.SIGCONT)
                stopped = ahead
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Growth:
    """The throughput of some worker processes.

    Attributes:
        rate: Journeys a second, with a small share of a core for each process.
        worker: Milliseconds of processor time of all of them for a journey.
    """

    processes: int
    rate: float
    worker: float


async def _throughput(at: Place, pids: Sequence[int], name: str, numbers: range) -> tuple[float, float]:
    """Run journeys to their ends. Return their rate, and the workers' milliseconds for each."""
    tally, before = Tally(name), sum(map(cpu, pids))
    await turn(at, tally, journey("once"), numbers)
    return tally.rate, 1e3 * (sum(map(cpu, pids)) - before) / len(numbers)


async def measure_growth(at: Place, each: int) -> list[Growth]:
    """Measure the throughput of one, two and four worker processes."""
    found: list[Growth] = []
    async with AsyncExitStack() as stack:
        pids, first = [at.worker], 1_000_000
        for processes in (1, 2, 4):
            while len(pids) < processes:
                words = ("--work", at.address, at.store, at.receiver, "smtp://127.0.0.1:1025", "0")
                pids.append(await stack.enter_async_context(process("benchmarks.journeys", *words)))
            await _throughput(at, pids, "warm", range(first, first + 40))
            first += 40
            slowing = [asyncio.create_task(_throttle(pid, _SHARE)) for pid in pids]
            rate, worker = await _throughput(at, pids, "slow", range(first, first + processes * each))
            first += processes * each
            for task in slowing:
                task.cancel()
            await asyncio.gather(*slowing, return_exceptions=True)
            found.append(Growth(processes, rate, worker))
    return found


async def measure(count: int, each: int) -> dict[str, Any]:
    """Measure everything. Return the run."""
    scenarios = {**_SCENARIOS, **CAMPAIGNS}
    with postgresql() as database:
        async with place(scenarios, store=database.schema()) as at:
            async with gateway(at) as by, Store.open(at.store) as store:
                bench = Bench(at, by, database, store, ScenarioClient(at.client, store))
                costs = await measure_costs(bench, count)
            growth = await measure_growth(at, each)
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


def _costs(run: Mapping[str, Any]) -> dict[str, Cost]:
    return {name: Cost(**parts) for name, parts in run["costs"].items()}


def _reference(costs: Mapping[str, Cost]) -> Cost:
    """Return the cost of the journey that the page calculates with."""
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
    """Return the table of what so many journeys a day need."""
    costs = _costs(run)
    one = _reference(costs) + costs["entry"]

    def cores(rate: float, milliseconds: float) -> str:
        return f"{max(math.ceil(10 * rate * milliseconds / 1e3 / USED) / 10, 0.1):,.1f}"

    columns: list[list[str]] = []
    for volume in VOLUMES:
        average = volume / 86_400
        peak = PEAK * average
        columns.append(
            [
                f"{average:,.0f}, {peak:,.0f}",
                f"{peak * DELIVERIES:,.0f}",
                f"{max(2, math.ceil(peak * one.worker / 1e3 / USED)):,}",
                f"{max(2, math.ceil(peak * one.gateway / 1e3 / USED)):,}",
                cores(peak, one.postgresql),
                f"{peak * one.statements:,.0f}",
                f"{_size(volume * one.store)}, {_size(volume * one.store * KEPT)}",
                cores(peak, one.temporal),
                f"{peak * one.actions:,.0f}",
                f"{volume * one.actions / 1e6:,.0f} million",
                _size(volume * one.history * (WAITING + RETAINED)),
                f"{math.ceil(peak * DELIVERIES / PARTITION):,}",
            ]
        )
    names = (
        *("journeys a second: average, peak", "webhooks a second", "worker processes (a core each)"),
        *("gateway processes", "PostgreSQL: cores", "PostgreSQL: statements a second"),
        f"store: a day, and {KEPT} days",
        *("Temporal and its database: cores", "Temporal: actions a second", "Temporal: actions a day"),
        f"Temporal: histories of {WAITING} days running and {RETAINED} days ended",
        "`SCENARIO_QUEUE_SHARDS`",
    )
    rows = [(name, *(column[number] for column in columns)) for number, name in enumerate(names)]
    return _table(("journeys a day", *(f"{volume // 1_000_000} million" for volume in VOLUMES)), rows)


def growth(run: Mapping[str, Any]) -> str:
    """Return the table of worker processes."""
    found = [Growth(**one) for one in run["growth"]]
    base = found[0]
    return _table(
        (f"worker processes, each with {_SHARE:.0%} of a core", "journeys a second", "worker ms a journey"),
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
    """The command line."""
    parser = argparse.ArgumentParser(description="What so many journeys a day need.")
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
