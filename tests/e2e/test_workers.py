"""Workers: one is asked to stop, and versioned ones hand journeys and deliveries over to the current version."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import EventType, VersioningBehavior

from activities.channel_registry import QUEUES
from activities.webhook.route import Diverted
from runtime.process.workers import BUILD, DEPLOYMENT, deployment_from
from tests.e2e.conftest import WORKER, Gate, Server, Site, entry, opened, outcomes, process, publish, store_in, until
from worker import running_workers, workers

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


NAME = "scenario-runner"
STEPS = """
scenario: versioned
trigger: segment
steps:
  - webhook: before
    url: https://hooks.example.com/before
    body: {contact: "{{ contact.id }}"}
  - wait_for: go
    for: 1h
    then:
      - webhook: after
        url: https://hooks.example.com/after
        body: {contact: "{{ contact.id }}"}
"""


@asynccontextmanager
async def version(site: Site, build: str) -> AsyncGenerator[None]:
    deployment = deployment_from({DEPLOYMENT: NAME, BUILD: build})
    async with running_workers(await workers(site.temporal, site.services, QUEUES, deployment)) as crew:
        await crew.polling()
        yield


async def make_current(server: Server, program: Path, build: str) -> None:
    words = f"worker deployment set-current-version --deployment-name {NAME} --build-id {build} --yes"
    command = [str(program), *words.split(), "--namespace", server.namespace, "--address", server.address]
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(subprocess.run, command, capture_output=True)).returncode:
            await asyncio.sleep(0.05)  # the version is not known yet


async def test_journeys_and_deliveries_go_on_with_the_version_that_is_current(
    server: Server, temporal_program: Path, tmp_path: Path
) -> None:
    async with Gate(hold=1) as gate, opened(await server.connect(), tmp_path, routes=Diverted(gate.url)) as site:
        await publish(site.client, tmp_path, STEPS)
        async with version(site, "v1"):
            await make_current(server, temporal_program, "v1")
            journey = await site.client.enter(entry("versioned"), settle=20)
            await gate.called(1)
            async with version(site, "v2"):
                await make_current(server, temporal_program, "v2")
                gate.opened.set()
        async with version(site, "v2"), asyncio.timeout(60):
            await site.client.event("1", "go")
            result = await journey.result()
            described = await journey.handle.describe()
    assert [step for step in outcomes(result) if "wait" not in step[0]] == [
        ("before", "delivered"),
        ("after", "delivered"),
    ]
    info = described.raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
    assert info.deployment_version.build_id == "v2"
