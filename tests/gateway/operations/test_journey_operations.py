"""Which journeys, and which deliveries, a client finds for operators."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.client import JourneyFilter, JourneyTarget, ScenarioClient, targets
from gateway.errors import BadOperation
from runtime.store import AdmissionRequest, Store
from scenario.words import Operation
from tests.gateway.search import NOW, Search

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
