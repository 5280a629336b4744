"""The cost of a journey compared with a bare workflow that takes the same entry and sends the same messages.

Run by hand, from the project's folder: ``python -m benchmarks.journeys``. Journeys and bare workflows take turns on
one dev server in one run, each with its own worker process. So ratios and processor times hold on a busy machine, but
rates do not. ``--parked 20000`` measures memory while 20,000 journeys are parked. ``--measured 1000`` compares a worker
with scraped metrics and one without, each with its own server. ``--encrypted 300`` compares encrypted and unencrypted
journeys, each with its own server and worker.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic import SecretStr
from temporalio.client import Client, WorkflowHandle

from activities.channel_registry import QUEUES
from activities.interface import JOURNEYS
from activities.webhook.route import Diverted
from authoring.publishing import publish
from benchmarks.bare import QUEUE, WORKFLOW_QUEUE
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import keyring_of
from runtime.encryption.converter import encrypt_client
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox, Receiver
from runtime.process import free_port
from runtime.process.shutdown import exit_process
from runtime.process.workers import tune_garbage_collection
from runtime.settings import Settings
from runtime.store import Store
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.polling import cluster_metrics
from runtime.telemetry.telemetry import Telemetry
from worker import running_workers, services, workers

CONCURRENT: Final = 40
ROUNDS: Final = 5
SCRAPE_INTERVAL: Final = 15.0
"""Seconds between two scrapes; Prometheus' default is a minute."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")

_WEBHOOK = """\
  - webhook: {name}
    url: https://hooks.example.com/bench
    body: |
      {{"phone_number": "{{{{ contact.cellphone }}}}", "first_name": "{{{{ contact.firstname }}}}",
       "order": "{{{{ order.external_id }}}}",
       "lines": [{{% for p in order.products %}}{{"name": "{{{{ p.name }}}}", "quantity": {{{{ p.quantity }}}}}}
         {{% unless forloop.last %}},{{% endunless %}}{{% endfor %}}]}}
"""
_EMAIL = """\
  - email: {name}
    subject: "Thank you {{{{ contact.firstname }}}}"
    text: "Your order {{{{ order.external_id }}}} is on its way."
"""
_HEAD = """\
scenario: {name}
trigger: order
entry: {{key: "{{{{ order.external_id }}}}", again: always}}
steps:
"""


def scenario_text(name: str, *steps: str) -> str:
    """Return the text of a scenario's file."""
    return _HEAD.format(name=name) + "".join(steps)


SCENARIOS: Final = {
    "one": scenario_text("one", _WEBHOOK.format(name="whatsapp")),
    "six": scenario_text(
        "six",
        _EMAIL.format(name="thank-you"),
        _WEBHOOK.format(name="whatsapp"),
        "  - wait: 1s\n",
        _EMAIL.format(name="follow-up"),
        "  - wait: 1s\n",
        _WEBHOOK.format(name="push"),
    ),
    "parked": scenario_text("parked", "  - wait: 30d\n", _WEBHOOK.format(name="whatsapp")),
}


def make_entry(name: str, number: int) -> dict[str, Any]:
    """Return an entry of a few hundred bytes. The smaller the entry, the larger the relative overhead of a journey."""
    return {
        "scenario": name,
        "contact": {
            "id": str(100_000 + number),
            "firstname": "Zoé",
            "lastname": "O'Brien",
            "email": "zoe.obrien@example.com",
            "cellphone": "+33612345678",
            "language": "fr",
        },
        "trigger": {
            "type": "order",
            "order": {
                "external_id": f"CGX{number:06}",
                "currency": "EUR",
                "total_price": 66.25,
                "products": [
                    {"external_id": "10", "name": "Color Riche 12", "unit_price": 10.25, "quantity": 2},
                    {"external_id": "11", "name": "Mascara", "unit_price": 45.75, "quantity": 1},
                ],
            },
        },
    }


@dataclass
class Tally:
    """The cost of one kind of workflow over all its turns, in elapsed seconds and CPU seconds."""

    name: str
    done: int = 0
    seconds: float = 0.0
    server: float = 0.0
    worker: float = 0.0
    handles: list[WorkflowHandle[Any, Any]] = field(default_factory=list[WorkflowHandle[Any, Any]])

    @property
    def rate(self) -> float:
        """Return the workflows a second."""
        return self.done / self.seconds

    def per_workflow(self, seconds: float) -> float:
        """Return the milliseconds a workflow."""
        return 1000 * seconds / self.done


Starter = Callable[[Client, int], Awaitable[WorkflowHandle[Any, Any]]]


def journey_starter(name: str) -> Starter:
    """Return a function that starts a journey by Temporal's client alone."""

    async def start(client: Client, number: int) -> WorkflowHandle[Any, Any]:
        given = make_entry(name, number)
        identifier = f"{name}/{given['contact']['id']}/{given['trigger']['order']['external_id']}"
        return await client.start_workflow("Journey", given, id=identifier, task_queue=JOURNEYS, result_type=dict)

    return start


def bare_starter(kind: str, queue: str) -> Starter:
    """Return a function that starts a bare workflow with the same entry."""

    async def start(client: Client, number: int) -> WorkflowHandle[Any, Any]:
        return await client.start_workflow(
            kind, make_entry("one", number), id=f"{kind}/{queue}/{number}", task_queue=queue, result_type=dict
        )

    return start


# ---- processes


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss(pid: int) -> float:
    """Return the resident memory of a process in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def server_pid(state: Path) -> int:
    """Return the process id of the dev server: the program `temporal` with the database in its command line."""
    wanted = str(state / "temporal.db").encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in command and command[0].endswith(b"temporal"):
            return int(folder.name)
    raise SystemExit("the dev server's process was not found")


async def run_worker(address: str, store: str, receiver: str, smtp: str, metrics: int) -> None:
    """Run the production workers until SIGTERM. Serve metrics if `metrics` is a port."""
    logging.getLogger("temporalio.workflow").setLevel(logging.ERROR)  # some benchmarks hold thousands of journeys
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(
        store=SecretStr(store),
        smtp=SecretStr(smtp),
        mail_from="Bench <bench@example.com>",
    )
    async with AsyncExitStack() as stack:
        telemetry = Telemetry.start(exposition=Exposition(metrics) if metrics else None)
        client = await connect(address, role="", runtime=await telemetry.runtime(stack))
        opened = await stack.enter_async_context(services(settings, routes=Diverted(receiver)))
        if metrics:
            await stack.enter_async_context(
                cluster_metrics(client, opened.store, {queue: queue == JOURNEYS for queue in QUEUES})
            )
        sealed = encrypt_client(client, keyring_of(settings, opened.store), worker=True)
        crew = await stack.enter_async_context(running_workers(await workers(sealed, opened)))
        await crew.polling()
        tune_garbage_collection()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await crew.until(stop)


@dataclass(frozen=True)
class Testbed:
    """The running processes of a measurement, by id or address, and a client of the server."""

    client: Client
    server: int
    worker: int
    state: Path
    address: str
    receiver: str
    store: str


@asynccontextmanager
async def run_worker_process(module: str, *words: str, **environ: str) -> AsyncGenerator[int]:
    """Run a worker in a new process. Yield the process's id once it is ready."""
    with tempfile.TemporaryDirectory() as compiled:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            stdout=asyncio.subprocess.PIPE,
            # Cache byte code, as for an installed package: the bare workflows' sandbox loads modules for each run.
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            | {"PYTHONPYCACHEPREFIX": compiled}
            | environ,
        )
        try:
            if started.stdout is None or await started.stdout.readline() != b"ready\n":
                raise SystemExit("the worker did not start")
            yield started.pid
        finally:
            if started.returncode is None:
                started.terminate()
                await started.wait()


@asynccontextmanager
async def run_bare_worker(testbed: Testbed) -> AsyncGenerator[Testbed]:
    """Run a worker of bare workflows. Yield a testbed with it; its client, too, has the SDK's default settings."""
    async with run_worker_process("benchmarks.bare", testbed.address, testbed.receiver) as worker:
        yield replace(testbed, client=await Client.connect(testbed.address), worker=worker)


@asynccontextmanager
async def run_testbed(
    scenarios: Mapping[str, str] = SCENARIOS,
    fail: Mapping[str, Sequence[int]] | None = None,
    *,
    metrics: int = 0,
    encrypted: bool = False,
    store: str = "",
    url: str = "",
) -> AsyncGenerator[Testbed]:
    """Run a server, receiver, inbox and worker. For `fail` see `Receiver`, for `metrics` see `run_worker`.

    Args:
        store: URL of the store (default: a new SQLite file).
        url: URL of a receiver to use instead of the one that records its requests.
    """
    keys = {"SCENARIO_ENCRYPTION_KEYS": base64.b64encode(b"k" * 32).decode()} if encrypted else {}
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(DevServer(state))
        receiver = await stack.enter_async_context(Receiver(fail=fail))
        inbox = await stack.enter_async_context(Inbox(state / "inbox"))
        client = await connect(server.address, role="")
        await search_attributes.ensure(client)
        store = store or f"sqlite+aiosqlite:///{state / 'store.db'}"
        async with Store.open(store) as opened:
            for name, text in scenarios.items():
                path = state / f"{name}.yaml"
                path.write_text(text)
                await publish(path, opened)
        if encrypted:
            opened = await stack.enter_async_context(Store.open(store))
            client = encrypt_client(client, Keyring(opened, KeyWrapping([b"k" * 32])))
        words = ("--work", server.address, store, url or receiver.url, inbox.url, str(metrics))
        worker = await stack.enter_async_context(run_worker_process("benchmarks.journeys", *words, **keys))
        yield Testbed(client, server_pid(state), worker, state, server.address, url or receiver.url, store)


# ---- measurements


async def run_turn(testbed: Testbed, tally: Tally, start: Starter, numbers: range) -> None:
    """Run workflows to their ends, `CONCURRENT` at a time. Add their cost to a tally."""
    slots = asyncio.Semaphore(CONCURRENT)

    async def one(number: int) -> None:
        async with slots:
            handle = await start(testbed.client, number)
            result: dict[str, Any] = await handle.result()
            if result["outcome"] != "finished":
                raise SystemExit(f"{tally.name}: {json.dumps(result)}")
            tally.handles.append(handle)

    server, worker, began = cpu_seconds(testbed.server), cpu_seconds(testbed.worker), time.perf_counter()
    await asyncio.gather(*(one(number) for number in numbers))
    tally.seconds += time.perf_counter() - began
    tally.server += cpu_seconds(testbed.server) - server
    tally.worker += cpu_seconds(testbed.worker) - worker
    tally.done += len(numbers)


async def history_size(tally: Tally) -> tuple[int, int]:
    """Return the events and bytes of the last workflow's history, as the server counts them."""
    info = (await tally.handles[-1].describe()).raw_description.workflow_execution_info
    return info.history_length, info.history_size_bytes


async def run_in_turns(runners: dict[str, tuple[Testbed, Starter]], count: int, rounds: int) -> list[Tally]:
    """Run several kinds of workflow in turns, in another order each round."""
    tallies = {name: Tally(name) for name in runners}
    each = max(1, count // rounds)
    for name, (testbed, start) in runners.items():
        await run_turn(testbed, Tally(name), start, range(900_000, 900_000 + min(20, each)))
    for number in range(rounds):
        names = list(runners)
        for name in (*names[number % len(names) :], *names[: number % len(names)]):
            testbed, start = runners[name]
            await run_turn(testbed, tallies[name], start, range(number * each, (number + 1) * each))
    return list(tallies.values())


async def compare_testbeds(places: dict[str, Testbed], start: Starter, count: int) -> list[Tally]:
    """Run the same journeys on several testbeds in turns, each for a new contact."""
    tallies = {name: Tally(name) for name in places}
    for name, testbed in places.items():
        await run_turn(testbed, Tally(name), start, range(900_000, 900_020))
    each = max(1, count // ROUNDS)
    for number in range(ROUNDS):
        names = list(places) if number % 2 else list(reversed(places))
        for name in names:
            await run_turn(places[name], tallies[name], start, range(number * each, (number + 1) * each))
    return list(tallies.values())


async def print_table(title: str, tallies: list[Tally]) -> None:
    """Print a table. Ratios are of the first row to each other row."""
    say(f"\n{title}")
    say(f"{'':24}{'per s':>8}{'server ms':>11}{'worker ms':>11}{'events':>8}{'bytes':>8}")
    rows: list[tuple[float, ...]] = []
    for tally in tallies:
        events, size = await history_size(tally)
        row = (tally.rate, tally.per_workflow(tally.server), tally.per_workflow(tally.worker), events, size)
        rows.append(row)
        say(f"{tally.name:24}{row[0]:8.1f}{row[1]:11.1f}{row[2]:11.1f}{events:8}{size:8}")
    for tally, row in zip(tallies[1:], rows[1:], strict=True):
        ratios = [ours / theirs if theirs else float("nan") for ours, theirs in zip(rows[0], row, strict=True)]
        say(
            f"{'  journey : ' + tally.name:24}{ratios[0]:8.2f}{ratios[1]:11.2f}{ratios[2]:11.2f}"
            f"{ratios[3]:8.2f}{ratios[4]:8.2f}"
        )


async def print_events(tally: Tally) -> None:
    """Print the size of each event of the last workflow's history."""
    say(f"\nhistory of {tally.name}")
    async for event in tally.handles[-1].fetch_history_events():
        what = event.WhichOneof("attributes") or ""
        say(f"{event.event_id:5} {what.removesuffix('_event_attributes'):44}{event.ByteSize():6}")


async def measure_parked(testbed: Testbed, count: int) -> None:
    """Park journeys in a wait of 30 days. Print the memory of worker and server on the way."""
    say(f"\n{'parked':>8}{'worker MB':>11}{'server MB':>11}{'seconds':>9}")
    slots = asyncio.Semaphore(CONCURRENT)
    start = journey_starter("parked")

    async def one(number: int) -> None:
        async with slots:
            await start(testbed.client, number)

    began = time.perf_counter()
    done = 0
    while True:
        say(f"{done:8}{rss(testbed.worker):11.0f}{rss(testbed.server):11.0f}{time.perf_counter() - began:9.0f}")
        if done >= count:
            return
        more = min(max(500, count // 8), count - done)
        await asyncio.gather(*(one(number) for number in range(done, done + more)))
        done += more
        await wait_until_parked(testbed.client, done)


async def compare_metrics(count: int, rounds: int) -> None:
    """Compare a worker with scraped metrics and one without metrics."""
    port = free_port()

    async def scrape(times: int, pause: float) -> None:
        async with httpx.AsyncClient() as http:
            for _ in range(times):
                (await http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status()
                await asyncio.sleep(pause)

    async with run_testbed() as off, run_testbed(metrics=port) as on:
        scraping = asyncio.create_task(scrape(sys.maxsize, SCRAPE_INTERVAL))
        each, start = count // rounds, journey_starter("one")
        tallies = {name: Tally(name) for name in ("without metrics", "with metrics")}
        places = dict(zip(tallies, (off, on), strict=True))
        for name, testbed in places.items():
            await run_turn(testbed, Tally(name), start, range(900_000, 900_000 + min(50, each)))
        for number in range(rounds):
            for name in list(tallies)[:: -1 if number % 2 else 1]:
                await run_turn(places[name], tallies[name], start, range(number * each, (number + 1) * each))
        scraping.cancel()
        before = cpu_seconds(on.worker)
        await scrape(100, 0.0)
        page = cpu_seconds(on.worker) - before
    say(f"\n{'':24}{'per s':>8}{'worker ms':>11}")
    for tally in tallies.values():
        say(f"{tally.name:24}{tally.rate:8.1f}{tally.per_workflow(tally.worker):11.2f}")
    without, having = (tally.per_workflow(tally.worker) for tally in tallies.values())
    say(f"{'  with : without':24}{'':8}{having / without:11.3f}")
    say(f"{'a page of metrics':24}{'':8}{10 * page:11.2f}")


async def wait_until_parked(client: Client, count: int) -> None:
    """Wait until `count` journeys are waiting."""
    query = "ScenarioName='parked' AND JourneyState='waiting' AND ExecutionStatus='Running'"
    while (await client.count_workflows(query)).count < count:
        await asyncio.sleep(0.2)


def say(text: str) -> None:
    """Print a line immediately."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def measure(options: argparse.Namespace) -> None:
    """Run the measurements that the options select."""
    say(f"entry: {len(json.dumps(make_entry('one', 1), separators=(',', ':'), ensure_ascii=False).encode())} bytes")
    async with run_testbed() as testbed, run_bare_worker(testbed) as bare_testbed:
        if options.count:
            one = {
                "journey": (testbed, journey_starter("one")),
                "bare, two queues": (bare_testbed, bare_starter("BareOne", WORKFLOW_QUEUE)),
            }
            one["bare, eager"] = (bare_testbed, bare_starter("BareOne", QUEUE))
            await print_table("entry → one webhook → end", await run_in_turns(one, options.count, ROUNDS))
        if options.six:
            six = {
                "journey": (testbed, journey_starter("six")),
                "bare, two queues": (bare_testbed, bare_starter("BareSix", WORKFLOW_QUEUE)),
            }
            tallies = await run_in_turns(six, options.six, 1)
            await print_table("2 e-mails, 2 waits of 1 s, 2 webhooks", tallies)
            if options.events:
                for tally in tallies:
                    await print_events(tally)
    if options.measured:
        await compare_metrics(options.measured, 2 * ROUNDS)
    if options.encrypted:
        async with run_testbed() as clear, run_testbed(encrypted=True) as sealed:
            for name in ("one", "six"):
                tallies = await compare_testbeds(
                    {"encrypted": sealed, "unencrypted": clear}, journey_starter(name), options.encrypted
                )
                await print_table(f"{name}: journeys encrypted and unencrypted", tallies)
    if options.parked:
        async with run_testbed() as testbed:
            await measure_parked(testbed, options.parked)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cost of a journey compared with a bare workflow.")
    parser.add_argument("--count", type=int, default=300, help="workflows of each kind with one webhook; 0 for none")
    parser.add_argument("--six", type=int, default=20, help="workflows of each kind with six steps; 0 for none")
    parser.add_argument("--events", action="store_true", help="show the size of each event of a six-step history")
    parser.add_argument("--parked", type=int, default=2000, help="journeys to park; 0 for none")
    parser.add_argument(
        "--encrypted", type=int, default=0, help="journeys to run encrypted, and as many unencrypted; 0 for none"
    )
    parser.add_argument(
        "--measured", type=int, default=0, help="journeys to run with metrics, and as many without; 0 for none"
    )
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        address, store, receiver, smtp, metrics = options.work
        asyncio.run(run_worker(address, store, receiver, smtp, int(metrics)))
    else:
        asyncio.run(measure(options))
    exit_process(0)


if __name__ == "__main__":
    main()
