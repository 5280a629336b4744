"""A test that hangs ends: the suite's bound on the shutdown of workers."""

from __future__ import annotations

import asyncio

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.servers import time_skipping_server


@activity.defn
async def idle() -> None:
    """Do nothing."""


@workflow.defn
class Idle:
    """Waits forever."""

    @workflow.run
    async def run(self) -> None:
        """Wait forever."""
        await workflow.wait_condition(lambda: False)


async def hang(client: Client, running: asyncio.Event) -> None:
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue="idle", workflows=[Idle], activities=[idle], workflow_runner=runner):
        await client.start_workflow(Idle.run, id="idle", task_queue="idle")
        running.set()
        await asyncio.Event().wait()


async def leave_hanging() -> None:
    """Leave a task with a worker, and no server, as a test does that is interrupted."""
    server = str(time_skipping_server())
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=server) as environment:
        running = asyncio.Event()
        hanging = asyncio.create_task(hang(environment.client, running))
        await running.wait()
        await asyncio.sleep(0.5)
    assert not hanging.done()


async def test_a_loop_closes_whose_test_has_left_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest._SHUTDOWN", 1.0)

    def interrupt() -> None:
        with asyncio.Runner() as runner:
            runner.run(leave_hanging())

    async with asyncio.timeout(60):
        await asyncio.to_thread(interrupt)
