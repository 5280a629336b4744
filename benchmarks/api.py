"""Entries through the HTTP API against bare starts of the same workflow, and a scenario's page with many on it.

Run by hand, from the project's folder: ``python -m benchmarks.api``. The gateway is its own process, as people
run it. Ways to let contacts in take turns in one run, on one dev server and one worker, so their ratios hold on a busy
machine. ``--parked 20000`` puts so many journeys on a scenario's map: workflows without a worker, with the search
attributes and the row in the store that a waiting journey has, since 20,000 real ones would take the worker minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.bulk import IN_FLIGHT, side_by_side, start
from benchmarks.journeys import Place, cpu, entry, place, say, scenario
from runtime import search_attributes
from runtime.api_keys import SCOPES, ApiKey, make_token
from runtime.process.shutdown import exit_process
from runtime.store import AdmissionRequest, Store

BATCH: Final = 250
_SETTLING: Final = 30.0
WAYS: Final = ("bare", "single", "batch")
SCENARIOS: Final = {name: scenario(name, "  - wait: 30d\n") for name in (*WAYS, "load", "parked")}


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, and a client of it."""

    session: aiohttp.ClientSession
    url: str
    pid: int

    async def enter(self, name: str, number: int) -> None:
        """Lets one in."""
        async with self.session.post(f"{self.url}/v1/entries", json=entry(name, number)) as answer:
            if answer.status != 202:
                raise SystemExit(f"not entered: {answer.status} {await answer.text()}")

    async def enter_many(self, name: str, first: int, count: int) -> None:
        """Lets a batch in."""
        given = [entry(name, number) for number in range(first, first + count)]
        async with self.session.post(f"{self.url}/v1/entries/batch", json=given) as answer:
            body: dict[str, Any] = await answer.json()
            if body.get("accepted") != count:
                raise SystemExit(f"not all entered: {json.dumps(body)[:500]}")


@asynccontextmanager
async def gateway(at: Place) -> AsyncGenerator[Gateway]:
    """Runs ``scenario serve --api --pages`` with a key for it, and ends it."""
    token, identifier, digest = make_token()
    async with Store.open(at.store) as store:
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", datetime.now(UTC), "bench"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from gateway.cli import main; main()", "serve", "--api", "--pages", "--port", "0"),
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "TEMPORAL_ADDRESS": at.address,
            "SCENARIO_STORE": at.store,
            "PYTHONPYCACHEPREFIX": str(at.state / "compiled"),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        if process.stderr is None:
            raise SystemExit("no log")
        line = b""
        while b"listening on port " not in line:
            line = await process.stderr.readline()
            if not line:
                raise SystemExit("the gateway did not start")
        port = int(line.split(b"port ")[1].split()[0])
        draining = asyncio.create_task(process.stderr.read())
        headers = {"authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=2 * IN_FLIGHT)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            yield Gateway(session, f"http://127.0.0.1:{port}", process.pid)
        draining.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def race(at: Place, by: Gateway, count: int, rounds: int) -> float:
    """Lets contacts in by each way in turns; gives entries a second one by one."""
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    used: dict[str, float] = dict.fromkeys(WAYS, 0.0)
    for turn in range(rounds + 1):
        numbers = range(turn * count, (turn + 1) * count)
        for name in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            before = cpu(by.pid)
            if name == "bare":
                seconds = await side_by_side(lambda number: start(at.client, "bare", number), numbers)
            elif name == "single":
                seconds = await side_by_side(lambda number: by.enter("single", number), numbers)
            else:
                began = time.perf_counter()
                for first in range(numbers.start, numbers.stop, BATCH):
                    await by.enter_many("batch", first, min(BATCH, numbers.stop - first))
                seconds = time.perf_counter() - began
            await settled(at)
            if turn:  # the first is to warm up
                took[name].append(seconds)
                used[name] += cpu(by.pid) - before
    best = {name: statistics.median(each) for name, each in took.items()}
    for name in WAYS:
        each = 1000 * used[name] / (count * rounds)
        say(
            f"{name:8} {count / best[name]:7.0f} a second, {best['bare'] / best[name]:.2f} of bare starts, "
            f"gateway CPU {each:.2f} ms each"
        )
    return count / best["single"]


async def settled(at: Place) -> None:
    """Waits until the worker has admitted everybody, for a while: each turn is to find it with nothing to do."""
    query = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND JourneyState IS NULL"
    end = time.perf_counter() + _SETTLING
    while (await at.client.count_workflows(query)).count and time.perf_counter() < end:
        await asyncio.sleep(0.5)


async def latency(by: Gateway, rate: float, seconds: float) -> None:
    """Lets contacts in evenly at a rate, and tells how long each waited for its answer."""
    waited: list[float] = []

    async def one(number: int, at: float) -> None:
        await asyncio.sleep(at - time.perf_counter())
        began = time.perf_counter()
        await by.enter("load", number)
        waited.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter() + 0.1
    await asyncio.gather(*(one(number, began + number / rate) for number in range(int(rate * seconds))))
    cut = statistics.quantiles(waited, n=100)
    say(f"at {rate:.0f} a second: p50 {cut[49]:.1f} ms, p99 {cut[98]:.1f} ms, of {len(waited)}")


async def page(at: Place, by: Gateway, parked: int) -> None:
    """Parks journeys, and asks for their scenario's page: the first time, and when its counts are remembered."""

    async def park(number: int) -> None:
        given = {
            search_attributes.SCENARIO_NAME: "parked",
            search_attributes.SCENARIO_VERSION: "parked@1",
            search_attributes.CONTACT_ID: str(number),
            search_attributes.STEP_ID: "wait-1",
            search_attributes.JOURNEY_STATE: "waiting",
        }
        pairs = [SearchAttributePair(key, value) for key, value in given.items()]
        name = f"parked/{number}"
        await at.client.start_workflow(
            "Journey", id=name, task_queue="nobody", search_attributes=TypedSearchAttributes(pairs)
        )
        asking = AdmissionRequest("parked", 1, str(number), None, name, "run", "always", datetime.now(UTC))
        await store.admit(asking)

    async with Store.open(f"sqlite:///{at.state / 'store.db'}") as store:
        took = await side_by_side(park, range(parked))
    say(f"{parked:,} parked in {took:.0f} s")
    await asyncio.sleep(2)  # search is some moments behind
    for path in ("/scenarios/parked", "/v1/stats/parked", "/held", "/"):
        times: list[float] = []
        server: list[float] = []
        for turn in range(21):
            before, began = cpu(by.pid), time.perf_counter()
            async with by.session.get(by.url + path) as answer:
                size = len(await answer.read())
                if answer.status != 200:
                    raise SystemExit(f"{path} answers {answer.status}")
            times.append(1000 * (time.perf_counter() - began))
            server.append(1000 * (cpu(by.pid) - before))
            if not turn:
                say(f"{path}: first {times[0]:.0f} ms, {size / 1000:.0f} kB")
        say(
            f"{path}: then {statistics.median(times[1:]):.1f} ms, slowest {max(times[1:]):.1f} ms; "
            f"gateway CPU {statistics.mean(server[1:]):.1f} ms each"
        )


async def measure(options: argparse.Namespace) -> None:
    """Everything that was asked for."""
    async with place(SCENARIOS) as at, gateway(at) as by:
        await sign_in(by)
        if options.count:
            single = await race(at, by, options.count, options.rounds)
            await latency(by, single / 2, options.seconds)
            await settled(at)
        if options.parked:
            await page(at, by, options.parked)


async def sign_in(by: Gateway) -> None:
    """Begins a session, for the pages."""
    key = by.session.headers["authorization"].removeprefix("Bearer ")
    async with by.session.post(f"{by.url}/sign-in", data={"key": key, "next": "/"}, allow_redirects=False) as answer:
        if answer.status != 303:
            raise SystemExit(f"not signed in: {answer.status}")
        cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
    by.session.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())


def main() -> None:
    """Parse the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="entries of a round and way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of half load")
    parser.add_argument("--parked", type=int, default=20_000)
    asyncio.run(measure(parser.parse_args()))
    exit_process(0)


if __name__ == "__main__":
    main()
