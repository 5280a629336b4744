"""The cost of entering many contacts, listing and retrying held journeys, and retuning deliveries in back-off.

Run by hand, from the project's folder: ``python -m benchmarks.bulk``. The command line runs in a separate process, as
in production, against one dev server and one worker process. Entering takes turns with bare starts of the same
workflow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client

from activities.interface import JOURNEYS
from benchmarks.journeys import Testbed, cpu_seconds, make_entry, run_testbed, say, scenario_text
from runtime.process.shutdown import exit_process
from runtime.store import Attempt, Store, StoredEntry
from scenario.words import Operation
from service.client import ScenarioClient, targets

IN_FLIGHT: Final = 50
_WEBHOOK: Final = """\
  - webhook: hook
    url: https://{host}/bench
    retry: {{initial_interval: {pause}, deadline: 3d}}
    body: {{id: "{{{{ contact.id }}}}"}}
"""
SCENARIOS: Final = {
    **{
        name: scenario_text(name, "  - wait: 30d\n", _WEBHOOK.format(host="slow.example.com", pause="6h"))
        for name in ("parked", "client", "bare")
    },
    "held": scenario_text("held", _WEBHOOK.format(host="refusing.example.com", pause="1s")),
    "slow": scenario_text("slow", _WEBHOOK.format(host="slow.example.com", pause="6h")),
}
FAIL: Final = {"/refusing.example.com": (422,), "/slow.example.com": (503,) * 100}


async def run_command(testbed: Testbed, *arguments: object) -> tuple[float, str, str]:
    """Run ``scenario``. Return the elapsed seconds, the output and the error output."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from cli import main; main()", *map(str, arguments)),
        env={
            **os.environ,
            "TEMPORAL_ADDRESS": testbed.address,
            "SCENARIO_STORE": f"sqlite:///{testbed.state / 'store.db'}",
            "PYTHONPYCACHEPREFIX": str(testbed.state / "compiled"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return time.perf_counter() - began, out.decode(), err.decode()


async def start_journey(client: Client, name: str, number: int) -> None:
    """Start a journey by Temporal's client alone."""
    given = make_entry(name, number)
    identifier = f"{name}/{given['contact']['id']}/{given['trigger']['order']['external_id']}"
    await client.start_workflow("Journey", given, id=identifier, task_queue=JOURNEYS)


async def run_concurrently(work: Callable[[int], Awaitable[Any]], numbers: range) -> float:
    """Call `work` with each number, `IN_FLIGHT` at a time. Return the elapsed seconds."""
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with turns:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*map(one, numbers))
    return time.perf_counter() - began


async def start_many(testbed: Testbed, name: str, numbers: range) -> float:
    """Start a journey for each number. Return the elapsed seconds."""
    return await run_concurrently(lambda number: start_journey(testbed.client, name, number), numbers)


async def wait_until_admitted(store: Store, name: str, count: int) -> None:
    """Wait until `count` contacts of a scenario are admitted."""
    while len(await store.entries(scenario=name, limit=count)) < count:
        await asyncio.sleep(0.25)


async def wait_until_found(client: Client, query: str, count: int) -> None:
    """Wait until search finds `count` workflows."""
    while (await client.count_workflows(query)).count < count:
        await asyncio.sleep(0.5)


async def compare_entering(testbed: Testbed, store: Store, count: int, rounds: int) -> None:
    """Measure `scenario enter`, its client and bare starts in turns, each until all contacts are admitted."""
    say(f"\n{'entering':24}{'started/s':>10}{'admitted/s':>11}{'server ms':>11}{'worker ms':>11}")
    client = ScenarioClient(testbed.client, store)
    each = count // rounds

    async def bare(numbers: range) -> float:
        seconds = await run_concurrently(lambda number: start_journey(testbed.client, "bare", number), numbers)
        await wait_until_admitted(store, "bare", numbers.stop)
        return seconds

    async def started(numbers: range) -> float:
        seconds = await run_concurrently(lambda number: client.enter(make_entry("client", number), settle=0), numbers)
        await wait_until_admitted(store, "client", numbers.stop)
        return seconds

    async def command(numbers: range) -> float:
        file = testbed.state / "entries.jsonl"
        file.write_text("".join(json.dumps(make_entry("parked", number)) + "\n" for number in numbers))
        seconds, out, err = await run_command(testbed, "enter", file)
        if len(out.splitlines()) != each:
            raise SystemExit(err)
        return seconds

    runs = {"bare starts": bare, "client, settle=0": started, "scenario enter": command}
    for turn in range(rounds):
        names = list(runs)
        for name in (*names[turn % 3 :], *names[: turn % 3]):
            server, worker, began = cpu_seconds(testbed.server), cpu_seconds(testbed.worker), time.perf_counter()
            seconds = await runs[name](range(turn * each, (turn + 1) * each))
            whole = time.perf_counter() - began
            server, worker = cpu_seconds(testbed.server) - server, cpu_seconds(testbed.worker) - worker
            say(
                f"{name:24}{each / seconds:10.1f}{each / whole:11.1f}"
                f"{1000 * server / each:11.1f}{1000 * worker / each:11.1f}"
            )


async def time_command(testbed: Testbed, name: str, *arguments: object) -> tuple[float, str, str]:
    """Run ``scenario``. Print the elapsed seconds, and the CPU seconds of itself, the server and the worker."""
    own, server, worker = children_cpu(), cpu_seconds(testbed.server), cpu_seconds(testbed.worker)
    seconds, out, err = await run_command(testbed, *arguments)
    own, server, worker = (
        children_cpu() - own,
        cpu_seconds(testbed.server) - server,
        cpu_seconds(testbed.worker) - worker,
    )
    say(f"{name:28}{seconds:8.1f} s{own:9.1f}{server:9.1f}{worker:9.1f}   {len(out.splitlines())} lines")
    return seconds, out, err


def children_cpu() -> float:
    """Return the CPU seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure_held(testbed: Testbed, store: Store, count: int, retried: int) -> None:
    """Create held journeys, list them, and retry some of them."""
    await start_many(testbed, "held", range(count))
    await wait_until_found(testbed.client, "JourneyState = 'held' AND ExecutionStatus = 'Running'", count)
    say(f"\n{f'{count} held':28}{'':8}   CPU s: own   server   worker")
    await time_command(testbed, "list --held --limit 50", "list", "--held", "--limit", 50)
    every = ("list", "--held", "--limit", count)
    await time_command(testbed, "list --held", *every)
    await time_command(testbed, "list --held, as JSON", *every, "--format", "json")
    await time_command(testbed, "list --held --since", *every, "--since", "1d", "--format", "json")
    which = ("--scenario", "held", "--reason", "bench")
    await time_command(testbed, "retry --dry-run", "retry", *which, "--dry-run")

    # Pausing a held journey has no further effect: it measures the operation alone.
    client = ScenarioClient(testbed.client, store)
    # Leave out the newest journeys: the retry selects them, and most held journeys are not in the worker's cache.
    found = targets(await client.held(scenario="held", limit=2 * retried))[-retried:]
    server, worker, began = cpu_seconds(testbed.server), cpu_seconds(testbed.worker), time.perf_counter()
    tally = await client.batch(Operation.PAUSE, operator="bench", reason="bench", rate=1000).run(found)
    seconds = time.perf_counter() - began
    each = (
        1000 * (used - before) / retried
        for used, before in ((cpu_seconds(testbed.server), server), (cpu_seconds(testbed.worker), worker))
    )
    say("{:28}{:8.1f} s {:8.1f}/s; ms each: server {:.1f}, worker {:.1f}; {}".format(
        "pause", seconds, retried / seconds, *each, tally))  # fmt: skip
    await client.batch(Operation.RESUME, operator="bench", reason="bench", rate=1000).run(found)

    server, worker = cpu_seconds(testbed.server), cpu_seconds(testbed.worker)
    seconds, out, err = await run_command(testbed, "retry", *which, "--rate", "1000/s", "--limit", retried)
    each = (
        1000 * (used - before) / retried
        for used, before in ((cpu_seconds(testbed.server), server), (cpu_seconds(testbed.worker), worker))
    )
    say("{:28}{:8.1f} s {:8.1f}/s; ms each: server {:.1f}, worker {:.1f}; {} {}".format(
        "retry", seconds, retried / seconds, *each, out.strip(), err.strip()[-200:]))  # fmt: skip


def _attempt(item: StoredEntry, due: datetime) -> Attempt:
    return Attempt(
        delivery_id=f"msg_{item.workflow_id}",
        attempt=1,
        workflow_id=item.workflow_id,
        run_id=item.run_id,
        scenario=item.scenario,
        version=item.version,
        step="hook",
        channel="webhook",
        destination="slow.example.com",
        contact_id=item.contact_id,
        started_at=datetime.now(UTC),
        milliseconds=12,
        outcome="retry",
        status=503,
        next_try_at=due,
    )


async def measure_backoff(testbed: Testbed, store: Store, count: int) -> None:
    """Create deliveries in back-off in addition to the parked ones, and preview a change of their retries."""
    await start_many(testbed, "slow", range(count))
    await wait_until_admitted(store, "slow", count)
    # The breaker defers most deliveries before their first attempt, so the attempts are added to the log here.
    due = datetime.now(UTC) + timedelta(hours=6)
    await store.record([_attempt(item, due) for item in await store.entries(scenario="slow", limit=count)])
    say(f"\n{count} in back-off, in addition to the parked ones")
    what = ("slow.example.com", "--deadline", "1d", "--reason", "bench")
    _, _, err = await time_command(testbed, "retune --dry-run", "retune", *what, "--dry-run")
    say(err.strip())


async def measure(options: argparse.Namespace) -> None:
    """Run the measurements that the options select."""
    async with run_testbed(SCENARIOS, FAIL) as testbed, Store.open(f"sqlite:///{testbed.state / 'store.db'}") as store:
        await start_many(testbed, "held", range(900_000, 900_020))
        if options.enter:
            await compare_entering(testbed, store, options.enter, options.rounds)
        if options.held:
            await measure_held(testbed, store, options.held, min(options.retried, options.held))
        if options.slow:
            await measure_backoff(testbed, store, options.slow)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure operations on many journeys.")
    parser.add_argument("--enter", type=int, default=2000, help="contacts to enter in each way; 0 for none")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--held", type=int, default=5000, help="journeys to hold; 0 for none")
    parser.add_argument("--retried", type=int, default=1000, help="held journeys to retry")
    parser.add_argument("--slow", type=int, default=1000, help="deliveries in back-off; 0 for none")
    asyncio.run(measure(parser.parse_args()))
    exit_process(0)


if __name__ == "__main__":
    main()
