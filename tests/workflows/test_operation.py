"""Operations on many journeys: they go on until all have answered, and stop when they are told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from tests.stage import failure_of, worker
from workflows.operation import (
    CLOSE,
    OPERATE,
    QUEUE,
    STOP,
    SURVEY,
    WORKFLOW,
    Chunk,
    ChunkDone,
    Closing,
    OperationState,
    OperationWorkflow,
    most_of,
)

Script = Callable[[int, Chunk], ChunkDone]
STATE = OperationState(operation="op1", rate=10)
WHO = {"operator": "bob", "reason": "wrong one"}


@dataclass
class Gateway:
    """Does what the test says: answers the nth chunk, or works on one until it is cancelled."""

    script: Script | None = None
    surveys: int = 0
    broken: str | None = None
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    closings: list[Closing] = field(default_factory=list[Closing])
    at_work: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name=SURVEY)
    async def survey(self, operation: str) -> None:
        assert operation == "op1"
        self.surveys += 1
        if self.broken:
            raise ApplicationError(self.broken, non_retryable=True)

    @activity.defn(name=OPERATE)
    async def operate(self, chunk: Chunk) -> ChunkDone:
        self.chunks.append(chunk)
        if self.script is not None:
            return self.script(len(self.chunks), chunk)
        self.at_work.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn(name=CLOSE)
    async def close(self, closing: Closing) -> None:
        self.closings.append(closing)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def client(environment: WorkflowEnvironment, gateway: Gateway) -> AsyncIterator[Client]:
    options: dict[str, Any] = {"task_queue": QUEUE, "max_heartbeat_throttle_interval": timedelta(milliseconds=100)}
    own = [gateway.survey, gateway.operate, gateway.close]
    async with worker(environment.client, [OperationWorkflow], own, **options):
        yield environment.client


async def begin(client: Client, argument: Any = STATE) -> WorkflowHandle[Any, str]:
    return await client.start_workflow(WORKFLOW, argument, id="operation:op1", task_queue=QUEUE, result_type=str)


def all_but(left: list[int]) -> Script:
    def script(number: int, _: Chunk) -> ChunkDone:
        return ChunkDone(asked=10, answered=10, after=(number, f"a/{number}"), left=left[number - 1])

    return script


async def test_it_goes_on_until_none_is_left(client: Client, gateway: Gateway) -> None:
    gateway.script = all_but([20, 10, 0])
    assert await (await begin(client)).result() == "finished"
    assert gateway.surveys == 1
    asked = [(chunk.most, chunk.after) for chunk in gateway.chunks]
    assert asked == [(600, None), (600, (1, "a/1")), (600, (2, "a/2"))]
    assert gateway.closings == [Closing(operation="op1", outcome="finished")]


async def test_a_dry_run_asks_nobody(client: Client, gateway: Gateway) -> None:
    assert await (await begin(client, OperationState(operation="op1", rate=10, dry_run=True))).result() == "finished"
    assert (gateway.surveys, gateway.chunks) == (1, [])
    assert gateway.closings == [Closing(operation="op1", outcome="finished", looked=True)]


@pytest.mark.usefixtures("_always_suggested")
async def test_its_history_stays_small(client: Client, gateway: Gateway) -> None:
    gateway.script = all_but([4, 3, 2, 1, 0])
    handle = await begin(client)
    assert await handle.result() == "finished"
    assert (gateway.surveys, len(gateway.chunks)) == (1, 5)
    assert [chunk.after for chunk in gateway.chunks] == [None, *((n, f"a/{n}") for n in range(1, 5))]
    assert (await client.get_workflow_handle(handle.id).describe()).run_id != handle.first_execution_run_id


async def test_where_nobody_answers_it_waits_and_goes_on_behind_them(client: Client, gateway: Gateway) -> None:
    def script(number: int, chunk: Chunk) -> ChunkDone:
        if number <= 4:
            return ChunkDone(asked=20, answered=0, after=(20 * number, "a"), left=100)
        return ChunkDone(asked=20, answered=20, after=None, left=100 if number == 5 else 0)

    gateway.script = script
    handle = await begin(client)
    assert await handle.result() == "finished"
    described = await handle.describe()
    assert described.close_time is not None
    waited = described.close_time - described.start_time
    assert timedelta(seconds=140) <= waited < timedelta(hours=1)  # 5 s, 15 s, a minute, a minute
    since = [chunk.silent_since for chunk in gateway.chunks]
    assert since[0] is None
    assert since[1] is not None
    assert since[1:5] == [since[1]] * 4
    assert since[5] is None, "somebody answered"
    assert [chunk.after and chunk.after[0] for chunk in gateway.chunks] == [None, 20, 40, 60, 80, None]


async def test_that_nobody_is_left_behind_a_place_is_no_answer(client: Client, gateway: Gateway) -> None:
    def script(number: int, chunk: Chunk) -> ChunkDone:
        if number == 4:
            return ChunkDone(asked=1, answered=1, after=None, left=0)
        asked = 1 if chunk.after is None else 0
        return ChunkDone(asked=asked, answered=0, after=(1, "a") if asked else None, left=1)

    gateway.script = script
    assert await (await begin(client)).result() == "finished"
    since = [chunk.silent_since for chunk in gateway.chunks]
    assert since[1] is not None
    assert since == [None, *[since[1]] * 3]


async def test_those_who_have_not_answered_for_a_day_are_given_up_with_words(client: Client, gateway: Gateway) -> None:
    gateway.script = lambda _, __: ChunkDone(asked=3, answered=0, after=None, left=3)
    since = (datetime.now(UTC) - timedelta(hours=24)).isoformat(timespec="seconds")
    silent = OperationState(operation="op1", rate=10, surveyed=True, silent_since=since)
    assert await (await begin(client, silent)).result() == "failed"
    trouble = f"no worker has answered since {since}: 3 journeys were given up"
    assert gateway.closings == [Closing(operation="op1", outcome="failed", trouble=trouble)]


@pytest.mark.parametrize(
    ("signals", "closing"),
    [
        ([WHO, {"operator": "ann", "reason": "too late"}], ("bob", "wrong one")),
        ([{"operator": None, "reason": "x" * 900}], ("not said", "x" * 500)),
        ([], ("Temporal", "its workflow was cancelled")),
    ],
    ids=["the first stop", "whatever it says", "Temporal's own cancel"],
)
async def test_a_stop_reaches_it_at_work(
    client: Client, gateway: Gateway, signals: list[Any], closing: tuple[str, str]
) -> None:
    handle = await begin(client)
    await gateway.at_work.wait()
    for signal in signals:
        await handle.signal(STOP, signal)
    if not signals:
        await handle.cancel()
    assert await handle.result() == "stopped"
    operator, reason = closing
    assert gateway.closings == [Closing(operation="op1", outcome="stopped", operator=operator, reason=reason)]


async def test_what_cannot_be_done_ends_it_with_the_reason(client: Client, gateway: Gateway) -> None:
    gateway.broken = "there is no scenario 'a': check its name"
    assert await (await begin(client)).result() == "failed"
    assert gateway.closings == [Closing(operation="op1", outcome="failed", trouble=gateway.broken)]


async def test_an_argument_that_is_none_fails_at_once(client: Client) -> None:
    arguments: list[Any] = [None, "x", [1], {}, {"operation": "op1"}, {"operation": 3, "rate": 10}]
    arguments += [{"operation": "op1", "rate": rate} for rate in (0, "fast")]
    arguments += [{"operation": "op1", "rate": 1, "after": 3}]
    for argument in arguments:
        kind, _ = await failure_of((await begin(client, argument)).result())
        assert (argument, kind) == (argument, "NotAnOperation")


@pytest.mark.parametrize(("rate", "most"), [(10, 600), (0.5, 30), (0.01, 1), (10_000, 1_000)])
def test_an_activity_asks_for_about_a_minute(rate: float, most: int) -> None:
    assert most_of(rate) == most
