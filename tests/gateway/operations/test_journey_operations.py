"""Which journeys, and which deliveries, a client finds for operators."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.taskqueue.v1 import TaskQueueStats
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.client import JourneyFilter, JourneyTarget, ScenarioClient, targets
from gateway.errors import BadOperation
from runtime.store import AdmissionRequest, Store
from scenario.words import Operation
from tests.gateway.search import NOW, Execution, Temporal, client

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
    executions = [Execution("a/1", noted=noted), Execution("a/2", state="waiting")]
    waiting = {"state": "waiting", "at": "mail", "waiting": {"for": "time"}}
    temporal = Temporal(executions, answers={"a/1": HELD, "a/2": waiting})
    return ScenarioClient(client(temporal), store, "Europe/Paris")


async def test_held_journeys_are_listed_as_they_tell_themselves(found: ScenarioClient) -> None:
    (journey,) = await found.held(since=NOW)
    assert (journey.id, journey.step, journey.reason) == ("a/1", "hook", "wax answered 422")
    assert {item.id for item in await found.journeys()} == {"a/1", "a/2"}


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


async def test_what_the_server_refuses_is_not_taken_for_a_journey_that_is_over(store: Store) -> None:
    class Handle:
        async def signal(self, *_: Any) -> None:
            raise RPCError("too much", RPCStatusCode.RESOURCE_EXHAUSTED, b"")

    class Refusing:
        namespace = "default"

        @property
        def workflow_service(self) -> Any:
            async def describe_task_queue(*_: Any, **__: Any) -> DescribeTaskQueueResponse:
                return DescribeTaskQueueResponse(stats=TaskQueueStats())

            return SimpleNamespace(describe_task_queue=describe_task_queue)

        def get_workflow_handle(self, *_: Any, **__: Any) -> Handle:
            return Handle()

    await store.admit(AdmissionRequest("a", 1, "7", None, "a/7", "r1", "always", NOW, "order"))
    refused = ScenarioClient(cast("Client", Refusing()), store)
    with pytest.raises(RPCError, match="too much"):
        await refused.event("7", "go")
    assert len(await store.running("7")) == 1
