"""Which journeys an operator means: held ones by Temporal's search, and by their own word; others by the store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.errors import BadCombination
from gateway.operations.journey_operations import targets
from gateway.operations.run import JourneyTarget
from gateway.service import index
from gateway.service.index import JourneyFilter
from gateway.service.listing import JourneyLists, JourneySummary, first
from runtime.store import AdmissionRequest, OperationItem, Store
from scenario.plan.plan import Plan, dump_plan
from scenario.steps.delivery import Send
from scenario.steps.wait import WaitRow
from tests.gateway.search import NOW, Search


def lists(temporal: Search, store: Store) -> JourneyLists:
    return JourneyLists(temporal.client, store)


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


async def let_in(store: Store, journey: str, *, version: int = 3, at: datetime = NOW) -> None:
    _, contact, *key = journey.split("/")
    asking = AdmissionRequest("a", version, contact, key[0] if key else None, journey, "r1", "always", at, "order")
    await store.admit(asking)


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
