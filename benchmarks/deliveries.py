"""The cost of a delivery compared with bare clients that send the same bytes: rate, CPU, connections and memory.

Run by hand, from the project's folder: ``python -m benchmarks.deliveries``. The sender is pinned to one core, and the
receiver's process to another. All clients take turns in one run, so that their ratios hold on a busy machine. *Ours* is
the whole activity, from the template to the outcome and its row for the log, but without Temporal. *Our transport* is
the HTTP client alone. ``--memory 100000`` measures memory over 100,000 deliveries.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httpx
from temporalio.testing import ActivityEnvironment
from typing_extensions import override

from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import WEBHOOK
from activities.content import Content
from activities.interface import Delivery
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter, Limits
from activities.webhook.rendering import render
from activities.webhook.route import Direct, Route
from runtime.process.workers import tune_garbage_collection
from runtime.store import Attempt
from runtime.store.versions import StoredVersion, Versions
from scenario.check.check import check
from scenario.http.urls import Access
from scenario.model.scenario import document
from scenario.plan.compile import compile_plan
from tests.fakes import worker_context

IN_FLIGHT: Final = (1, 8, 32, 100)
DELAYS: Final = (0, 50)
CLIENTS: Final = ("bare aiohttp", "bare httpx", "our transport", "ours")
_TURNS: Final = 10
_WARM: Final = 0.3
"""Seconds for each client to open its connections."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

SCENARIO: Final = """\
scenario: bench
trigger: order
steps:
  - webhook: whatsapp
    url: https://hooks.example.com/bench
    body: |
      {"phone_number": "{{ contact.cellphone }}", "first_name": "{{ contact.firstname }}",
       "order": "{{ order.external_id }}",
       "lines": [{% for p in order.products %}{"name": "{{ p.name }}", "quantity": {{ p.quantity }}}
         {% unless forloop.last %},{% endunless %}{% endfor %}]}
"""
DATA: Final[dict[str, Any]] = {
    "contact": {"cellphone": "+33612345678", "firstname": 'Zoé "Zed"'},
    "order": {
        "external_id": "CGX0094",
        "products": [{"name": f"Product {number}, a red one", "quantity": number} for number in range(1, 11)],
    },
}


def say(line: str) -> None:
    """Print a line immediately."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


Sender = Callable[[], Awaitable[None]]


class SingleVersionStore(Versions):
    """A store with a single version of a scenario."""

    def __init__(self) -> None:
        checked = check(SCENARIO)
        if checked.scenario is None:
            raise SystemExit(str(checked.findings))
        compile_plan(checked.scenario)
        self.only = StoredVersion("bench", 1, document(checked.scenario), {}, "", datetime.now(UTC))

    @override
    async def newest(self, scenario: str) -> int:
        del scenario
        return self.only.version

    @override
    async def version(self, scenario: str, version: int | None = None) -> StoredVersion:
        del scenario, version
        return self.only


class NoLog:
    """A log that discards attempts."""

    def put(self, attempt: Attempt) -> None:
        del attempt

    async def delivered(self, delivery_id: str) -> None:
        del delivery_id


class ReceiverRoutes(Direct):
    """Routes to the receiver, with a concurrency limit that the measurement never exceeds. The default is 50."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self._access = Access(allow_private=True, allow_http=True, ports=(urlsplit(base).port or 80,))
        self._limits = Limits(concurrency=max(IN_FLIGHT))

    def find(self, url: str) -> Route:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return Route(f"{self._base}/{host}{parts.path}", host, access=self._access, limits=self._limits)


def attempt_environment() -> ActivityEnvironment:
    """Return an activity environment with a timeout of an hour and no deadline."""
    environment = ActivityEnvironment()
    hour = timedelta(hours=1)
    environment.info = replace(environment.info, schedule_to_close_timeout=None, start_to_close_timeout=hour)
    return environment


class EchoProcess:
    """A receiver process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def stop(self) -> tuple[int, int]:
        """Stop the receiver. Return its numbers of requests and connections."""
        out, _ = self.process.communicate()
        requests, connections = out.split()
        return int(requests), int(connections)


@contextlib.contextmanager
def run_receiver(delay: int, core: int) -> Any:
    """Run a receiver that responds after `delay` milliseconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.echo", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        yield EchoProcess(process, int(process.stdout.readline()))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@asynccontextmanager
async def open_clients(port: int) -> AsyncGenerator[dict[str, Sender]]:
    """Open all clients. Yield their functions, which send the same bytes."""
    store = SingleVersionStore()
    content = Content(store)
    step = (await content.open("bench", 1)).steps["whatsapp"]
    rendered = render(step, DATA, "msg_" + "0" * 32)  # pyright: ignore[reportArgumentType] - it is a webhook
    url, headers = f"http://127.0.0.1:{port}/hooks.example.com/bench", dict(rendered.headers)
    access = Access(allow_private=True, allow_http=True, ports=(port,))
    delivery = Delivery(
        id="msg_" + "0" * 32,
        scenario="bench@1",
        step="whatsapp",
        contact="1",
        now="2026-06-01T10:00:00+02:00",
        data=DATA,
    )
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(httpx.AsyncClient(timeout=15))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        transport = await stack.enter_async_context(Transport())
        routes, gate = ReceiverRoutes(f"http://127.0.0.1:{port}"), Limiter(slots=4 * max(IN_FLIGHT))
        services = worker_context(content, NoLog(), transport=transport, routes=routes, limiter=gate)
        send = sending_activity(ChannelActivity[None](WEBHOOK, services))

        async def by_httpx() -> None:
            (await plain.post(url, content=rendered.body, headers=headers)).raise_for_status()

        async def by_aiohttp() -> None:
            async with session.post(url, data=rendered.body, headers=headers) as response:
                await response.read()
                response.raise_for_status()

        async def by_transport() -> None:
            request = Request("POST", url, headers, rendered.body, access=access)
            assert (await transport.send(request)).status == 200

        async def by_activity() -> None:
            sent = await send(delivery)
            assert sent.outcome == "delivered"

        yield {"bare aiohttp": by_aiohttp, "bare httpx": by_httpx, "our transport": by_transport, "ours": by_activity}


@dataclass(frozen=True)
class Figures:
    """Deliveries a second, CPU milliseconds a delivery, and the share of requests on reused connections."""

    rate: float
    cpu: float
    reused: float


async def measure(send: Sender, in_flight: int, seconds: float) -> tuple[int, float, float]:
    """Send for some seconds. Return the number of deliveries, the elapsed seconds and the CPU seconds."""
    end = time.perf_counter() + seconds
    sent = 0

    async def lane() -> None:
        nonlocal sent
        while time.perf_counter() < end:
            await send()
            sent += 1

    started, used = time.perf_counter(), time.process_time()
    environment = attempt_environment()  # once a lane, to exclude the SDK's own cost of an activity
    await asyncio.gather(*(environment.run(lane) for _ in range(in_flight)))
    return sent, time.perf_counter() - started, time.process_time() - used


async def compare(in_flight: int, delay: int, seconds: float) -> dict[str, Figures]:
    """Measure all clients in turns, each with its own receiver and open connections."""
    figures: dict[str, Figures] = {}
    async with AsyncExitStack() as stack:
        ends: dict[str, tuple[EchoProcess, Sender]] = {}
        for name in CLIENTS:
            receiver = stack.enter_context(run_receiver(delay, _cores()[1]))
            ways = await stack.enter_async_context(open_clients(receiver.port))
            ends[name] = receiver, ways[name]
        for _, send in ends.values():
            await measure(send, in_flight, _WARM)
        tune_garbage_collection()
        turns = [
            {name: await measure(send, in_flight, seconds / _TURNS) for name, (_, send) in ends.items()}
            for _ in range(_TURNS)
        ]
        for name, (receiver, _) in ends.items():
            sent, passed, used = map(sum, zip(*(turn[name] for turn in turns), strict=True))
            requests, connections = receiver.stop()
            figures[name] = Figures(sent / passed, 1000 * used / sent, 1 - connections / requests)
    return figures


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def _memory() -> float:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE / 1e6


async def print_rates(seconds: float, delays: Sequence[int], concurrencies: Sequence[int]) -> None:
    """Print the table of rates."""
    say("| receiver | in flight | client | a second | CPU ms a delivery | connections reused |")
    say("|---|---|---|---|---|---|")
    for delay in delays:
        for in_flight in concurrencies:
            for name, got in (await compare(in_flight, delay, seconds)).items():
                say(f"| {delay} ms | {in_flight} | {name} | {got.rate:,.0f} | {got.cpu:.2f} | {got.reused:.1%} |")


async def print_memory(deliveries: int) -> None:
    """Print memory and CPU over many deliveries."""
    say("| deliveries | MB | CPU ms a delivery |")
    say("|---|---|---|")
    with run_receiver(0, _cores()[1]) as receiver:
        async with open_clients(receiver.port) as ways:
            share, environment = max(deliveries // 10, 1), attempt_environment()
            for done in range(0, deliveries + 1, share):
                used = time.process_time()
                if done:
                    numbers = iter(range(share))

                    async def lane(numbers: Any = numbers) -> None:
                        for _ in numbers:
                            await ways["ours"]()

                    await asyncio.gather(*(environment.run(lane) for _ in range(32)))
                cost = 1000 * (time.process_time() - used) / share
                say(f"| {done:,} | {_memory():.1f} | {cost:.2f} |" if done else f"| 0 | {_memory():.1f} | |")
        requests, connections = receiver.stop()
    say(f"\n{requests:,} requests over {connections:,} connections")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each of the 32 measurements takes")
    parser.add_argument(
        "--delay", type=int, choices=DELAYS, help="measure only this delay of the receiver, in milliseconds"
    )
    parser.add_argument(
        "--in-flight", type=int, choices=IN_FLIGHT, help="measure only this number of requests in flight"
    )
    parser.add_argument("--memory", type=int, default=0, help="measure memory over this number of deliveries instead")
    given = parser.parse_args()
    os.sched_setaffinity(0, {_cores()[0]})
    delays = DELAYS if given.delay is None else (given.delay,)
    concurrencies = IN_FLIGHT if given.in_flight is None else (given.in_flight,)
    asyncio.run(print_memory(given.memory) if given.memory else print_rates(given.seconds, delays, concurrencies))


if __name__ == "__main__":
    main()
