"""Campaigns: every line is in a chunk once, and pause, rate and stop take effect in the middle of chunks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.background import CampaignChunk
from tests.stage import failure_of, refusal, worker
from workflows.campaign import (
    ENTER,
    PREPARE,
    RECORD,
    WORKFLOW,
    CampaignChange,
    CampaignGroup,
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
    groups: list[Any] = field(default_factory=list[Any])
    times: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    @activity.defn(name=PREPARE)
    async def prepare(self, campaign: str) -> list[Any]:
        if self.broken:
            raise ApplicationError(self.broken, non_retryable=True)
        self.at_work.add(0)
        while self.slow:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return self.groups

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
        self.times.append((chunk.due, chunk.first))

    @activity.defn(name=RECORD)
    async def record(self, change: CampaignChange) -> None:
        self.changes.append(change)

    async def busy(self, number: int) -> None:
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
    options: dict[str, Any] = {"task_queue": QUEUE, "max_heartbeat_throttle_interval": timedelta(milliseconds=100)}
    own = [gateway.prepare, gateway.enter, gateway.record]
    async with worker(environment.client, [CampaignWorkflow], own, **options):
        yield environment.client
        gateway.slow = False


async def begin(client: Client, lines: int = 4_500, **more: Any) -> WorkflowHandle[Any, str]:
    state = CampaignState(campaign="sale", rate=100.0, lines=lines, **more)
    return await client.start_workflow(WORKFLOW, state, id="campaign:sale", task_queue=QUEUE, result_type=str)


async def update(handle: WorkflowHandle[Any, str], name: str, argument: Any) -> None:
    await handle.execute_update(name, argument)  # pyright: ignore[reportUnknownMemberType] of the SDK


async def test_every_line_is_in_one_chunk_and_chunks_share_the_rate(client: Client, gateway: Gateway) -> None:
    assert await (await begin(client)).result() == "finished"
    first = [(1, 1000, 25.0), (1001, 2000, 25.0), (2001, 3000, 25.0), (3001, 4000, 25.0)]
    assert sorted(gateway.done) == [*first, (4001, 4500, 100.0)]
    assert gateway.changes == [CampaignChange(campaign="sale", change="finished")]


@pytest.mark.usefixtures("_always_suggested")
async def test_its_history_stays_small(client: Client, gateway: Gateway) -> None:
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
    assert await refusal(update(handle, "pause", WHO)) == "the campaign is paused already"
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


@pytest.mark.parametrize("preparing", [False, True])
async def test_a_chunk_or_a_file_that_cannot_be_used_ends_it_with_the_reason(
    client: Client, gateway: Gateway, preparing: bool
) -> None:
    gateway.broken = "the scenario is gone"
    handle = await begin(client, preparing=preparing)
    assert await handle.result() == "failed"
    assert [(change.change, change.trouble) for change in gateway.changes] == [("failed", "the scenario is gone")]


async def test_its_file_is_read_first_and_each_group_waits_for_its_time(
    client: Client, gateway: Gateway, environment: WorkflowEnvironment
) -> None:
    now = await environment.get_current_time()
    dues = [(now + timedelta(hours=hours)).isoformat() for hours in (-1, 5, 9)]
    gateway.groups = [CampaignGroup(lines=lines, due=due) for lines, due in zip((1_500, 1, 2), dues, strict=True)]
    handle = await begin(client, 0, preparing=True)
    assert await handle.result() == "finished"
    assert sorted(gateway.times) == [(dues[0], 1), (dues[0], 1001), (dues[1], 1), (dues[2], 1)]
    events = (await handle.fetch_history()).events
    began = [
        event.event_time.ToDatetime(now.tzinfo)
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    # The file, two chunks, a record, a chunk, a record, a chunk.
    assert began[3] < now + timedelta(hours=5) <= began[4] < now + timedelta(hours=9) <= began[6]
    assert [(change.change, change.due) for change in gateway.changes[:2]] == [("schedule", due) for due in dues[1:]]


async def test_one_waits_for_its_start_and_is_stopped_after_a_day(client: Client, gateway: Gateway) -> None:
    gateway.groups = [{"lines": 7, "of_a_newer_gateway": 1}]
    handle = await begin(client, 0, preparing=True, confirmed=False)
    assert await handle.result() == "stopped"
    assert (gateway.done, gateway.changes[-1].reason) == ([], "nobody started it within a day")
    gateway.slow = True
    handle = await begin(client, 0, preparing=True, confirmed=False)
    early = await refusal(update(handle, "start", WHO))
    assert early == "the campaign is being prepared: start it once that is done"
    starting = asyncio.create_task(update(handle, "start", WHO))
    await asyncio.sleep(0.1)
    gateway.slow = False
    await starting
    assert await handle.result() == "finished"
    assert (gateway.done, gateway.recorded) == ([(1, 7, 100.0)], ["stopped", "start", "finished"])


async def test_two_starts_while_its_file_is_read_start_it_once(client: Client, gateway: Gateway) -> None:
    gateway.slow, gateway.groups = True, [CampaignGroup(lines=7)]
    handle = await begin(client, 0, preparing=True, confirmed=False)
    starts = [asyncio.create_task(update(handle, "start", WHO)) for _ in range(2)]
    await asyncio.sleep(0.3)
    gateway.slow = False
    answers = await asyncio.gather(*starts, return_exceptions=True)
    refused = [start for start, answer in zip(starts, answers, strict=True) if answer is not None]
    assert [await refusal(start) for start in refused] == ["the campaign was started already"]
    assert await handle.result() == "finished"
    assert gateway.recorded == ["start", "finished"]


async def test_a_start_that_waits_for_the_file_is_refused_once_it_is_stopped(client: Client, gateway: Gateway) -> None:
    gateway.slow = True
    handle = await begin(client, 0, preparing=True, confirmed=False)
    starting = asyncio.create_task(update(handle, "start", WHO))
    await gateway.busy(1)
    await asyncio.sleep(0.2)
    await update(handle, "stop", WHO)
    assert await refusal(starting) == "the campaign has ended"
    assert (await handle.result(), gateway.recorded) == ("stopped", ["stopped"])
    events = (await handle.fetch_history()).events
    assert not any(event.HasField("timer_fired_event_attributes") for event in events)  # at once


@pytest.mark.parametrize("argument", [None, {"campaign": "sale", "rate": 0, "lines": 1}, {"rate": 1.0, "lines": 1}])
async def test_an_argument_from_elsewhere_is_refused(client: Client, argument: Any) -> None:
    result = client.execute_workflow(WORKFLOW, argument, id="campaign:odd", task_queue=QUEUE)
    assert await failure_of(result) == ("NotACampaign", "The argument of Campaign must come from the gateway")
