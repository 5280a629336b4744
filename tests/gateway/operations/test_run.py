"""One operation for many journeys: at a rate, a few at a time, counted, and safe to be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from gateway.client import JourneyFilter, ScenarioClient
from gateway.errors import BadOperation, NotAccepted, NotAnswered, NotFound
from gateway.operations.journey_operations import JourneyOperations, targets
from gateway.operations.request import AT_ONCE, JourneyTarget, OperationRun, RefusalView, Tally
from runtime.store import AdmissionRequest, Store
from scenario.words import Operation
from tests.gateway.search import NOW, Search

Answer = Callable[[JourneyTarget], Awaitable[None]]


def some(count: int) -> list[JourneyTarget]:
    return [JourneyTarget(f"a/{number}") for number in range(count)]


async def test_every_journey_gets_the_operation_and_each_answer_is_counted() -> None:
    answers: dict[str, Exception] = {
        "a/1": NotAccepted("a/1", "nothing to retry: the journey is not held"),
        "a/3": NotFound("there is no journey 'a/3': list the journeys to find its id"),
    }
    done: list[str] = []

    async def send(target: JourneyTarget) -> None:
        if target.id in answers:
            raise answers[target.id]

    tally = await OperationRun(send, rate=1000, done=lambda target: done.append(target.id)).run(some(5))
    assert sorted(tally.accepted) == ["a/0", "a/2", "a/4"]
    assert tally.refused[0] == RefusalView(id="a/1", why="nothing to retry: the journey is not held")
    assert (len(tally.refused), tally.left, tally.complete) == (2, 0, False)
    assert sorted(done) == [target.id for target in some(5)]


async def test_operations_keep_to_the_rate() -> None:
    times: list[float] = []

    async def send(_: JourneyTarget) -> None:
        times.append(asyncio.get_running_loop().time())

    await OperationRun(send, rate=100).run(some(12))
    assert times[-1] - times[0] >= 11 / 100 / 2  # half of it: the first may be noted late


async def test_what_a_slow_answer_held_up_is_not_made_up_for_by_a_burst() -> None:
    times: list[float] = []

    async def send(target: JourneyTarget) -> None:
        times.append(asyncio.get_running_loop().time())
        if int(target.id[2:]) < AT_ONCE:
            await asyncio.sleep(0.5)

    await OperationRun(send, rate=100).run(some(AT_ONCE + 10))
    assert times[-1] - times[AT_ONCE] >= 9 / 100 / 2  # a burst would take no time


async def test_only_so_many_are_on_their_way_at_once() -> None:
    busy = [0, 0]
    full = asyncio.Event()

    async def send(_: JourneyTarget) -> None:
        busy[0] += 1
        busy[1] = max(busy)
        if busy[0] == AT_ONCE:
            full.set()
        await full.wait()
        await asyncio.sleep(0.01)  # one more would come now
        busy[0] -= 1

    async with asyncio.timeout(60):
        await OperationRun(send, rate=100_000).run(some(3 * AT_ONCE))
    assert busy == [0, AT_ONCE]


async def test_it_is_given_up_where_no_worker_answers_and_one_answer_now_and_then_is_enough() -> None:
    async def send(target: JourneyTarget) -> None:
        if (number := int(target.id[2:])) % AT_ONCE or number >= 5 * AT_ONCE:
            raise NotAnswered(target.id, "no worker answered")

    tally = await OperationRun(send, rate=100_000).run(some(1000))
    assert (tally.unanswered, len(tally.accepted)) == (True, 5)
    assert 5 * AT_ONCE < len(tally.refused) + len(tally.accepted) <= 7 * AT_ONCE
    assert len(tally.refused) + len(tally.accepted) + tally.left == 1000


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_interrupted_round_tells_how_far_it_came(cancelled: bool) -> None:
    """Whether the server goes away, or the person has had enough."""
    reached = asyncio.Event()

    async def send(target: JourneyTarget) -> None:
        if target.id == "a/7":
            reached.set()
            if cancelled:
                await asyncio.sleep(60)
            raise ConnectionError

    batch = OperationRun(send, rate=1000)
    running = asyncio.create_task(batch.run(some(100)))
    await reached.wait()
    if cancelled:
        running.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else ConnectionError):
        await running
    assert batch.tally.accepted[:7] == [f"a/{number}" for number in range(7)]
    assert len(batch.tally.accepted) + batch.tally.left == 100


def test_a_tally_says_it_in_one_line() -> None:
    assert (Tally().complete, str(Tally())) == (False, "accepted 0")
    assert str(Tally(["a", "b"], [RefusalView(id="c", why="it is over")])) == "accepted 2, refused 1 (it is over)"
    refused = [RefusalView(id=name, why=why) for name, why in zip("abc", "xyy", strict=True)]
    assert str(Tally([], refused, left=4)) == "accepted 0, refused 3 (2 × y; 1 × x), not asked 4"


class Silent:
    """A journey that does not answer, as the SDK shows it: what is cancelled becomes an error of its own."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def execute_update(self, *_: Any, **__: Any) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise WorkflowUpdateRPCTimeoutOrCancelledError from error


def of(journey: object) -> JourneyOperations:
    """A client that knows but this one."""

    def handle(_: str) -> object:
        return journey

    return JourneyOperations(cast("Client", SimpleNamespace(get_workflow_handle=handle)), cast("Store", None))


async def test_an_operation_that_is_interrupted_was_not_refused() -> None:
    silent = Silent()
    operating = of(silent)
    batch = operating.batch(Operation.RETRY, operator="ann", reason="x")
    running = asyncio.create_task(batch.run(some(2)[:1]))
    await silent.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (batch.tally.accepted, batch.tally.refused, batch.tally.left) == ([], [], 1)


async def test_an_operation_that_nobody_answers_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.operations.journey_operations.ANSWER", 0.01)
    tally = await of(Silent()).batch(Operation.RETRY, operator="ann", reason="x").run(some(1))
    assert [item.why for item in tally.refused] == [
        "pending: no worker answered within 0.01 s. Check that one is running: it may carry out the operation later"
    ]


async def test_a_journey_whose_workflow_tasks_fail_cannot_be_asked() -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        text = "Unable to perform workflow execution update due to Workflow Task in failed state."
        raise RPCError(text, RPCStatusCode.FAILED_PRECONDITION, b"")

    batch = of(SimpleNamespace(execute_update=refuse)).batch(Operation.LEAVE, operator="ann", reason="x")
    tally = await batch.run(some(1))
    assert [item.why for item in tally.refused] == [
        "it cannot answer, because its workflow tasks fail: the workers' log has the reason"
    ]


async def test_what_cannot_be_the_id_of_a_journey_is_nobodys() -> None:
    with pytest.raises(NotFound, match=r"^there is no journey of this id: list the journeys to find its id$"):
        await of(None).send("", Operation.LEAVE, operator="ann", reason="x")


HELD = {
    "state": "held",
    "at": "hook",
    "waiting": {"for": "an operator", "step": "hook", "reason": "wax answered 422", "at": NOW.isoformat()},
}


@pytest.fixture
async def found(store: Store) -> ScenarioClient:
    """A client of two journeys: one is held, and the other waits."""
    for number in (1, 2):
        asking = AdmissionRequest("a", 1, str(number), None, f"a/{number}", "r1", "always", NOW, "order")
        await store.admit(asking)
    noted = {"at": NOW.isoformat(), "reason": "wax answered 422"}
    waiting = {"state": "waiting", "at": "mail", "waiting": {"for": "time"}}
    temporal = Search(answers={"a/1": HELD, "a/2": waiting})
    temporal.put("a/1", noted=noted)
    temporal.put("a/2", "waiting")
    return ScenarioClient(temporal.client, store, "Europe/Paris")


async def test_each_operation_has_journeys_for_which_it_makes_sense(found: ScenarioClient) -> None:
    held = await found.select(Operation.RETRY, JourneyFilter(since=NOW))
    assert targets(held) == [JourneyTarget("a/1", "hook")]
    assert {item.id for item in await found.select(Operation.PAUSE, JourneyFilter())} == {"a/1", "a/2"}
    assert await found.select(Operation.RESUME, JourneyFilter()) == []
    assert {item.id for item in await found.select(Operation.LEAVE, JourneyFilter(scenario="a"), everybody=True)} == {
        "a/1",
        "a/2",
    }


async def test_names_of_operations_are_accepted_and_verified(found: ScenarioClient) -> None:
    """Programs may pass the word itself, which type checkers cannot prevent."""
    operation: Any = "resume"
    assert await found.select(operation, JourneyFilter()) == []
    operation = "retry_step"
    record: dict[str, Any] = {"operator": "ann", "reason": "it is back"}
    with pytest.raises(BadOperation, match="there is no operation 'retry_step'"):
        await found.select(operation, JourneyFilter(scenario="a"))
    with pytest.raises(BadOperation, match="there is no operation 'retry_step'"):
        await found.operate(operation, JourneyFilter(scenario="a"), **record)
    with pytest.raises(BadOperation, match="there is no operation 'retry_step'"):
        await found.send("a/1", operation, **record)
