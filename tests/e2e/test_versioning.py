"""Versioned workers: journeys and their deliveries go on through a change of the current version."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.client import Client

from activities.channel_registry import QUEUES
from activities.webhook.route import Diverted
from gateway.client import ScenarioClient
from runtime.process.workers import BUILD, DEPLOYMENT, deployment_from
from runtime.settings import Settings
from runtime.store import Store
from tests.e2e.conftest import Gate, Server, entry, outcomes, publish
from worker import running_workers, services, workers

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

Versions = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
async def temporal(server: Server) -> Client:
    return await server.connect()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"))


@pytest.fixture
async def client(temporal: Client, settings: Settings) -> AsyncIterator[ScenarioClient]:
    async with Store.open(settings.store.get_secret_value()) as store:
        yield ScenarioClient(temporal, store)


@pytest.fixture
def version(temporal: Client, settings: Settings) -> Versions:
    @asynccontextmanager
    async def serving(build: str | None, gate: Gate) -> AsyncGenerator[None]:
        deployment = deployment_from({DEPLOYMENT: NAME, BUILD: build} if build else {})
        async with (
            services(settings, routes=Diverted(gate.url)) as given,
            running_workers(await workers(temporal, given, QUEUES, deployment)) as crew,
        ):
            await crew.polling()
            yield

    return serving


async def run(program: Path, server: Server, words: str) -> int:
    command = [str(program), *words.split(), "--namespace", server.namespace, "--address", server.address, "--yes"]
    return (await asyncio.to_thread(subprocess.run, command, capture_output=True)).returncode


async def make_current(server: Server, program: Path, build: str) -> None:
    words = f"worker deployment set-current-version --deployment-name {NAME} --build-id {build}"
    async with asyncio.timeout(60):
        while await run(program, server, words):  # the version is not known yet
            await asyncio.sleep(0.05)


async def test_journeys_and_deliveries_go_on_with_the_version_that_is_current(
    server: Server, temporal_program: Path, client: ScenarioClient, version: Versions, tmp_path: Path
) -> None:
    await publish(client, tmp_path, STEPS)
    async with Gate(hold=1) as gate:
        async with version("v1", gate):
            await make_current(server, temporal_program, "v1")
            journey = await client.enter(entry("versioned"), settle=20)
            await gate.called(1)
            async with version("v2", gate):
                await make_current(server, temporal_program, "v2")
                gate.opened.set()
        async with version("v2", gate), asyncio.timeout(60):
            await client.event("1", "go")
            result = await journey.result()
            described = await journey.handle.describe()
    assert [step for step in outcomes(result) if "wait" not in step[0]] == [
        ("before", "delivered"),
        ("after", "delivered"),
    ]
    info = described.raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
    assert info.deployment_version.build_id == "v2"
