"""Workers: one is asked to stop, and versioned ones hand journeys and deliveries over to the current version."""

import asyncio
import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from temporalio.api.enums.v1 import EventType, VersioningBehavior

from activities.channel_registry import QUEUES
from activities.webhook.route import Diverted
from runtime.process.workers import BUILD, DEPLOYMENT, deployment_from
from runtime.store import Attempt
from scenario.words import Operation
from service.operations.journey_operations import targets
from tests.e2e.conftest import (
    WORKER,
    Gate,
    Server,
    Site,
    entry,
    opened,
    outcomes,
    process,
    publish,
    store_in,
    until,
    until_held,
)
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


TEXT = """
scenario: texted
trigger: segment
steps:
  - {sms: text, text: "Hello {{ contact.id }}", timeout: 1s}
"""
LOST = 3  # of these, the log loses the row


async def test_texts_of_a_worker_that_is_killed_after_the_log_has_them_arrive_once(
    server: Server, tmp_path: Path
) -> None:
    """Those without a row are held as unknown. A late row decides also when an operator retries."""
    number = 10

    def texts() -> Counter[str]:
        return Counter(json.loads(path.read_text("utf-8"))["text"] for path in tmp_path.glob(".scenario/inbox/*.json"))

    async with opened(await server.connect(), tmp_path) as site:
        variables = {**server.environ, "SCENARIO_STORE": store_in(tmp_path), "TEST_RECEIVER": "http://127.0.0.1:1"}
        variables["SCENARIO_SMS"] = "local:"
        command, log = (*WORKER, "--queues", "journeys,sms"), tmp_path / "log"
        client, store = site.client, site.store

        async def rows() -> list[Attempt]:
            return await store.deliveries(scenario="texted", outcome="delivered")

        await publish(client, tmp_path, TEXT)
        async with process(*command, log=log, environ={**variables, "TEST_STALLS": "1"}, cwd=tmp_path) as killed:
            entered = [
                await client.enter(entry("texted", str(one), cellphone=f"+3361234{one:04}"), settle=30)
                for one in range(number)
            ]
            made = await until(rows, lambda found: len(found) == number)
            killed.kill()
            await killed.wait()
        lost = made[:LOST]
        with closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
            database.executemany("DELETE FROM deliveries WHERE delivery_id = ?", [[row.delivery_id] for row in lost])
        async with process(*command, log=log, environ=variables, cwd=tmp_path), asyncio.timeout(90):
            await until_held(client, LOST, reason="unknown")
            ends = [await one.result() for one in entered if one.handle.id not in {row.workflow_id for row in lost}]
            assert [(end["outcome"], *outcomes(end)) for end in ends] == [("finished", ("text", "delivered"))] * (
                number - LOST
            )
            assert set(texts().values()) == {1}
            await store.record(lost[1:])
            await client.batch(Operation.RETRY, operator="ann", reason="again").run(targets(await client.held()))
            for one in entered:
                await one.result()
    sent = texts()
    assert sorted(sent.values()) == [1] * (number - 1) + [2], "only the text without a row was sent again"


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
