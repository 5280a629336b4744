"""Operations on many journeys: entering them, listing and retrying held ones, listing deliveries in progress.

Run by hand, from the project's folder: ``python -m benchmarks.bulk``. The command line is run as people run it, in a
process of its own, against one dev server and one worker process. Entering takes turns with bare starts of the same
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
from benchmarks.journeys import Place, cpu, entry, place, say, scenario
from gateway.client import ScenarioClient, targets
from runtime.process.shutdown import exit_process
from runtime.store import Attempt, Store, StoredEntry
from scenario.words import Operation

IN_FLIGHT: Final = 50
_WEBHOOK: Final = """\
  - webhook: hook
    url: https://{host}/bench
    retry: {{initial_interval: {pause}, deadline: 3d}}
    body: {{id: "{{{{ contact.id }}}}"}}
"""
SCENARIOS: Final = {
    **{
        name: scenario(name, "  - wait: 30d\n", _WEBHOOK.format(host="slow.example.com", pause="6h"))
        for name in ("parked", "client", "bare")
    },
    "held": scenario("held", _WEBHOOK.format(host="refusing.example.com", pause="1s")),
    "slow": scenario("slow", _WEBHOOK.format(host="slow.example.com", pause="6h")),
}
FAIL: Final = {"/refusing.example.com": (422,), "/slow.example.com": (503,) * 100}


async def run(at: Place, *arguments: object) -> tuple[float, str, str]:
    """Run ``scenario``. Return its seconds and its output."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from gateway.cli import main; main()", *map(str, arguments)),
        env={
            **os.environ,
            "TEMPORAL_ADDRESS": at.address,
            "SCENARIO_STORE": f"sqlite:///{at.state / 'store.db'}",
            "PYTHONPYCACHEPREFIX": str(at.state / "compiled"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return time.perf_counter() - began, out.decode(), err.decode()


async def start(client: Client, name: str, number: int) -> None:
    """A bare start, as an engine that knows only Temporal makes it."""
    given = entry(name, number)
    identifier = f"{name}/{given['contact']['id']}/{given['trigger']['order']['external_id']}"
    await client.start_workflow("Journey", given, id=identifier, task_queue=JOURNEYS)


async def side_by_side(work: Callable[[int], Awaitable[Any]], numbers: range) -> float:
    """Does something for each number, some at a time; gives the seconds that it took."""
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with turns:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*map(one, numbers))
    return time.perf_counter() - began


async def start_many(at: Place, name: str, numbers: range) -> float:
    """Starts so many journeys; gives the seconds until the last was started."""
    return await side_by_side(lambda number: start(at.client, name, number), numbers)


async def admitted(store: Store, scenario: str, count: int) -> None:
    """Waits until so many of a scenario are in."""
    while len(await store.entries(scenario=scenario, limit=count)) < count:
        await asyncio.sleep(0.25)


async def counted(client: Client, query: str, count: int) -> None:
    """Waits until search finds so many."""
    while (await client.count_workflows(query)).count < count:
        await asyncio.sleep(0.5)


async def entering(at: Place, store: Store, count: int, rounds: int) -> None:
    """`scenario enter`, its client and bare starts of the same workflow take turns; each until all are admitted."""
    say(f"\n{'entering':24}{'started/s':>10}{'admitted/s':>11}{'server ms':>11}{'worker ms':>11}")
    client = ScenarioClient(at.client, store)
    each = count // rounds

    async def bare(numbers: range) -> float:
        seconds = await side_by_side(lambda number: start(at.client, "bare", number), numbers)
        await admitted(store, "bare", numbers.stop)
        return seconds

    async def started(numbers: range) -> float:
        seconds = await side_by_side(lambda number: client.enter(entry("client", number), settle=0), numbers)
        await admitted(store, "client", numbers.stop)
        return seconds

    async def command(numbers: range) -> float:
        file = at.state / "entries.jsonl"
        file.write_text("".join(json.dumps(entry("parked", number)) + "\n" for number in numbers))
        seconds, out, err = await run(at, "enter", file)
        if len(out.splitlines()) != each:
            raise SystemExit(err)
        return seconds

    runs = {"bare starts": bare, "client, settle=0": started, "scenario enter": command}
    for turn in range(rounds):
        names = list(runs)
        for name in (*names[turn % 3 :], *names[: turn % 3]):
            server, worker, began = cpu(at.server), cpu(at.worker), time.perf_counter()
            seconds = await runs[name](range(turn * each, (turn + 1) * each))
            whole = time.perf_counter() - began
            server, worker = cpu(at.server) - server, cpu(at.worker) - worker
            say(
                f"{name:24}{each / seconds:10.1f}{each / whole:11.1f}"
                f"{1000 * server / each:11.1f}{1000 * worker / each:11.1f}"
            )


async def timed(at: Place, name: str, *arguments: object) -> tuple[float, str, str]:
    """Run ``scenario``, and print its seconds."""
    own, server, worker = children(), cpu(at.server), cpu(at.worker)
    seconds, out, err = await run(at, *arguments)
    own, server, worker = children() - own, cpu(at.server) - server, cpu(at.worker) - worker
    say(f"{name:28}{seconds:8.1f} s{own:9.1f}{server:9.1f}{worker:9.1f}   {len(out.splitlines())} lines")
    return seconds, out, err


def children() -> float:
    """Processor seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def held(at: Place, store: Store, count: int, retried: int) -> None:
    """Makes held journeys, lists them, and tries some of them again."""
    await start_many(at, "held", range(count))
    await counted(at.client, "JourneyState = 'held' AND ExecutionStatus = 'Running'", count)
    say(f"\n{f'{count} held':28}{'':8}   CPU s: own   server   worker")
    await timed(at, "list --held --limit 50", "list", "--held", "--limit", 50)
    every = ("list", "--held", "--limit", count)
    await timed(at, "list --held", *every)
    await timed(at, "list --held, as JSON", *every, "--format", "json")
    await timed(at, "list --held --since", *every, "--since", "1d", "--format", "json")
    which = ("--scenario", "held", "--reason", "bench")
    await timed(at, "retry --dry-run", "retry", *which, "--dry-run")

    # An operation without an effect: it only finds and asks each journey.
    client = ScenarioClient(at.client, store)
    # Not those that the retry finds, the newest: it is to find them out of the cache, as the most are.
    found = targets(await client.held(scenario="held", limit=2 * retried))[-retried:]
    server, worker, began = cpu(at.server), cpu(at.worker), time.perf_counter()
    tally = await client.batch(Operation.PAUSE, operator="bench", reason="bench", rate=1000).run(found)
    seconds = time.perf_counter() - began
    each = (1000 * (used - before) / retried for used, before in ((cpu(at.server), server), (cpu(at.worker), worker)))
    say("{:28}{:8.1f} s {:8.1f}/s; ms each: server {:.1f}, worker {:.1f}; {}".format(
        "pause", seconds, retried / seconds, *each, tally))  # fmt: skip
    await client.batch(Operation.RESUME, operator="bench", reason="bench", rate=1000).run(found)

    server, worker = cpu(at.server), cpu(at.worker)
    seconds, out, err = await run(at, "retry", *which, "--rate", "1000/s", "--limit", retried)
    each = (1000 * (used - before) / retried for used, before in ((cpu(at.server), server), (cpu(at.worker), worker)))
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


async def under_way(at: Place, store: Store, count: int) -> None:
    """Makes deliveries that wait for another attempt, beside the parked ones, and looks at them."""
    await start_many(at, "slow", range(count))
    await admitted(store, "slow", count)
    # The breaker turns most of them away before they are attempted: so the log is told that they were.
    due = datetime.now(UTC) + timedelta(hours=6)
    await store.record([_attempt(item, due) for item in await store.entries(scenario="slow", limit=count)])
    say(f"\n{count} in back-off, beside the parked ones")
    what = ("slow.example.com", "--deadline", "1d", "--reason", "bench")
    _, _, err = await timed(at, "retune --dry-run", "retune", *what, "--dry-run")
    say(err.strip())


async def measure(options: argparse.Namespace) -> None:
    """Everything that was asked for."""
    async with place(SCENARIOS, FAIL) as at, Store.open(f"sqlite:///{at.state / 'store.db'}") as store:
        await start_many(at, "held", range(900_000, 900_020))
        if options.enter:
            await entering(at, store, options.enter, options.rounds)
        if options.held:
            await held(at, store, options.held, min(options.retried, options.held))
        if options.slow:
            await under_way(at, store, options.slow)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Many journeys at once.")
    parser.add_argument("--enter", type=int, default=2000, help="journeys to enter, and as many to start; 0 for none")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--held", type=int, default=5000, help="journeys to hold; 0 for none")
    parser.add_argument("--retried", type=int, default=1000, help="so many of them are tried again")
    parser.add_argument("--slow", type=int, default=1000, help="deliveries in back-off; 0 for none")
    asyncio.run(measure(parser.parse_args()))
    exit_process(0)


if __name__ == "__main__":
    main()
