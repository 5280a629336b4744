"""Campaigns: every line is in a chunk once, and pause, rate and stop take effect in the middle of chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.background import CampaignChunk
from tests.sandbox import sandbox
from workflows.campaign import (
    ENTER,
    RECORD,
    WORKFLOW,
    CampaignChange,
    CampaignState,
    CampaignWorkflow,
)
from workflows.operation import QUEUE

WHO = {"operator": "ann", "reason": "look"}


@dataclass
class Gateway:
    """Works on chunks: at once, or until it is told to go on."""

    slow: bool = False
    broken: str = ""
    done: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])
    interrupted: list[int] = field(default_factory=list[int])
    changes: list[CampaignChange] = field(default_factory=list[CampaignChange])
    at_work: set[int] = field(default_factory=set[int])

    @activity.defn(name=ENTER)
    async def enter(self, chunk: CampaignChunk) -> None:
        if self.broken:
            raise ApplicationError(self.broken, non_retryable=True)
        self.at_work.add(chunk.first)
        try:
            while self.slow:
                activity.heartbeat()
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.interrupted.append(chunk.first)
            raise
        self.done.append((chunk.first, chunk.last, chunk.rate))

    @activity.defn(name=RECORD)
    async def record(self, change: CampaignChange) -> None:
        self.changes.append(change)

    async def busy(self, number: int) -> None:
        """Wait until so many chunks are worked on."""
        async with asyncio.timeout(60):
            while len(self.at_work) < number:
                await asyncio.sleep(0.02)

    @property
    def recorded(self) -> list[str]:
        return [change.change for change in self.changes]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def client(environment: WorkflowEnvironment, gateway: Gateway) -> AsyncIterator[Client]:
    async with Worker(
        environment.client,
        task_queue=QUEUE,
        workflows=[CampaignWorkflow],
        activities=[gateway.enter, gateway.record],
        workflow_runner=sandbox(),
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    ):
        yield environment.client
        gateway.slow = False


async def begin(client: Client, lines: int = 4_500, **more: Any) -> WorkflowHandle[Any, str]:
    state = CampaignState(campaign="sale", rate=100.0, lines=lines, **more)
    return await client.start_workflow(WORKFLOW, state, id="campaign/sale", task_queue=QUEUE, result_type=str)


async def update(handle: WorkflowHandle[Any, str], name: str, argument: Any) -> None:
    await handle.execute_update(name, argument)  # pyright: ignore[reportUnknownMemberType] of the SDK


async def test_every_line_is_in_one_chunk_and_chunks_share_the_rate(client: Client, gateway: Gateway) -> None:
    assert await (await begin(client)).result() == "finished"
    assert sorted(gateway.done) == [
        (1, 1000, 25.0),
        (1001, 2000, 25.0),
        (2001, 3000, 25.0),
        (3001, 4000, 25.0),
        (4001, 4500, 100.0),
    ]
    assert gateway.changes == [CampaignChange(campaign="sale", change="finished")]


async def test_its_history_stays_small(client: Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def suggested(self: workflow.Info) -> bool:
        return self.get_current_history_length() > 15

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggested)
    handle = await begin(client, 12_000)
    assert await handle.result() == "finished"
    assert sorted(first for first, _, _ in gateway.done) == list(range(1, 12_000, 1000))
    assert (await client.get_workflow_handle(handle.id).describe()).run_id != handle.first_execution_run_id


async def test_a_paused_campaign_goes_on_with_the_interrupted_chunks(client: Client, gateway: Gateway) -> None:
    gateway.slow = True
    handle = await begin(client, 2_000)
    await gateway.busy(2)
    await update(handle, "pause", WHO)
    assert sorted(gateway.interrupted) == [1, 1001]
    with pytest.raises(WorkflowUpdateFailedError) as twice:
        await update(handle, "pause", WHO)
    assert str(twice.value.cause) == "NotNow: the campaign is paused already"
    gateway.slow = False
    await update(handle, "resume", WHO)
    assert await handle.result() == "finished"
    assert sorted(first for first, _, _ in gateway.done) == [1, 1001]
    assert gateway.recorded == ["pause", "resume", "finished"]
    assert (gateway.changes[0].operator, gateway.changes[0].reason) == ("ann", "look")


async def test_a_new_rate_takes_effect_in_the_chunks_under_way(client: Client, gateway: Gateway) -> None:
    gateway.slow = True
    handle = await begin(client, 1_000)
    await gateway.busy(1)
    await update(handle, "retune", {**WHO, "rate": 7})
    gateway.slow = False
    assert await handle.result() == "finished"
    assert (gateway.interrupted, gateway.done) == ([1], [(1, 1000, 7.0)])
    assert [(change.change, change.rate) for change in gateway.changes] == [("retune", 7.0), ("finished", None)]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_stopped_campaign_starts_nothing_more(client: Client, gateway: Gateway, paused: bool) -> None:
    gateway.slow = True
    handle = await begin(client, 9_000)
    await gateway.busy(4)
    if paused:
        await update(handle, "pause", WHO)
    await update(handle, "stop", {"operator": "bob", "reason": "enough"})
    assert await handle.result() == "stopped"
    assert (gateway.done, len(gateway.interrupted)) == ([], 4)
    assert gateway.changes[-1] == CampaignChange(
        campaign="sale", change="stopped", operator="bob", reason="enough", rate=100.0
    )


async def test_it_waits_for_its_start_and_can_be_stopped_before(
    client: Client, gateway: Gateway, environment: WorkflowEnvironment
) -> None:
    now = await environment.get_current_time()
    handle = await begin(client, starts_at=(now + timedelta(days=30)).isoformat())
    assert await handle.result() == "finished"
    assert await environment.get_current_time() >= now + timedelta(days=30)


async def test_a_chunk_that_cannot_be_done_ends_it_with_the_reason(client: Client, gateway: Gateway) -> None:
    gateway.broken = "the scenario is gone"
    assert await (await begin(client)).result() == "failed"
    assert [(change.change, change.trouble) for change in gateway.changes] == [("failed", "the scenario is gone")]


@pytest.mark.parametrize("argument", [None, {"campaign": "sale", "rate": 0, "lines": 1}, {"rate": 1.0, "lines": 1}])
async def test_an_argument_from_elsewhere_is_refused(client: Client, argument: Any) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(WORKFLOW, argument, id="campaign/odd", task_queue=QUEUE)
    assert str(failed.value.cause) == "NotACampaign: The argument of Campaign must come from the gateway"
