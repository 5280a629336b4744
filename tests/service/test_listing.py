"""Lists of journeys, by the store and by search: held ones by their own word and in groups, and running ones."""

from collections.abc import Iterable, Set
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from authoring.errors import BadInput
from runtime.store import OperationItem, Store
from scenario.plan.plan import Plan, dump_plan
from scenario.steps.delivery import Send
from scenario.steps.wait import WaitRow
from service import index
from service.errors import BadCombination
from service.held import GROUPS, READ_FIRST, HeldGroupKey, HeldGroups, held_groups
from service.index import JourneyFilter, JourneyIndex, literal
from service.journeys.service import with_next_tries
from service.journeys.snapshot import pending
from service.listing import JourneyLists, JourneySummary, first
from service.operations.journey_operations import targets
from service.operations.request import JourneyTarget
from tests.factories import TURNED_AWAY, admission_request
from tests.journey import attempt
from tests.search import NOW, Search

WAX: Final = HeldGroupKey("winback", "wax", "hooks.example.com", "permanent")


@pytest.fixture
def temporal() -> Search:
    return Search()


@pytest.fixture
def lists(temporal: Search, store: Store) -> JourneyLists:
    return JourneyLists(temporal.client, store)


async def let_in(store: Store, journey: str, *, version: int = 3, at: datetime = NOW) -> None:
    _, contact, *key = journey.split("/")
    given = {"key": key[0] if key else None, "run_id": "r1", "now": at}
    await store.admit(admission_request(contact, "a", version=version, **given))


async def newest(lists: JourneyLists, state: str | None = None, limit: int = 10, **wanted: Any) -> list[JourneySummary]:
    return await lists.newest(JourneyFilter(**wanted), state=state, limit=limit)


def ids(found: Iterable[JourneySummary]) -> list[str]:
    return [item.id for item in found]


async def test_search_tells_the_state_of_those_under_way_a_few_at_a_time(
    lists: JourneyLists, temporal: Search, store: Store
):
    for number in range(60):
        await let_in(store, f"a/{number}")
    temporal.put("a/7", "paused")
    listed = await newest(lists, scenario="a", limit=100)
    assert {item.id: item.state for item in listed} == {f"a/{n}": "running" for n in range(60)} | {"a/7": "paused"}
    assert len(temporal.queries) == 2
    assert all(query.count("'a/") <= 50 for query in temporal.queries)


async def test_ids_that_search_cannot_match_are_found_by_a_range(temporal: Search):
    names = ['a/d"1', 'a/d"2', "a/back\\slash", "a/7"]
    for name in names:
        temporal.put(name, "paused")
    wanted = [name for name in names if name != 'a/d"2']
    assert (await JourneyIndex(temporal.client).states(wanted)).keys() == set(wanted)
    assert sum("BETWEEN 'a/d!' AND 'a/d#'" in query for query in temporal.queries) == 1


async def test_a_held_one_says_why(lists: JourneyLists, temporal: Search, store: Store):
    await let_in(store, "a/7")
    noted = {"reason": "wax answered 422", "cause": "permanent", "destination": "wax", "status": 422, "at": str(NOW)}
    temporal.put("a/7", noted=noted)
    (listed,) = await newest(lists)
    assert (listed.reason, listed.held_reason, listed.status) == ("wax answered 422", "permanent", 422)
    assert (listed.destination, listed.since) == ("wax", NOW)
    await store.depart("a/7", "r1", "exited", "skipped", NOW)
    (over,) = await newest(lists)
    assert (over.reason, over.held_reason) == ("skipped", None)


async def test_search_finds_those_in_a_state_page_by_page(lists: JourneyLists, temporal: Search, store: Store):
    for number in range(5):
        await let_in(store, f"a/{number}")
        temporal.add(f"a/{number}", JourneyState="paused" if number % 2 else "waiting", ScenarioName="a")
    temporal.add("a/99", JourneyState="waiting", ScenarioName="a")  # not admitted yet
    a = JourneyFilter(scenario="a")
    page, following = await lists.running_page(a, state="waiting", size=3)
    assert (ids(page), {item.state for item in page}) == (["a/4", "a/2"], {"waiting"})
    page, following = await lists.running_page(a, state="waiting", size=3, after=following)
    assert (ids(page), following) == (["a/0"], None)
    assert (await lists.running_page(a, state="paused", size=2))[1] is None, "though the page is full"
    second = JourneyFilter(scenario="a", version=2, contact="7", step="hook")
    await lists.running_page(second, state="running", size=3)
    assert temporal.queries[-1] == (
        "WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND ScenarioName = 'a' AND ContactId = '7'"
        " AND StepId = 'hook' AND (JourneyState IS NULL OR JourneyState IN ('running', 'waiting'))"
    )
    temporal.add("a/0", ScenarioName="a")  # has never waited: search does not know its version
    page, _ = await lists.running_page(JourneyFilter(scenario="a", version=3), state="running", size=9)
    assert "a/0" in ids(page)
    temporal.error = RPCStatusCode.UNIMPLEMENTED
    assert await lists.running_page(JourneyFilter(), size=3) == ([], None)


async def test_a_journey_says_what_its_delivery_waits_for(lists: JourneyLists, temporal: Search, store: Store):
    """Search has heard of its last wait, and of no delivery. What has failed is retried; what was put off waits."""
    activity = PendingActivityInfo(activity_id="hook", attempt=3)
    await let_in(store, "a/7")
    temporal.sending["a/7"] = [activity]
    temporal.put("a/7", "waiting")
    for failure, state in ((None, "running"), (replace(TURNED_AWAY, attempt=0), "waiting"), (TURNED_AWAY, "retrying")):
        if failure is not None:
            await DataConverter.default.encode_failure(failure.as_error(), activity.last_failure)
        (listed,) = await newest(lists)
        assert (listed.state, listed.step, listed.reason) == (state, "hook", failure and failure.why)
    (going,) = await pending(temporal.client, DescribeWorkflowExecutionResponse(pending_activities=[activity]))
    assert (going.turned_away, going.why) == ("breaker_open", "wax has failed too often")
    assert going.attempt == TURNED_AWAY.attempt + 1  # and not Temporal's, which counts what was put off


async def test_journeys_are_looked_for_by_state_step_and_version(lists: JourneyLists, temporal: Search, store: Store):
    for number in range(1, 7):
        await let_in(store, f"a/{number}", version=1 + number % 2, at=NOW + timedelta(minutes=number))
    await store.depart("a/6", "r1", "exited", None, NOW)
    for number, state in enumerate(("waiting", "paused", "waiting", "running", "waiting"), 1):
        temporal.put(f"a/{number}", state)
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({}, 2, "6 5"),
        ({"state": "waiting"}, 2, "5 3"),  # beyond the first page
        ({"state": "waiting"}, 9, "5 3 1"),
        ({"state": "exited"}, 2, "6"),
        ({"state": "finished"}, 2, ""),
        ({"step": "hook"}, 9, "5 4 3 2 1"),
        ({"scenario": "a", "version": 1}, 9, "6 4 2"),
    ]
    for wanted, limit, expected in cases:
        found = await newest(lists, limit=limit, **wanted)
        assert ids(found) == [f"a/{number}" for number in expected.split()]


async def test_the_next_attempt_is_told_only_where_it_is_with_next_tries(store: Store):
    for name in ("a/1", "a/2", "a/3"):
        await let_in(store, name)
    await store.depart("a/2", "r1", "exited", None, NOW)
    made = [
        attempt("hook", 1, workflow_id=name, started_at=NOW + timedelta(minutes=minute), next_try_at=NOW)
        for minute, name in enumerate(("a/1", "a/2", "a/3", "a/1"))
    ]
    earlier = replace(made[2], started_at=NOW - timedelta(minutes=1))  # of a journey of the same id, before
    for attempts, expected in ((made, [None, None, NOW, NOW]), ([earlier], [None])):
        assert [item.next_try_at for item in await with_next_tries(store, attempts)] == expected


async def test_a_server_without_search_still_can_be_looked_at(lists: JourneyLists, temporal: Search, store: Store):
    await let_in(store, "a/7")
    temporal.error = RPCStatusCode.UNIMPLEMENTED
    assert [item.state for item in await newest(lists)] == ["running"]
    temporal.error = RPCStatusCode.INTERNAL
    with pytest.raises(RPCError):
        await newest(lists)


def test_no_id_can_change_a_query():
    assert [literal(text) for text in ("a", "a\\", "x' OR 'y")] == ["'a'", r"'a\\'", r"'x\' OR \'y'"]
    with pytest.raises(BadInput, match=r"contains the character U\+0000"):
        literal("a\0b")


def told(minutes: int = 20, **more: Any) -> dict[str, Any]:
    """What a held journey says of itself: since when, so many minutes after the beginning, and why."""
    return {"state": "held", "at": "hook", "waiting": {"for": "an operator", **note(minutes)}, **more}


def note(minutes: int = 20, **more: Any) -> dict[str, Any]:
    """What a held journey notes for those who list many."""
    since = (NOW + timedelta(minutes=minutes)).isoformat()
    known = {"step": "hook", "reason": "wax answered 422", "destination": "wax", "status": 422, "cause": "permanent"}
    return {**known, "at": since, **more}


async def test_held_journeys_are_listed_and_none_is_asked(lists: JourneyLists, temporal: Search, store: Store):
    for number in range(0, 120, 2):
        await let_in(store, f"a/{number}/K1", at=NOW - timedelta(hours=1))
    for number in reversed(range(120)):
        temporal.put(f"a/{number}/K1", noted=note(20 + number % 2))
    found = await lists.held(JourneyFilter(scenario="a"))
    assert ids(found) == [f"a/{number}/K1" for number in range(120)]
    assert (temporal.asked, len(temporal.queries)) == ([], 1)
    first, second, *_ = found
    assert (first.reason, first.since, first.status) == ("wax answered 422", NOW + timedelta(minutes=20), 422)
    assert (first.step, first.destination, first.held_reason) == ("hook", "wax", "permanent")
    assert (first.run_id, first.key, first.entered_at) == ("r1", "K1", NOW - timedelta(hours=1))
    assert (second.run_id, second.key, second.entered_at) == ("r9", None, NOW)  # the store does not know it
    for details in (True, False):
        since = JourneyFilter(since=NOW + timedelta(minutes=21))
        assert len(await lists.held(since, details=details)) == 60
    assert temporal.asked == []
    plain = await lists.held(JourneyFilter(destination="wax"), details=False)
    assert (len(plain), plain[0].reason) == (120, None), "search alone can find them: no memo is read"
    assert targets(plain)[0] == JourneyTarget("a/0/K1", "hook")


async def test_search_is_asked_for_everything_that_it_knows(lists: JourneyLists, temporal: Search):
    for details in (True, False):
        with pytest.raises(BadCombination):
            await lists.held(JourneyFilter(version=3), details=details)
    assert temporal.queries == [], "a version needs a scenario"
    await lists.held(JourneyFilter(scenario="a", version=0))
    which = JourneyFilter(scenario="a", contact="o'neil", destination="wax", reason="exhausted", step="hook", since=NOW)
    assert await lists.held(which) == []
    held = "WorkflowType IN ('Journey', 'Batch') AND ExecutionStatus = 'Running' AND JourneyState = 'held' "
    assert temporal.queries == [
        f"{held}AND ScenarioName = 'a' AND ScenarioVersion = 'a@0'",
        f"{held}AND ScenarioName = 'a' AND ContactId = 'o\\'neil' AND Destination = 'wax' "
        "AND HeldReason = 'exhausted' AND StepId = 'hook'",
    ]


NEWER: list[tuple[dict[str, Any], dict[str, Any] | None, bool]] = [
    ({"destination": "wax"}, note(destination="other"), False),
    ({"reason": "permanent"}, note(cause="exhausted"), False),
    ({"since": NOW + timedelta(minutes=21)}, note(20), False),
    ({"since": NOW + timedelta(minutes=20)}, note(20), True),
    ({"since": NOW}, None, False),  # the memo cannot be read
    ({"step": "hook", "destination": "wax", "reason": "permanent"}, note(), True),
]


async def test_the_memo_of_a_journey_is_newer_than_what_search_has_indexed(lists: JourneyLists, temporal: Search):
    for wanted, noted, expected in NEWER:
        temporal.put("a/7", noted=noted)
        assert ids(await lists.held(JourneyFilter(**wanted))) == (["a/7"] if expected else [])
    temporal.put("a/7")  # without a memo, as search has it
    (found,) = await lists.held(JourneyFilter(scenario="a"))
    assert (found.id, found.state, found.step, found.entered_at) == ("a/7", "held", "hook", NOW)
    assert (found.reason, found.since, found.destination, found.held_reason) == (None, None, "wax", "permanent")


async def test_retrying_journeys_are_found_by_their_destination_and_operated_at_their_step(
    lists: JourneyLists, temporal: Search
):
    temporal.put("a/held")
    for number, destination in enumerate(("wax", "wax", "crm")):
        known = {"ScenarioVersion": "a@1", "StepId": "hook", "JourneyState": "retrying", "Destination": destination}
        temporal.add(f"a/{number}", **known)
    found = await lists.held(JourneyFilter(destination="wax", state="retrying"), details=False)
    assert set(targets(found)) == {JourneyTarget("a/0", "hook"), JourneyTarget("a/1", "hook")}
    assert {(item.state, item.reason, item.since) for item in found} == {("retrying", None, None)}
    since = JourneyFilter(state="retrying", since=NOW - timedelta(days=1))
    assert len(await lists.held(since)) == 3, "since their admission"


async def test_no_more_held_journeys_are_found_than_the_limit(
    lists: JourneyLists, temporal: Search, monkeypatch: pytest.MonkeyPatch
):
    for number in reversed(range(120)):
        temporal.put(f"a/{number}", noted=note(20 if number % 2 else 10))
    monkeypatch.setattr(index, "_PAGE", 50)
    found = await lists.held(JourneyFilter(since=NOW + timedelta(minutes=15)), limit=30)
    assert ids(found) == [f"a/{number}" for number in range(1, 60, 2)]


async def running(lists: JourneyLists, paused: bool = False, limit: int = 1_000, **wanted: Any) -> list[str]:
    return ids(await first(limit, lists.running_by_page(JourneyFilter(**wanted), paused=paused)))


@pytest.fixture
async def many(store: Store, temporal: Search) -> None:
    """Journeys in several states, of two versions: the later one sends to wax."""
    for step in (WaitRow(kind="wait", seconds=60.0), Send(kind="webhook", to="wax")):
        await store.publish("a", {}, dump_plan(Plan(start="it", steps={"it": step})), step.kind)
    for number, state in enumerate(("running", "paused", "held", "held", "waiting", "lost")):
        await let_in(store, f"a/{number}", version=1 + number % 2, at=NOW + timedelta(minutes=number))
        if state != "lost":
            temporal.put(f"a/{number}", state)
    operations = [{"name": name} for name in ("pause", "resume", "pause", "skip_step")]
    temporal.answers |= {"a/2": told(operations=operations[:2]), "a/3": told(operations=operations)}


UNDER_WAY: list[tuple[dict[str, Any], bool, list[str]]] = [
    ({}, False, ["a/4", "a/2", "a/0"]),
    ({}, True, ["a/3", "a/1"]),
    ({"since": NOW + timedelta(minutes=2)}, True, ["a/3"]),
    ({"destination": "wax"}, True, ["a/3", "a/1"]),
    ({"destination": "wax"}, False, []),
    ({"scenario": "b"}, True, []),
]


@pytest.mark.usefixtures("many")
async def test_those_to_be_paused_or_resumed_are_under_way(lists: JourneyLists):
    """One that was terminated is not among them, and one that is held as well knows whether it is paused."""
    for wanted, paused, expected in UNDER_WAY:
        assert await running(lists, paused, **wanted) == expected
        assert await running(lists, paused, limit=1, **wanted) == expected[:1]


@pytest.mark.usefixtures("many")
async def test_exactly_those_that_accepted_an_earlier_operation_are_found(lists: JourneyLists, store: Store):
    """Whatever search says of them: it lags behind."""
    outcomes = [("a/0", "accepted"), ("a/1", "accepted"), ("a/3", "refused"), ("a/5", "accepted"), ("a/9", "accepted")]
    items = [OperationItem(number=n, workflow_id=name, outcome=how) for n, (name, how) in enumerate(outcomes)]
    await store.add_items("op1", items)
    for scenario, expected in ((None, "a/0 a/1 a/5"), ("a", "a/0 a/1 a/5"), ("b", "")):
        found = await running(lists, paused=True, operation="op1", scenario=scenario)
        assert sorted(found) == expected.split(), "one is over"


async def test_no_more_journeys_are_looked_at_than_are_needed(lists: JourneyLists, temporal: Search, store: Store):
    names = [f"a/{number}" for number in range(120)]
    for number, name in enumerate(names):  # some of them came in at the same moment
        await let_in(store, name, at=NOW + timedelta(minutes=number // 30))
        temporal.put(name, "waiting")
    found = await running(lists, limit=3)
    assert (len(found), len(temporal.queries)) == (3, 1)
    every = await running(lists)
    assert (every[:3], len(every), {*every}) == (found, 120, {*names})
    assert len(temporal.queries) == 1 + 3


async def groups_of(temporal: Search, scenarios: Set[str] | None = None) -> HeldGroups:
    return await held_groups(JourneyIndex(temporal.client), scenarios)


async def test_what_is_held_for_the_same_is_one_group_and_the_largest_comes_first(temporal: Search):
    crm = HeldGroupKey("winback", "crm", "crm", "exhausted")
    temporal.hold(crm)
    temporal.hold(WAX, 3)
    found = await groups_of(temporal)
    assert [(group.at, group.count, group.is_sampled) for group in found.groups] == [(WAX, 3, False), (crm, 1, False)]
    assert (found.total, found.others) == (4, 0)
    wax, latest = found.groups[0], NOW + timedelta(seconds=2)
    assert (wax.since, wax.latest.hold.since) == (NOW, latest)
    assert (wax.latest.hold.status, wax.latest.hold.reason) == (422, f"since {latest.isoformat()}")
    assert await JourneyIndex(temporal.client).count(crm.query) == 1
    listed = await JourneyIndex(temporal.client).find(WAX.query, limit=2)
    assert [one.hold.since for one in listed] == [latest, latest - timedelta(seconds=1)]


async def test_a_group_is_found_behind_thousands_of_another_and_few_are_looked_at(temporal: Search):
    small = HeldGroupKey("old", "step", None, None)
    temporal.hold(small, 2, since=None)
    temporal.hold(WAX, 5000)
    found = await groups_of(temporal)
    assert [(group.at, group.count, group.is_sampled) for group in found.groups] == [
        (WAX, 5000, True),
        (small, 2, False),
    ]
    assert (found.total, found.others, temporal.listed) == (5002, 0, READ_FIRST + 2)
    assert (found.groups[1].since, found.groups[1].latest.hold.reason) == (None, None)


async def test_groups_that_differ_by_one_thing_alone_are_counted_apart(temporal: Search):
    changes = ({"scenario": "another"}, {"step": "wax-2"}, {"destination": None}, {"cause": None})
    places = [WAX, *(WAX._replace(**one) for one in changes), WAX._replace(destination=None, cause=None)]
    for number, at in enumerate(places, READ_FIRST):
        temporal.hold(at, number)
    found = await groups_of(temporal)
    assert sorted(group.count for group in found.groups) == [*range(READ_FIRST, READ_FIRST + len(places))]
    assert found.others == 0


async def test_more_groups_than_a_page_has_room_for_are_told_as_a_number(temporal: Search):
    for number in range(GROUPS + 5):
        temporal.hold(WAX._replace(step=f"step-{number}"), 200)
    found = await groups_of(temporal)
    assert ([group.count for group in found.groups], found.others) == ([200] * GROUPS, 1000)
    assert temporal.listed <= 1000


async def test_a_key_for_some_scenarios_sees_theirs_alone_and_nothing_may_be_held(temporal: Search):
    found = await groups_of(temporal)
    assert (found.total, found.groups, found.others, temporal.counted) == (0, [], 0, 1)
    temporal.hold(WAX, 2)
    temporal.hold(WAX._replace(scenario="secret"), 7)
    found = await groups_of(temporal, {"winback", "reward"})
    assert (found.total, [group.at for group in found.groups]) == (2, [WAX])
    counted = temporal.counted
    assert ((await groups_of(temporal, set())).total, temporal.counted) == (0, counted)
