"""A campaign without journeys compared with bare clients of the same transport: rate, CPU and memory, also with kills.

Run by hand, from the project's folder: ``python -m benchmarks.blast``. Temporal, a gateway, workers and a receiver run
in separate processes on this machine. The receiver responds to the first request of one in a hundred messages with
500. It counts messages, and repeated requests with another body. As many bare clients as workers send requests of the
same size in the same run. ``--lines 1000000 --kills 3`` kills a worker three times and the gateway once, and pauses and
resumes the campaign.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from activities.webhook.http.exchange import Request, Tls
from activities.webhook.http.transport import Transport
from authoring.publishing import publish
from benchmarks.api import run_gateway
from benchmarks.journeys import Testbed, cpu_seconds, rss, say, server_pid
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.store import Store
from scenario.http.urls import Access
from service.audiences import file_parts
from service.caller import TERMINAL
from service.campaigns.views import CampaignRequest, CampaignView
from service.client import ScenarioClient

ERROR_EVERY: Final = 100
_RETRY_SECONDS: Final = 10.0  # seconds for the journeys of failed lines
IN_FLIGHT: Final = 25
AUDIT: Final[dict[str, Any]] = {"operator": "bench", "reason": "drill"}
SCENARIO: Final = """\
scenario: sale
trigger: segment
purpose: transactional
steps:
  - if: contact.custom.vip == 'yes'
    then:
      - webhook: hook
        url: https://hooks.example.com/sale
        retry: {initial_interval: 1s}
        body: {id: "{{ contact.id }}", name: "{{ contact.firstname | capitalize }}", at: "{{ now }}"}
"""


async def start_module(name: str, *words: str, stdin: int | None = None) -> Process:
    """Start a module in a new process."""
    return await asyncio.create_subprocess_exec(sys.executable, "-m", name, *words, stdin=stdin, stdout=PIPE)


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


@asynccontextmanager
async def run_receiver() -> AsyncGenerator[tuple[str, Process]]:
    """Run a receiver. Yield its URL and its process."""
    process = await start_module("benchmarks.echo", "0", str(ERROR_EVERY), stdin=PIPE)
    try:
        yield f"http://127.0.0.1:{await read_line(process)}", process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_bare_client(url: str, count: int) -> None:
    """Send requests by the transport alone. Print the elapsed seconds and the CPU seconds."""
    body = b'{"id":"c100000","name":"Ann","at":"2026-11-29T12:00:00+00:00"}'
    access = Access(allow_private=True, allow_http=True, ports=(int(url.rpartition(":")[2]),))
    numbers = iter(range(count))
    async with Transport() as transport:

        async def lane() -> None:
            for number in numbers:
                headers = {"content-type": "application/json", "webhook-id": f"bare_{number}", "webhook-timestamp": "1"}
                request = Request(
                    method="POST", url=f"{url}/sale", headers=headers, body=body, timeout=15.0, access=access, tls=Tls()
                )
                await transport.send(request)

        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
        say(f"{time.perf_counter() - began} {time.process_time() - used}")


async def measure_bare_clients(workers: int, count: int) -> tuple[float, float]:
    """Return the total rate of bare clients in requests a second, and the CPU microseconds of a request."""
    async with run_receiver() as (url, _):
        clients = [await start_module("benchmarks.blast", "--bare", url, str(count // workers)) for _ in range(workers)]
        took = [tuple(map(float, (await read_line(one)).split())) for one in clients]
        for one in clients:
            await one.wait()
    return sum(count / workers / seconds for seconds, _ in took), sum(used for _, used in took) / count * 1e6


class CampaignRun:
    """A campaign, and its workers, which can be killed."""

    def __init__(self, testbed: Testbed, client: ScenarioClient, inbox: Inbox) -> None:
        self.testbed, self.client, self._inbox = testbed, client, inbox
        self.workers: list[Process] = []
        self.killed_cpu = 0.0  # CPU seconds of killed workers

    async def add_worker(self) -> None:
        words = ("--work", self.testbed.address, self.testbed.store, self.testbed.receiver, self._inbox.url, "0")
        worker = await start_module("benchmarks.journeys", *words)
        if await read_line(worker) != "ready":
            raise SystemExit("the worker did not start")
        self.workers.append(worker)

    async def kill_worker(self) -> None:
        """Kill a worker, and start another one."""
        worker = self.workers.pop(0)
        self.killed_cpu += cpu_seconds(worker.pid)
        worker.kill()
        await worker.wait()
        await self.add_worker()

    async def start_campaign(self, lines: int) -> CampaignView:
        file = self.testbed.state / "people.jsonl"
        with file.open("w") as output:
            for number in range(lines):
                contact = {"id": f"c{number}", "firstname": "ann", "custom": {"vip": "yes"}}
                output.write(json.dumps({"contact": contact}) + "\n")
        use = self.client.services.campaigns
        stored = await use.audiences.add(TERMINAL, file.name, file_parts(file))
        request = CampaignRequest(
            name="advent", scenario="sale", audience=stored.name, operator="bench", rate=10_000.0, ask=True
        )
        await use.begin(TERMINAL, request, stored)
        await self.wait_until(lambda view: view.state == "ready")
        return await use.change(TERMINAL, "advent", "start", **AUDIT)

    async def wait_until(self, ready: Callable[[CampaignView], bool]) -> CampaignView:
        while True:
            view = await self.client.services.campaigns.show(TERMINAL, "advent")
            if view.state == "failed":
                raise SystemExit(view.trouble)
            if ready(view):
                return view
            await asyncio.sleep(0.5)


async def measure(lines: int, workers: int, kills: int) -> None:
    """Measure the bare clients and a campaign, and print the results."""
    rate, microseconds = await measure_bare_clients(workers, min(lines, 20_000))
    say(f"bare transport, {workers} processes: {rate:,.0f}/s, {microseconds:,.0f} CPU µs each")
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory()))
        server = await stack.enter_async_context(DevServer(state))
        inbox = await stack.enter_async_context(Inbox(state / "inbox"))
        url, receiving = await stack.enter_async_context(run_receiver())
        client = await connect(server.address, role="")
        await search_attributes.ensure(client)
        database = f"sqlite+aiosqlite:///{state / 'store.db'}"
        store = await stack.enter_async_context(Store.open(database, make=True))
        (state / "sale.yaml").write_text(SCENARIO)
        await publish(state / "sale.yaml", store)
        testbed = Testbed(client, server_pid(state), 0, state, server.address, url, database)
        run = CampaignRun(testbed, ScenarioClient(client, store), inbox)
        for _ in range(workers):
            await run.add_worker()
        async with AsyncExitStack() as gateways:
            await gateways.enter_async_context(run_gateway(testbed))
            await run.start_campaign(lines)
            began, used = time.perf_counter(), sum(cpu_seconds(one.pid) for one in run.workers)
            first = [round(rss(one.pid)) for one in run.workers]
            for number in range(1, kills + 1):
                share = lines * number / (kills + 1)
                await run.wait_until(lambda view, share=share: view.done >= share)
                await run.kill_worker()
                if number == 1:
                    await gateways.aclose()
                    await gateways.enter_async_context(run_gateway(testbed))
                    await run.client.services.campaigns.change(TERMINAL, "advent", "pause", **AUDIT)
                    await run.client.services.campaigns.change(TERMINAL, "advent", "resume", **AUDIT)
            ended = await run.wait_until(lambda view: view.over)
            seconds = time.perf_counter() - began
            used = sum(cpu_seconds(one.pid) for one in run.workers) + run.killed_cpu - used
            await asyncio.sleep(_RETRY_SECONDS)
            memory = [round(rss(one.pid)) for one in run.workers]
            say(f"campaign, {workers} workers: {lines / seconds:,.0f} lines/s, {used / lines * 1e6:,.0f} µs a line")
            say(f"ratio of rates: {lines / seconds / rate:.2f}; memory of workers: {first} → {memory} MB")
            say(f"outcomes: {dict(ended.outcomes)}, sum {sum(ended.outcomes.values()):,} of {lines:,}")
        events = [one async for one in client.get_workflow_handle("campaign:advent").fetch_history_events()]
        say(f"events of the campaign's last run: {len(events)}, {sum(one.ByteSize() for one in events):,} bytes")
        assert receiving.stdin is not None
        receiving.stdin.close()
        requests, connections, messages, different = map(int, (await read_line(receiving)).split())
        repeated = requests - messages - ended.outcomes.get("entered", 0)
        say(f"receiver: {messages:,} messages on {connections} connections, {repeated:,} of them repeated after kills")
        say(f"{different} repeated with another body")
        for one in run.workers:
            one.terminate()
            await one.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0, help="workers to kill; the gateway is killed with the first")
    parser.add_argument("--bare", nargs=2, metavar=("URL", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        asyncio.run(run_bare_client(given.bare[0], int(given.bare[1])))
    else:
        asyncio.run(measure(given.lines, given.workers, given.kills))


if __name__ == "__main__":
    main()
