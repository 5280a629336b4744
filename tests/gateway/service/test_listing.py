"""Which journeys are listed: by the store and by search, held ones by their own word, and what those do that run."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import BadCombination, BadInput
from gateway.journeys.snapshot import pending
from gateway.operations.journey_operations import targets
from gateway.operations.request import JourneyTarget
from gateway.service import index
from gateway.service.index import JourneyFilter, JourneyIndex, literal
from gateway.service.journeys import with_next_tries
from gateway.service.listing import JourneyLists, JourneySummary, first
from runtime.store import OperationItem, Store
from scenario.plan.plan import Plan, dump_plan
from scenario.steps.delivery import Send
from scenario.steps.wait import WaitRow
from tests.factories import TURNED_AWAY, admission_request
from tests.gateway.journey import attempt
from tests.gateway.search import NOW, Search


def lists(temporal: Search, store: Store) -> JourneyLists:
    return JourneyLists(temporal.client, store)


async def let_in(store: Store, journey: str, *, version: int = 3, at: datetime = NOW) -> None:
    _, contact, *key = journey.split("/")
    given = {"key": key[0] if key else None, "run_id": "r1", "now": at}
    await store.admit(admission_request(contact, "a", version=version, **given))


async def newest(
    temporal: Search, store: Store, *, limit: int, state: str | None = None, **wanted: Any
) -> list[JourneySummary]:
    return await lists(temporal, store).newest(JourneyFilter(**wanted), state=state, limit=limit)


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
    found = lists(server, store)
    a = JourneyFilter(scenario="a")
    page, following = await found.running_page(a, state="waiting", size=3)
    assert ([item.id for item in page], {item.state for item in page}) == (["a/4", "a/2"], {"waiting"})
    page, following = await found.running_page(a, state="waiting", size=3, after=following)
    assert ([item.id for item in page], following) == (["a/0"], None)
    assert (await found.running_page(a, state="paused", size=2))[1] is None, "though the page is full"
    second = JourneyFilter(scenario="a", version=2, contact="7", step="hook")
    await found.running_page(second, state="running", size=3)
    assert server.queries[-1] == (
        "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND ScenarioName = 'a' AND ContactId = '7'"
        " AND StepId = 'hook' AND (JourneyState IS NULL OR JourneyState IN ('running', 'waiting'))"
    )
    server.add("a/0", ScenarioName="a")  # has never waited: search does not know its version
    page, _ = await found.running_page(JourneyFilter(scenario="a", version=3), state="running", size=9)
    assert "a/0" in [item.id for item in page]
    server.error = RPCStatusCode.UNIMPLEMENTED
    assert await found.running_page(JourneyFilter(), size=3) == ([], None)


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
        await let_in(store, f"a/{number}", version=1 + number % 2, at=NOW + timedelta(minutes=number))
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


async def running(
    temporal: Search, store: Store, which: JourneyFilter, *, paused: bool, limit: int = 1_000
) -> list[JourneySummary]:
    return await first(limit, lists(temporal, store).running_by_page(which, paused=paused))


def told(minutes: int = 20, **more: Any) -> dict[str, Any]:
    """What a held journey says of itself: since when, so many minutes after the beginning, and why."""
    waiting = {
        "for": "an operator",
        "step": "hook",
        "reason": "wax answered 422",
        "at": (NOW + timedelta(minutes=minutes)).isoformat(),
        "destination": "wax",
        "status": 422,
        "cause": "permanent",
        **more.pop("waiting", {}),
    }
    return {"state": "held", "at": "hook", "waiting": waiting, **more}


def note(minutes: int = 20, **more: Any) -> dict[str, Any]:
    """What a held journey notes for those who list many."""
    waiting = told(minutes, waiting=more)["waiting"]
    return {key: value for key, value in waiting.items() if key != "for"}


async def test_held_journeys_are_listed_and_none_is_asked(store: Store) -> None:
    for number in range(0, 120, 2):
        await let_in(store, f"a/{number}/K1", at=NOW - timedelta(hours=1))
    temporal = Search()
    for number in reversed(range(120)):
        temporal.put(f"a/{number}/K1", noted=note(20 + number % 2))
    found = await lists(temporal, store).held(JourneyFilter(scenario="a"))
    assert [item.id for item in found] == [f"a/{number}/K1" for number in range(120)]
    assert (temporal.asked, len(temporal.queries)) == ([], 1)
    first, second, *_ = found
    assert (first.reason, first.since, first.status) == ("wax answered 422", NOW + timedelta(minutes=20), 422)
    assert (first.step, first.destination, first.held_reason) == ("hook", "wax", "permanent")
    assert (first.run_id, first.key, first.entered_at) == ("r1", "K1", NOW - timedelta(hours=1))
    assert (second.run_id, second.key, second.entered_at) == ("r9", None, NOW)  # the store does not know it
    for ask in (True, False):
        since = JourneyFilter(since=NOW + timedelta(minutes=21))
        assert len(await lists(temporal, store).held(since, details=ask)) == 60
    assert temporal.asked == []


async def test_a_version_needs_a_scenario_and_is_never_left_out_of_a_search(store: Store) -> None:
    temporal = Search()
    for details in (True, False):
        with pytest.raises(BadCombination):
            await lists(temporal, store).held(JourneyFilter(version=3), details=details)
    assert temporal.queries == []
    await lists(temporal, store).held(JourneyFilter(scenario="a", version=0))
    assert temporal.queries[-1].endswith("AND ScenarioVersion = 'a@0'")


async def test_search_is_asked_for_everything_that_it_knows(store: Store) -> None:
    temporal = Search()
    which = JourneyFilter(scenario="a", contact="o'neil", destination="wax", reason="exhausted", step="hook", since=NOW)
    assert await lists(temporal, store).held(which) == []
    assert temporal.queries == [
        "WorkflowType IN ('Journey', 'Batch') AND ExecutionStatus = 'Running' AND JourneyState = 'held' "
        "AND ScenarioName = 'a' "
        r"AND ContactId = 'o\'neil' AND Destination = 'wax' AND HeldReason = 'exhausted' AND StepId = 'hook'"
    ]


NEWER: dict[str, tuple[dict[str, Any], dict[str, Any] | None, bool]] = {
    "by another destination": ({"destination": "wax"}, note(destination="other"), False),
    "for another cause": ({"reason": "permanent"}, note(cause="exhausted"), False),
    "since earlier": ({"since": NOW + timedelta(minutes=21)}, note(20), False),
    "since just then": ({"since": NOW + timedelta(minutes=20)}, note(20), True),
    "the memo cannot be read": ({"since": NOW}, None, False),
    "as it was found": ({"step": "hook", "destination": "wax", "reason": "permanent"}, note(), True),
}


async def test_the_memo_of_a_journey_is_newer_than_what_search_has_indexed(store: Store) -> None:
    for wanted, noted, expected in NEWER.values():
        temporal = Search()
        temporal.put("a/7", noted=noted)
        found = await lists(temporal, store).held(JourneyFilter(**wanted))
        assert [item.id for item in found] == (["a/7"] if expected else [])
    # Without a memo, as search has it.
    temporal = Search()
    temporal.put("a/8")
    (found,) = await lists(temporal, store).held(JourneyFilter(scenario="a"))
    assert (found.id, found.state, found.step, found.entered_at) == ("a/8", "held", "hook", NOW)
    assert (found.reason, found.since, found.destination, found.held_reason) == (None, None, "wax", "permanent")


async def test_no_memo_is_read_for_what_search_alone_can_find(store: Store) -> None:
    temporal = Search()
    for number in reversed(range(120)):
        temporal.put(f"a/{number}", noted=note())
    found = await lists(temporal, store).held(JourneyFilter(destination="wax"), details=False)
    assert (len(found), found[0].reason) == (120, None)
    assert targets(found)[0] == JourneyTarget("a/0", "hook")


async def test_retrying_journeys_are_found_by_their_destination_and_operated_at_their_step(store: Store) -> None:
    temporal = Search()
    temporal.put("a/held")
    for number, destination in enumerate(("wax", "wax", "crm")):
        known = {"ScenarioVersion": "a@1", "StepId": "hook", "JourneyState": "retrying", "Destination": destination}
        temporal.add(f"a/{number}", **known)
    found = await lists(temporal, store).held(JourneyFilter(destination="wax", state="retrying"), details=False)
    assert set(targets(found)) == {JourneyTarget("a/0", "hook"), JourneyTarget("a/1", "hook")}
    assert {(item.state, item.reason, item.since) for item in found} == {("retrying", None, None)}
    since = JourneyFilter(state="retrying", since=NOW - timedelta(days=1))
    assert len(await lists(temporal, store).held(since)) == 3, "since their admission"


async def test_no_more_held_journeys_are_found_than_the_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"a/{number}" for number in range(120)]
    temporal = Search()
    for number, name in reversed([*enumerate(ids)]):
        temporal.put(name, noted=note(20 if number % 2 else 10))
    monkeypatch.setattr(index, "_PAGE", 50)
    found = await lists(temporal, store).held(JourneyFilter(since=NOW + timedelta(minutes=15)), limit=30)
    assert [item.id for item in found] == ids[1:60:2]


@pytest.fixture
async def many(store: Store) -> Search:
    """Journeys in several states, of two versions: the later one sends to wax."""
    for step in (WaitRow(kind="wait", seconds=60.0), Send(kind="webhook", to="wax")):
        await store.publish("a", {}, dump_plan(Plan(start="it", steps={"it": step})), step.kind)
    states = ("running", "paused", "held", "held", "waiting")
    for number, _ in enumerate((*states, "lost")):
        await let_in(store, f"a/{number}", version=1 + number % 2, at=NOW + timedelta(minutes=number))
    operations = [{"name": name} for name in ("pause", "resume", "pause", "skip_step")]
    temporal = Search(answers={"a/2": told(operations=operations[:2]), "a/3": told(operations=operations)})
    for number, state in enumerate(states):
        temporal.put(f"a/{number}", state)
    return temporal


UNDER_WAY: list[tuple[dict[str, Any], bool, list[str]]] = [
    ({}, False, ["a/4", "a/2", "a/0"]),
    ({}, True, ["a/3", "a/1"]),
    ({"since": NOW + timedelta(minutes=2)}, True, ["a/3"]),
    ({"destination": "wax"}, True, ["a/3", "a/1"]),
    ({"destination": "wax"}, False, []),
    ({"scenario": "b"}, True, []),
]


async def test_those_to_be_paused_or_resumed_are_under_way(store: Store, many: Search) -> None:
    """One that was terminated is not among them, and one that is held as well knows whether it is paused."""
    for wanted, paused, expected in UNDER_WAY:
        found = await running(many, store, JourneyFilter(**wanted), paused=paused)
        assert [item.id for item in found] == expected
        limited = await running(many, store, JourneyFilter(**wanted), paused=paused, limit=1)
        assert [item.id for item in limited] == expected[:1]


async def test_exactly_those_that_accepted_an_earlier_operation_are_found(store: Store, many: Search) -> None:
    """Whatever search says of them: it lags behind."""
    outcomes = [("a/0", "accepted"), ("a/1", "accepted"), ("a/3", "refused"), ("a/5", "accepted"), ("a/9", "accepted")]
    await store.add_items(
        "op1", [OperationItem(number=n, workflow_id=name, outcome=how) for n, (name, how) in enumerate(outcomes)]
    )
    for scenario, expected in ((None, "a/0 a/1 a/5"), ("a", "a/0 a/1 a/5"), ("b", "")):
        found = await running(many, store, JourneyFilter(operation="op1", scenario=scenario), paused=True)
        assert " ".join(sorted(item.id for item in found)) == expected, "one is over"


async def test_no_more_journeys_are_looked_at_than_are_needed(store: Store) -> None:
    ids = [f"a/{number}" for number in range(120)]
    for number, name in enumerate(ids):  # some of them came in at the same moment
        await let_in(store, name, at=NOW + timedelta(minutes=number // 30))
    temporal = Search()
    for name in ids:
        temporal.put(name, "waiting")
    found = await running(temporal, store, JourneyFilter(), paused=False, limit=3)
    assert (len(found), len(temporal.queries)) == (3, 1)
    every = await running(temporal, store, JourneyFilter(), paused=False)
    assert [item.id for item in every[:3]] == [item.id for item in found]
    assert (len(every), {item.id for item in every}) == (120, set(ids))
    assert len(temporal.queries) == 1 + 3
