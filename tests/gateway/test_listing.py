"""Held journeys are found by Temporal's search, and say themselves why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from gateway.listing import held, newest, quoted
from runtime.attributes import CONTACT_ID, JOURNEY_STATE, SCENARIO_VERSION, STEP_ID
from runtime.store import Admission, Store

NOW = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


@dataclass
class Execution:
    """What search finds."""

    id: str
    run_id: str = "r9"
    start_time: datetime = NOW
    state: str = "held"

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        pairs = {SCENARIO_VERSION: "a@3", CONTACT_ID: "7", STEP_ID: "hook", JOURNEY_STATE: self.state}
        return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()])


@dataclass
class Temporal:
    """Stands in for Temporal's client: finds what the test says, lets journeys answer what it says."""

    found: list[Execution]
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    queries: list[str] = field(default_factory=list[str])
    error: RPCError | None = None

    async def list_workflows(self, query: str, limit: int | None = None) -> AsyncIterator[Execution]:
        self.queries.append(query)
        if self.error:
            raise self.error
        for execution in self.found[:limit]:
            yield execution

    def get_workflow_handle(self, name: str, run_id: str) -> Any:
        answers = self.answers

        class Handle:
            async def query(self, *_: Any, **__: Any) -> dict[str, Any]:
                if name not in answers:
                    raise RPCError("no poller", RPCStatusCode.FAILED_PRECONDITION, b"")
                return answers[name]

        return Handle()


def client(temporal: Temporal) -> Client:
    return cast("Client", temporal)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


async def test_held_journeys_say_why(store: Store) -> None:
    await store.admit(Admission("a", 3, "7", "K1", "a/7/K1", "r1", "always", NOW, "order"))
    waiting = {"for": "an operator", "reason": "hooks.example.com answered 422"}
    temporal = Temporal(
        [Execution("a/7/K1"), Execution("a/8")],
        answers={"a/7/K1": {"state": "held", "at": "hook", "waiting": waiting}},
    )
    first, second = await held(client(temporal), store, scenario="a", contact="o'neil", limit=10)
    assert (first.id, first.run_id, first.key, first.step, first.reason) == (
        "a/7/K1",
        "r1",
        "K1",
        "hook",
        "hooks.example.com answered 422",
    )
    # Where no worker answers, search has to do.
    assert (second.id, second.state, second.step, second.reason, second.entered_at) == (
        "a/8",
        "held",
        "hook",
        None,
        NOW,
    )
    assert temporal.queries == [
        "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND JourneyState = 'held' AND ScenarioName = 'a' "
        r"AND ContactId = 'o\'neil'"
    ]


async def test_search_tells_the_state_of_those_under_way_a_few_at_a_time(store: Store) -> None:
    for number in range(60):
        run = Admission("a", 3, str(number), None, f"a/{number}", "r1", "always", NOW, "order")
        await store.admit(run)
    temporal = Temporal([Execution("a/7", state="paused")])
    listed = await newest(client(temporal), store, scenario="a", contact=None, limit=100)
    assert len(listed) == 60
    assert {item.id for item in listed if item.state == "paused"} == {"a/7"}
    assert {item.state for item in listed if item.id != "a/7"} == {"running"}
    assert len(temporal.queries) == 2
    assert all(query.count("'a/") <= 50 for query in temporal.queries)


@pytest.mark.parametrize(("status", "passes"), [(RPCStatusCode.UNIMPLEMENTED, True), (RPCStatusCode.INTERNAL, False)])
async def test_a_server_without_search_still_can_be_looked_at(
    store: Store, status: RPCStatusCode, passes: bool
) -> None:
    await store.admit(Admission("a", 3, "7", None, "a/7", "r1", "always", NOW, "order"))
    temporal = Temporal([], error=RPCError("no", status, b""))
    if passes:
        (listed,) = await newest(client(temporal), store, scenario=None, contact=None, limit=10)
        assert listed.state == "running"
    else:
        with pytest.raises(RPCError):
            await newest(client(temporal), store, scenario=None, contact=None, limit=10)


@pytest.mark.parametrize(
    ("text", "literal"), [("a", "'a'"), ("o'neil", r"'o\'neil'"), ("a\\", r"'a\\'"), ("x' OR 'y", r"'x\' OR \'y'")]
)
def test_no_id_can_change_a_query(text: str, literal: str) -> None:
    assert quoted(text) == literal
