"""What is told before a worker has admitted an entry, and whether many that were started came in."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client

from activities.interface import JOURNEYS
from runtime.api_keys import SCOPES
from runtime.store import AcceptedEntry, Store, StoreUnavailable
from scenario.entry.values import PlatformDates
from scenario.words import Operation
from service.caller import Caller
from service.client import EventView, JourneyFilter, ScenarioClient
from service.entries import AdmissionWatch, Entered
from service.errors import JourneyFailed, NotAnswered, NotEntered, NotFound, UnderWay
from service.operations import journey_operations
from service.operations.request import JourneyTarget
from tests.factories import admission_request
from tests.stage import Stage

LATE = """
scenario: late
trigger: order
entry:
  key: "{{ order.external_id }}"
  if: order.total_price > 20
exit:
  - event: order.returned
    if: event.order_id == order.external_id
steps:
  - sms: first
    text: "{{ contact.firstname }}"
  - wait_for: order.delivered
"""
COMPARED = """
scenario: compared
trigger: order
control: 99.99
goal: {event: order.placed, within: 1h}
steps:
  - wait: 1d
"""
WHO = {"operator": "ann", "reason": "incident 42"}


def entry(contact: str = "7", order: str = "A1", scenario: str = "late", price: int = 30) -> dict[str, Any]:
    who = {"id": contact, "firstname": "Zoe", "cellphone": "+33612345678"}
    trigger = {"type": "order", "order": {"external_id": order, "total_price": price}}
    return {"scenario": scenario, "contact": who, "trigger": trigger}


def returned(order: str = "A1") -> tuple[str, dict[str, Any], str]:
    return ("order.returned", {"order_id": order}, f"returned-{order}")


@pytest.fixture
def second(client: ScenarioClient) -> ScenarioClient:
    """Another gateway."""
    return ScenarioClient(client.temporal, client.store, PlatformDates("Europe/Paris"))


async def test_an_event_for_the_contact_reaches_entries_that_are_pending(
    deserted: Stage, client: ScenarioClient, second: ScenarioClient
):
    await deserted.publish(LATE)
    entered = [await client.enter(entry(order=order), settle=0) for order in ("A1", "B2")]
    assert await second.event("7", *returned()) == EventView(pending=2)
    assert await client.event("7", *returned()) == EventView(pending=2), "told twice under its id, it counts once"
    assert await second.contact_changed("7", {"firstname": "Zoé"}) == EventView(pending=2)
    others = Caller("k", "key k", SCOPES, ["others"])
    assert await second.services.events.report(others, "7", *returned()) == EventView(unknown=True)
    async with deserted.working():
        assert (await entered[0].result())["reason"] == "event order.returned"
        await deserted.until(entered[1].handle, "waiting")
        assert await second.event("7", "order.delivered") == EventView(told=1)
        assert (await entered[1].result())["outcome"] == "finished"
        assert await second.event("7", "order.delivered") == EventView()
    (attempt,) = deserted.channels.attempts
    assert attempt.delivery.data["contact"]["firstname"] == "Zoé"


async def test_an_event_for_a_pending_journey_is_kept_and_for_the_next_of_the_same_id(
    deserted: Stage, client: ScenarioClient
):
    await deserted.publish(LATE)
    entered = await client.enter(entry(), settle=0)
    assert await client.event_for(entered.id, *returned()) == EventView(pending=1)
    for nobody in ("late/7/B2", "late", "operation/7", "late/7\n", "x" * 1001):
        with pytest.raises(NotFound):
            await client.event_for(nobody, *returned())
    async with deserted.working():
        assert (await entered.result())["reason"] == "event order.returned"
    assert await client.event_for(entered.id, *returned()) == EventView()
    following = await client.enter(entry(), settle=0)
    assert following.id == entered.id
    assert await client.event_for(entered.id, "order.viewed") == EventView(pending=1)
    assert await client.event("7", *returned()) == EventView(pending=1)
    async with deserted.working():
        assert (await following.result())["reason"] == "event order.returned"


async def test_what_is_no_journey_is_not_told(deserted: Stage, client: ScenarioClient):
    await client.temporal.start_workflow("Enter", {}, id="late/7/A1", task_queue=JOURNEYS)
    with pytest.raises(NotFound):
        await client.event_for("late/7/A1", *returned())
    # What Temporal has lost stays on record: nothing else has it, and `scenario store reconcile` lists it.
    lost = AcceptedEntry("late/7/B2", str(uuid4()), "7", datetime.now(UTC))
    await client.store.accept(lost)
    assert (await client.event("7", *returned())).pending == 0
    assert await client.store.pending_entries("7") == [lost]


async def test_an_entry_that_is_refused_is_told_nothing_and_forgotten(deserted: Stage, client: ScenarioClient):
    await deserted.publish(LATE)
    entered = await client.enter(entry(price=10), settle=0)
    assert await client.event("7", *returned()) == EventView(pending=1)
    async with deserted.working():
        assert (await entered.result())["outcome"] == "refused"
    assert await client.event("7", *returned()) == EventView(unknown=True)
    assert await client.store.journeys_of("7") == []
    with pytest.raises(NotFound):
        await client.event_for(entered.id, *returned())


async def test_an_entry_that_is_settled_meanwhile_leaves_no_row(deserted: Stage, client: ScenarioClient):
    await deserted.publish(LATE)
    async with deserted.working():
        await client.enter(entry())
    assert await client.store.journeys_of("7") == [("late/7/A1", (await client.store.running("7"))[0].run_id)]
    entered = await client.enter(entry("8"), settle=0.1)
    assert not entered.admitted
    assert await client.event("8", *returned()) == EventView(pending=1)


async def test_who_asks_again_finds_an_entry_that_was_never_recorded(
    deserted: Stage, client: ScenarioClient, monkeypatch: pytest.MonkeyPatch
):
    await deserted.publish(LATE)
    with monkeypatch.context() as killed:
        killed.setattr("runtime.store.Store.accept", AsyncMock())
        await client.enter(entry(), settle=0)
    assert await client.event("7", *returned()) == EventView(unknown=True)
    with pytest.raises(UnderWay):
        await client.enter(entry(), settle=0)
    assert await client.event("7", *returned()) == EventView(pending=1)


async def test_an_event_that_waits_for_long_tells_when_it_happened(
    deserted: Stage, client: ScenarioClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.events._LATE", timedelta(0))
    await deserted.publish(COMPARED)
    entered = await client.enter(entry(scenario="compared"), settle=0)
    assert await client.event("7", "order.placed") == EventView(pending=1)
    told = datetime.now(UTC)
    await asyncio.sleep(0.1)
    async with deserted.working():
        assert (await entered.result())["outcome"] == "control"
    [goal] = await client.store.entries(contact_id="7")
    assert goal.reached_at is not None
    assert goal.reached_at <= told


async def test_an_operation_on_a_pending_journey_is_pending_and_may_be_repeated(
    deserted: Stage, client: ScenarioClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journey_operations, "ANSWER", 0.3)
    await deserted.publish(LATE)
    entered = await client.enter(entry(), settle=0)
    send = client.services.operations.journeys.sender(Operation.PAUSE, **WHO, update_id="u1")
    target = JourneyTarget(entered.id)
    for _ in range(2):
        with pytest.raises(NotAnswered, match="pending"):
            await send(target)
    monkeypatch.setattr(journey_operations, "ANSWER", 60.0)
    async with deserted.working():
        progress = await send(target)
        assert progress["state"] == "paused"
        assert [done["name"] for done in progress["operations"]] == ["pause"]
        await client.send(entered.id, Operation.LEAVE, **WHO)
        assert (await entered.result())["outcome"] == "exited"
    assert deserted.channels.attempts == []


async def test_an_operation_on_a_contacts_journeys_goes_to_pending_ones(
    deserted: Stage, client: ScenarioClient, monkeypatch: pytest.MonkeyPatch
):
    # On a busy machine, workers take more than a few seconds to start.
    monkeypatch.setattr(journey_operations, "ANSWER", 60.0)
    await deserted.publish(LATE)
    entered = await client.enter(entry(), settle=0)
    await client.enter(entry("8"), settle=0)
    refused = await client.enter(entry("7", "B2"), settle=0)
    await refused.handle.terminate("as if it had been refused")

    async def select(operation: Operation, everybody: bool = False, **which: Any) -> list[tuple[str, str]]:
        found = await client.select(operation, JourneyFilter(**which), everybody=everybody)
        return [(one.id, one.state) for one in found]

    assert await select(Operation.LEAVE, everybody=True, contact="7") == [(entered.id, "entering")]
    assert await select(Operation.PAUSE, contact="7", scenario="late") == [(entered.id, "entering")]
    for contact, scenario, version in (("7", "others", None), ("7", "late", 1), (None, None, None)):
        assert await select(Operation.PAUSE, contact=contact, scenario=scenario, version=version) == []
    assert await select(Operation.RESUME, contact="7") == []
    pausing = client.batch(Operation.PAUSE, operator="ann", reason="x").run([JourneyTarget(entered.id)])
    running = asyncio.create_task(pausing)
    async with deserted.working():
        assert (await running).accepted == [entered.id]
        await client.send(entered.id, Operation.LEAVE, **WHO)
        assert (await entered.result())["reason"] == "left by ann: incident 42"


async def test_an_operation_names_an_entry_once_that_is_admitted_while_it_looks(
    deserted: Stage, client: ScenarioClient, monkeypatch: pytest.MonkeyPatch
):
    await deserted.publish(LATE)
    entered = await client.enter(entry(), settle=0)
    before = await client.store.pending_entries("7")
    assert [one.workflow_id for one in before] == [entered.id]
    async with deserted.working():
        await deserted.until(entered.handle, "waiting")
        monkeypatch.setattr(client.store, "pending_entries", AsyncMock(return_value=before))
        assert [one.id for one in await client.select(Operation.PAUSE, JourneyFilter(contact="7"))] == [entered.id]
        await client.send(entered.id, Operation.LEAVE, **WHO)


class Server:
    """Stands in for Temporal: journeys run until it is said how they ended."""

    namespace = "default"

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.asked: list[str] = []
        self.workflow_service = SimpleNamespace(describe_workflow_execution=self.describe)

    async def describe(self, request: DescribeWorkflowExecutionRequest, **_: Any) -> DescribeWorkflowExecutionResponse:
        name = request.execution.workflow_id
        self.asked.append(name)
        status = f"WORKFLOW_EXECUTION_STATUS_{'COMPLETED' if name in self.results else 'RUNNING'}"
        info = WorkflowExecutionInfo(status=WorkflowExecutionStatus.Value(status))
        return DescribeWorkflowExecutionResponse(workflow_execution_info=info)

    def entered(self, name: str) -> Entered:
        async def result() -> Any:
            return self.results[name]

        return Entered(name, "r1", already=False, handle=cast("Any", SimpleNamespace(result=result)))

    def refuse(self, names: Iterable[str]) -> None:
        self.results |= {name: {"outcome": "refused", "reason": f"not {name}"} for name in names}


@pytest.fixture
def server() -> Server:
    return Server()


def watching(server: Server, store: Store, silence: float = 60) -> AdmissionWatch:
    return AdmissionWatch(cast("Client", server), store, first_look=0.001, look=0.001, silence=silence)


async def admit(store: Store, *names: str) -> None:
    for name in names:
        await store.admit(admission_request(name[2:], "a", workflow_id=name, run_id="r1"))


async def told(watch: AdmissionWatch, server: Server, names: Iterable[str]) -> list[Any]:
    return await asyncio.gather(*(watch.known(server.entered(name)) for name in names), return_exceptions=True)


async def test_those_who_are_admitted_cost_the_server_nothing_and_others_are_told_why(server: Server, store: Store):
    names, others = [[f"{scenario}/{number}" for number in range(60)] for scenario in "ab"]
    await admit(store, *names)
    watch = watching(server, store)
    assert (await told(watch, server, names), server.asked) == ([True] * 60, [])
    server.refuse(others)
    answers = await told(watch, server, others)
    assert [str(answer) for answer in answers if isinstance(answer, NotEntered)] == [f"not {name}" for name in others]


async def test_one_that_was_refused_is_told_while_others_still_come_in(server: Server, store: Store):
    """Its turn was before theirs; and those whose turn has not come are not asked about."""
    server.refuse(["a/0"])
    names = [f"a/{number}" for number in range(400)]
    answers = asyncio.create_task(told(watching(server, store), server, names))
    await admit(store, *names[1:300])
    while "a/0" not in server.asked:
        await asyncio.sleep(0.001)
    await admit(store, *names[300:])
    first, *rest = await answers
    assert isinstance(first, NotEntered)
    assert rest == [True] * 399


async def test_those_that_are_stuck_stand_in_nobodys_way(server: Server, store: Store):
    names = [f"a/{number}" for number in range(200)]
    server.refuse(names[60:])
    await admit(store, *names[40:60])
    watch = watching(server, store)
    async with asyncio.timeout(60):
        answers = [asyncio.create_task(watch.known(server.entered(name))) for name in names]
        _, pending = await asyncio.wait(answers, timeout=0.01)
        while len(pending) > 40:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert pending == set(answers[:40])
        for stuck in pending:
            stuck.cancel()


async def test_what_a_slow_worker_says_late_counts(server: Server, store: Store):
    answers = asyncio.create_task(told(watching(server, store), server, ["a/0", "a/1"]))
    while not server.asked:  # nobody has looked at them yet
        await asyncio.sleep(0.001)
    await admit(store, "a/0")
    server.refuse(["a/1"])
    first, second = await answers
    assert (first, str(second)) == (True, "not a/1")


async def test_one_that_is_over_already_or_has_failed_is_known_and_without_news_none_is(server: Server, store: Store):
    watch = watching(server, store, silence=0.02)
    assert await told(watch, server, ["a/0", "a/1"]) == [False, False]
    server.results |= {"a/0": {"outcome": "finished"}, "a/1": {}}
    assert await watch.known(server.entered("a/0")) is True
    fails = AsyncMock(side_effect=JourneyFailed("the journey a/1 failed: x"))
    with pytest.raises(JourneyFailed, match="a/1 failed: x"):
        await watch.known(cast("Entered", SimpleNamespace(id="a/1", run_id="r1", verdict=fails)))


async def test_a_store_that_is_gone_concerns_all_and_those_who_come_later(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "admitted", AsyncMock(side_effect=StoreUnavailable("the store is gone")))
    watch = watching(server, store)
    answers = await told(watch, server, ["a/0", "a/1"])
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    with pytest.raises(StoreUnavailable):
        await watch.known(server.entered("a/2"))
