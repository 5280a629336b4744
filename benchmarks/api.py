"""The rate of entries through the HTTP API compared with bare starts, and the time of pages with many journeys.

Run by hand, from the project's folder: ``python -m benchmarks.api``. The gateway runs in a separate process, as in
production. The ways to enter contacts take turns in one run, on one dev server and one worker, so that their ratios
hold on a busy machine. ``--parked 20000`` adds 20,000 journeys to a scenario's map. They are workflows without a
worker, with the search attributes and the store's row of a waiting journey: real ones would take the worker minutes.
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

from benchmarks.bulk import IN_FLIGHT, run_concurrently, start_journey
from benchmarks.journeys import Testbed, cpu_seconds, make_entry, run_testbed, say, scenario_text
from runtime import search_attributes
from runtime.api_keys import SCOPES, ApiKey, make_token
from runtime.process.shutdown import exit_process
from runtime.store import AdmissionRequest, Store

BATCH: Final = 250
_ADMISSION_TIMEOUT: Final = 30.0
WAYS: Final = ("bare", "single", "batch")
SCENARIOS: Final = {name: scenario_text(name, "  - wait: 30d\n") for name in (*WAYS, "load", "parked")}


@dataclass(frozen=True)
class Gateway:
    """A running gateway, and a client of it."""

    session: aiohttp.ClientSession
    url: str
    pid: int

    async def enter(self, name: str, number: int) -> None:
        async with self.session.post(f"{self.url}/v1/entries", json=make_entry(name, number)) as answer:
            if answer.status != 202:
                raise SystemExit(f"not entered: {answer.status} {await answer.text()}")

    async def enter_many(self, name: str, first: int, count: int) -> None:
        given = [make_entry(name, number) for number in range(first, first + count)]
        async with self.session.post(f"{self.url}/v1/entries/batch", json=given) as answer:
            body: dict[str, Any] = await answer.json()
            if body.get("accepted") != count:
                raise SystemExit(f"not all entered: {json.dumps(body)[:500]}")


@asynccontextmanager
async def run_gateway(testbed: Testbed) -> AsyncGenerator[Gateway]:
    """Run ``scenario serve --api --pages`` with a new API key."""
    token, identifier, digest = make_token()
    async with Store.open(testbed.store) as store:
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", datetime.now(UTC), "bench"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from cli import main; main()", "serve", "--api", "--pages", "--port", "0"),
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "TEMPORAL_ADDRESS": testbed.address,
            "SCENARIO_STORE": testbed.store,
            "PYTHONPYCACHEPREFIX": str(testbed.state / "compiled"),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        if process.stderr is None:
            raise SystemExit("the gateway has no error output")
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


async def compare_rates(testbed: Testbed, gateway: Gateway, count: int, rounds: int) -> float:
    """Enter contacts in each way in turns. Return the rate of single entries a second."""
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    used: dict[str, float] = dict.fromkeys(WAYS, 0.0)
    for turn in range(rounds + 1):
        numbers = range(turn * count, (turn + 1) * count)
        for name in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            before = cpu_seconds(gateway.pid)
            if name == "bare":
                seconds = await run_concurrently(lambda number: start_journey(testbed.client, "bare", number), numbers)
            elif name == "single":
                seconds = await run_concurrently(lambda number: gateway.enter("single", number), numbers)
            else:
                began = time.perf_counter()
                for first in range(numbers.start, numbers.stop, BATCH):
                    await gateway.enter_many("batch", first, min(BATCH, numbers.stop - first))
                seconds = time.perf_counter() - began
            await wait_until_admitted(testbed)
            if turn:  # the first turn only warms up
                took[name].append(seconds)
                used[name] += cpu_seconds(gateway.pid) - before
    best = {name: statistics.median(each) for name, each in took.items()}
    for name in WAYS:
        each = 1000 * used[name] / (count * rounds)
        say(
            f"{name:8} {count / best[name]:7.0f} a second, {best['bare'] / best[name]:.2f} of bare starts, "
            f"gateway CPU {each:.2f} ms each"
        )
    return count / best["single"]


async def wait_until_admitted(testbed: Testbed) -> None:
    """Wait until the worker has admitted all contacts, half a minute at most, so that each turn finds it idle."""
    query = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND JourneyState IS NULL"
    end = time.perf_counter() + _ADMISSION_TIMEOUT
    while (await testbed.client.count_workflows(query)).count and time.perf_counter() < end:
        await asyncio.sleep(0.5)


async def measure_latency(gateway: Gateway, rate: float, seconds: float) -> None:
    """Enter contacts at a constant rate, and print percentiles of the response time."""
    waited: list[float] = []

    async def one(number: int, due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        began = time.perf_counter()
        await gateway.enter("load", number)
        waited.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter() + 0.1
    await asyncio.gather(*(one(number, began + number / rate) for number in range(int(rate * seconds))))
    cut = statistics.quantiles(waited, n=100)
    say(f"at {rate:.0f} a second: p50 {cut[49]:.1f} ms, p99 {cut[98]:.1f} ms, of {len(waited)}")


async def measure_pages(testbed: Testbed, gateway: Gateway, parked: int) -> None:
    """Park journeys, and print the times of pages: of the first request, and of later ones with cached counts."""

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
        await testbed.client.start_workflow(
            "Journey", id=name, task_queue="nobody", search_attributes=TypedSearchAttributes(pairs)
        )
        asking = AdmissionRequest("parked", 1, str(number), None, name, "run", "always", datetime.now(UTC))
        await store.admit(asking)

    async with Store.open(f"sqlite:///{testbed.state / 'store.db'}") as store:
        took = await run_concurrently(park, range(parked))
    say(f"{parked:,} parked in {took:.0f} s")
    await asyncio.sleep(2)  # search lags
    for path in ("/scenarios/parked", "/v1/stats/parked", "/held", "/"):
        times: list[float] = []
        server: list[float] = []
        for turn in range(21):
            before, began = cpu_seconds(gateway.pid), time.perf_counter()
            async with gateway.session.get(gateway.url + path) as answer:
                size = len(await answer.read())
                if answer.status != 200:
                    raise SystemExit(f"{path} returned {answer.status}")
            times.append(1000 * (time.perf_counter() - began))
            server.append(1000 * (cpu_seconds(gateway.pid) - before))
            if not turn:
                say(f"{path}: first {times[0]:.0f} ms, {size / 1000:.0f} kB")
        say(
            f"{path}: later {statistics.median(times[1:]):.1f} ms, slowest {max(times[1:]):.1f} ms; "
            f"gateway CPU {statistics.mean(server[1:]):.1f} ms each"
        )


async def measure(options: argparse.Namespace) -> None:
    """Run the measurements that the options select."""
    async with run_testbed(SCENARIOS) as testbed, run_gateway(testbed) as gateway:
        await sign_in(gateway)
        if options.count:
            single = await compare_rates(testbed, gateway, options.count, options.rounds)
            await measure_latency(gateway, single / 2, options.seconds)
            await wait_until_admitted(testbed)
        if options.parked:
            await measure_pages(testbed, gateway, options.parked)


async def sign_in(gateway: Gateway) -> None:
    """Start a session for the pages."""
    key = gateway.session.headers["authorization"].removeprefix("Bearer ")
    async with gateway.session.post(
        f"{gateway.url}/sign-in", data={"key": key, "next": "/"}, allow_redirects=False
    ) as answer:
        if answer.status != 303:
            raise SystemExit(f"not signed in: {answer.status}")
        cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
    gateway.session.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="entries in each round and way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds at half of the rate of single entries")
    parser.add_argument("--parked", type=int, default=20_000)
    asyncio.run(measure(parser.parse_args()))
    exit_process(0)


if __name__ == "__main__":
    main()
