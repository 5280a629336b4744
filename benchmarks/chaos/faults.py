"""The failures: each ends or stops a process at a share of all deliveries, and starts it again."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.chaos.entries import enter_by_api, enter_without_worker, send_event
from benchmarks.chaos.judge import LOG_SECONDS
from benchmarks.chaos.record import (
    DATABASE_AWAY,
    OUTAGE_ENTRIES,
    SERVER_RESTARTED,
    WORKER_KILLED,
    ChaosRun,
)
from benchmarks.chaos.scenarios import contact_id
from benchmarks.chaos.worker import TRAP
from benchmarks.dashboard import run_process
from runtime.local.devserver import DevServer
from tests.e2e.conftest import ROOT

WORKER_KILLS: Final = (0.07, 0.2, 0.35, 0.55, 0.8)
WORKER_OUTAGE: Final = WORKER_KILLS[2]
"""The kill after which no worker runs for a while."""
GATEWAY_KILLS: Final = (0.15, 0.65)
SERVER_RESTARTS: Final = (0.45, 0.7)
RECEIVER_OUTAGE: Final = 0.3
DATABASE_OUTAGE: Final = 0.6
TRAPS: Final = ("sms:3", "email:3")
"""Channel and number of the attempts after which a worker of e-mails and text messages kills itself."""
WORKERS: Final = len(WORKER_KILLS) + 1 + len(TRAPS) + 1 + 1
"""Number of worker processes, with the last one that runs until metrics have their final values."""


@asynccontextmanager
async def run_worker(
    run: ChaosRun, number: int, queues: str, **more: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a worker. Each has another metrics port, so that Prometheus distinguishes them.

    Args:
        more: Further variables of its environment.
    """
    words = ("--queues", queues, "--metrics-port", f"{run.ports[number]}")
    command, log = (sys.executable, "-m", "benchmarks.chaos.worker", *words), run.folder / f"worker-{number}.log"
    async with run_process(log, *command, cwd=run.folder, env=run.environ | more) as started:
        yield started


async def kill_workers(run: ChaosRun) -> None:
    """Kill the worker of journeys and webhooks repeatedly, and start another one."""
    for number, share in enumerate((*WORKER_KILLS, None), 1):
        async with run_worker(run, number, "journeys,webhooks") as started:
            if share is None:
                await run.finished.wait()
                return
            await run.wait_for_share(share)
            async with run.one_fault:
                started.kill()
                assert await started.wait() == -signal.SIGKILL
                run.failed(WORKER_KILLED)
        if share == WORKER_OUTAGE:
            await enter_without_worker(run)
            await asyncio.sleep(run.worker_outage)
            run.note(f"worker started, after {run.worker_outage:.0f} s")


async def lose_senders(run: ChaosRun) -> None:
    """Run the worker of e-mails and text messages. The first two kill themselves with a message in the log only."""
    for number, trap in enumerate((*TRAPS, ""), len(WORKER_KILLS) + 2):
        async with run_worker(run, number, "email,sms", **{TRAP: trap}) as started:
            if not trap:
                await run.finished.wait()
                return
            ended, over = asyncio.ensure_future(started.wait()), asyncio.ensure_future(run.finished.wait())
            await asyncio.wait([ended, over], return_when=asyncio.FIRST_COMPLETED)
            if run.finished.is_set():
                run.wrong.append(f"no worker was lost after an attempt by {trap}")
                return
            over.cancel()
            assert await ended == -signal.SIGKILL
            run.failed(WORKER_KILLED)


async def kill_gateways(run: ChaosRun) -> None:
    """Kill the gateway repeatedly, and start another one on the same port."""
    for number, share in enumerate((*GATEWAY_KILLS, None)):
        log = run.folder / f"gateway-{number}.log"
        async with run_process(log, *run.gateway, cwd=ROOT, env=run.environ) as started:
            if share is None:
                await run.over.wait()
                return
            await run.wait_for_share(share)
            started.kill()
            await started.wait()
            run.note("gateway killed")


async def restart_server(run: ChaosRun) -> None:
    """Stop Temporal's server, and start it again."""
    for share in SERVER_RESTARTS:
        await run.wait_for_share(share)
        await run.entered.wait()
        began = time.time()
        await run.server.__aexit__()
        port = int(run.server.address.rpartition(":")[2])
        run.server = await DevServer(run.folder / "state", port=port).__aenter__()
        run.failed(SERVER_RESTARTED, began)


async def stop_receiver(run: ChaosRun) -> None:
    """Let the receiver refuse connections for 2 s."""
    await run.wait_for_share(RECEIVER_OUTAGE)
    await run.receiver.stop()
    await asyncio.sleep(2)
    await run.receiver.start()
    run.note("receiver back after 2 s")


async def stop_database(run: ChaosRun) -> None:
    """Stop PostgreSQL, enter contacts through the API, and start it again.

    Meanwhile, workers are not killed: they would lose the rows of many attempts.
    """
    await run.wait_for_share(DATABASE_OUTAGE)
    await run.entered.wait()  # the client's entries would fail
    async with run.one_fault:
        began = time.time()
        await asyncio.to_thread(run.database.server.halt)
        contacts = [contact_id(run.number - number) for number in range(OUTAGE_ENTRIES)]
        entering = [asyncio.create_task(enter_by_api(run, contact)) for contact in contacts]
        await asyncio.sleep(run.database_outage)
        run.database.server.begin()
        await asyncio.to_thread(run.database.server.wait)
        await asyncio.sleep(LOG_SECONDS)
        run.failed(DATABASE_AWAY, began)
    run.journeys.update(zip(contacts, await asyncio.gather(*entering), strict=True))
    await asyncio.gather(*(send_event(run, contact, "told") for contact in contacts))
