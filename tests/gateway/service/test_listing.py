"""Who came in, and what those under way are doing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import BadInput
from gateway.journeys.pending_activities import pending
from gateway.service.index import JourneyFilter, JourneyIndex, literal
from gateway.service.journeys import with_next_tries
from gateway.service.listing import JourneyLists, JourneySummary
from runtime.store import AdmissionRequest, Store
from tests.factories import TURNED_AWAY
from tests.gateway.journey import attempt
from tests.gateway.search import NOW, Search


async def newest(
    temporal: Search, store: Store, *, limit: int, state: str | None = None, **wanted: Any
) -> list[JourneySummary]:
    return await JourneyLists(temporal.client, store).newest(JourneyFilter(**wanted), state=state, limit=limit)


async def test_search_tells_the_state_of_those_under_way_a_few_at_a_time(store: Store) -> None:
    for number in range(60):
        await let_in(store, f"a/{number}")
    temporal = Search()
    temporal.put("a/7", "paused")
    listed = await newest(temporal, store, scenario="a", limit=100)
    assert len(listed) == 60
    assert {item.id for item in listed if item.state == "paused"} == {"a/7"}
    assert {item.state for item in listed if item.id != "a/7"} == {"running"}
    assert len(temporal.queries) == 2
    assert all(query.count("'a/") <= 50 for query in temporal.queries)


async def test_ids_that_search_cannot_match_are_found_by_a_range() -> None:
    temporal = Search()
    names = ['a/d"1', 'a/d"2', "a/back\\slash", "a/7"]
    for name in names:
        temporal.put(name, "paused")
    wanted = [name for name in names if name != 'a/d"2']
    assert (await JourneyIndex(temporal.client).states(wanted)).keys() == set(wanted)
    assert sum("BETWEEN 'a/d!' AND 'a/d#'" in query for query in temporal.queries) == 1


async def let_in(store: Store, name: str, version: int = 3, *, minutes: float = 0) -> None:
    now = NOW + timedelta(minutes=minutes)
    await store.admit(AdmissionRequest("a", version, name.partition("/")[2], None, name, "r1", "always", now, "order"))


async def test_a_held_one_says_why(store: Store) -> None:
    await let_in(store, "a/7")
    noted = {"reason": "wax answered 422", "cause": "permanent", "destination": "wax", "status": 422, "at": str(NOW)}
    temporal = Search()
    temporal.put("a/7", noted=noted)
    (listed,) = await newest(temporal, store, limit=10)
    assert (listed.reason, listed.held_reason, listed.status) == ("wax answered 422", "permanent", 422)
    assert (listed.destination, listed.since) == ("wax", NOW)
    await store.depart("a/7", "r1", "exited", "skipped", NOW)
    (over,) = await newest(temporal, store, limit=10)
    assert (over.reason, over.held_reason) == ("skipped", None)


async def test_search_finds_those_in_a_state_page_by_page(store: Store) -> None:
    server = Search()
    for number in range(5):
        await let_in(store, f"a/{number}")
        server.add(f"a/{number}", JourneyState="paused" if number % 2 else "waiting", ScenarioName="a")
    server.add("a/99", JourneyState="waiting", ScenarioName="a")  # not admitted yet
    lists = JourneyLists(server.client, store)
    a = JourneyFilter(scenario="a")
    page, following = await lists.running_page(a, state="waiting", size=3)
    assert ([item.id for item in page], {item.state for item in page}) == (["a/4", "a/2"], {"waiting"})
    page, following = await lists.running_page(a, state="waiting", size=3, after=following)
    assert ([item.id for item in page], following) == (["a/0"], None)
    assert (await lists.running_page(a, state="paused", size=2))[1] is None, "though the page is full"
    second = JourneyFilter(scenario="a", version=2, contact="7", step="hook")
    await lists.running_page(second, state="running", size=3)
    assert server.queries[-1] == (
        "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND ScenarioName = 'a' AND ContactId = '7'"
        " AND StepId = 'hook' AND (JourneyState IS NULL OR JourneyState IN ('running', 'waiting'))"
    )
    server.add("a/0", ScenarioName="a")  # has never waited: search does not know its version
    page, _ = await lists.running_page(JourneyFilter(scenario="a", version=3), state="running", size=9)
    assert "a/0" in [item.id for item in page]
    server.error = RPCStatusCode.UNIMPLEMENTED
    assert await lists.running_page(JourneyFilter(), size=3) == ([], None)


async def test_a_journey_says_what_its_delivery_waits_for(store: Store) -> None:
    """Search has heard of its last wait, and of no delivery. What has failed is retried; what was put off waits."""
    activity = PendingActivityInfo(activity_id="hook", attempt=3)
    await let_in(store, "a/7")
    temporal = Search(sending={"a/7": [activity]})
    temporal.put("a/7", "waiting")
    for failure, state in ((None, "running"), (replace(TURNED_AWAY, attempt=0), "waiting"), (TURNED_AWAY, "retrying")):
        if failure is not None:
            await DataConverter.default.encode_failure(failure.as_error(), activity.last_failure)
        (listed,) = await newest(temporal, store, limit=10)
        assert (listed.state, listed.step, listed.reason) == (state, "hook", failure and failure.why)
    (going,) = await pending(temporal.client, DescribeWorkflowExecutionResponse(pending_activities=[activity]))
    assert (going.turned_away, going.why) == ("breaker_open", "wax has failed too often")
    assert going.attempt == TURNED_AWAY.attempt + 1  # and not Temporal's, which counts what was put off


async def test_journeys_are_looked_for_by_state_step_and_version(store: Store) -> None:
    for number in range(1, 7):
        await let_in(store, f"a/{number}", version=1 + number % 2, minutes=number)
    await store.depart("a/6", "r1", "exited", None, NOW)
    states = {1: "waiting", 2: "paused", 3: "waiting", 4: "running", 5: "waiting"}
    temporal = Search()
    for number, state in states.items():
        temporal.put(f"a/{number}", state)

    async def found(limit: int = 2, **wanted: Any) -> list[str]:
        return [item.id for item in await newest(temporal, store, limit=limit, **wanted)]

    assert await found() == ["a/6", "a/5"]
    assert await found(state="waiting") == ["a/5", "a/3"]  # beyond the first page
    assert await found(state="waiting", limit=9) == ["a/5", "a/3", "a/1"]
    assert await found(state="exited") == ["a/6"]
    assert await found(state="finished") == []
    assert await found(step="hook", limit=9) == ["a/5", "a/4", "a/3", "a/2", "a/1"]
    assert await found(scenario="a", version=1, limit=9) == ["a/6", "a/4", "a/2"]


async def test_the_next_attempt_is_told_only_where_it_is_with_next_tries(store: Store) -> None:
    for name in ("a/1", "a/2", "a/3"):
        await let_in(store, name)
    await store.depart("a/2", "r1", "exited", None, NOW)
    made = [
        attempt("hook", 1, workflow_id=name, started_at=NOW + timedelta(minutes=minute), next_try_at=NOW)
        for minute, name in enumerate(("a/1", "a/2", "a/3", "a/1"))
    ]
    told = await with_next_tries(store, made)
    assert [item.next_try_at for item in told] == [None, None, NOW, NOW]
    earlier = replace(made[2], started_at=NOW - timedelta(minutes=1))  # of a journey of the same id, before
    assert [item.next_try_at for item in await with_next_tries(store, [earlier])] == [None]


async def test_a_server_without_search_still_can_be_looked_at(store: Store) -> None:
    await let_in(store, "a/7")
    temporal = Search(error=RPCStatusCode.UNIMPLEMENTED)
    (listed,) = await newest(temporal, store, limit=10)
    assert listed.state == "running"
    temporal.error = RPCStatusCode.INTERNAL
    with pytest.raises(RPCError):
        await newest(temporal, store, limit=10)


def test_no_id_can_change_a_query() -> None:
    assert [literal(text) for text in ("a", "a\\", "x' OR 'y")] == ["'a'", r"'a\\'", r"'x\' OR \'y'"]
    with pytest.raises(BadInput, match=r"contains the character U\+0000"):
        literal("a\0b")
