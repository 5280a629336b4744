"""A worker process that is asked to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from temporalio.api.enums.v1 import EventType

from tests.e2e.conftest import WORKER, Gate, Server, entry, opened, process, publish, store_in, until

SLOW = """
scenario: slow
trigger: segment
steps:
  - webhook: call
    url: https://hooks.example.com/call
    body: {a: 1}
    timeout: 1m
"""


async def test_a_worker_that_is_asked_to_stop_ends_the_attempt_in_flight_and_exits_with_0(
    server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def stopping() -> bool:
        return "stopping: " in await asyncio.to_thread(log.read_text, "utf-8")

    async with Gate(hold=1) as gate, opened(await server.connect(), tmp_path) as site:
        variables = {**server.environ, "SCENARIO_STORE": store_in(tmp_path), "TEST_RECEIVER": gate.url}
        command = (*WORKER, "--queues", "journeys,webhooks")
        await publish(site.client, tmp_path, SLOW)
        async with process(*command, log=log, environ=variables) as stopped:
            journey = await site.client.enter(entry("slow"), settle=30)
            await gate.called(1)
            stopped.send_signal(signal.SIGTERM)
            await until(stopping)
            await asyncio.sleep(0.5)  # in which it would cancel the attempt
            assert stopped.returncode is None, "an attempt is in flight"
            gate.opened.set()
            async with asyncio.timeout(60):
                assert await stopped.wait() == 0, log.read_text("utf-8")
        events = [event.event_type async for event in journey.handle.fetch_history_events()]
        await journey.handle.terminate()
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in events
    assert len(gate.calls) == 1
