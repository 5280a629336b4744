"""Operations and campaigns: those that were not started or were ended on the server, and why one waits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from activities.background import BLAST
from authoring.errors import BadInput
from runtime.api_keys import SCOPES
from runtime.encryption.codec import contact_of
from runtime.store import OperationItem, Store
from scenario.words import Operation
from service.caller import TERMINAL, Caller
from service.campaigns.survey import Survey
from service.client import JourneyFilter, OperationView, ScenarioClient, Services
from service.errors import BadOperation, Forbidden
from service.operations.service import standstill, trouble_of
from service.view import PageRequest
from tests.factories import admission_request, stored_campaign, stored_operation
from tests.search import Search

NOW = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
AWAY = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


@pytest.fixture
def temporal() -> Search:
    return Search(strict=True)


@pytest.fixture
def client(temporal: Search, store: Store) -> ScenarioClient:
    return ScenarioClient(temporal.client, store)


async def begin_once(client: ScenarioClient) -> OperationView:
    which = JourneyFilter(destination="wax")
    return await client.operate(Operation.PAUSE, which, operator="ann", reason="x", identifier="once")


async def asked_for(store: Store, identifier: str, ago: timedelta) -> None:
    request = {"which": {"destination": "wax"}, "rate": 10.0, "dry_run": False}
    asked = stored_operation(identifier, verb="pause", request=request, created_at=datetime.now(UTC) - ago)
    await store.add_operation(asked)


async def test_what_was_asked_for_and_not_started_is_started_by_the_next_gateway(
    client: ScenarioClient, temporal: Search, store: Store
):
    temporal.known["operation:runs"] = WorkflowExecutionStatus.RUNNING
    for identifier, hours in (("lost", 1), ("new", 0), ("runs", 1)):
        await asked_for(store, identifier, timedelta(hours=hours))
    await client.services.operations.settle()
    assert list(temporal.started) == ["operation:lost"], "the new one may be on its way, and one runs"
    assert temporal.started["operation:lost"].rate == 10
    assert {item.state for item in (await client.operations()).items} == {"surveying"}


async def test_one_whose_workflow_was_ended_on_the_server_has_failed(
    client: ScenarioClient, temporal: Search, store: Store
):
    temporal.known["operation:ended"] = WorkflowExecutionStatus.TERMINATED
    await asked_for(store, "ended", timedelta(hours=1))
    await store.add_items("ended", [OperationItem(number=1, workflow_id="a/1")])
    seen = await client.operation("ended")
    assert (seen.state, seen.left) == ("failed", 1)
    assert seen.trouble == "its workflow was ended on the server: begin another operation for the remaining journeys"


async def test_one_that_cannot_be_started_is_as_if_nobody_had_asked(client: ScenarioClient, temporal: Search):
    temporal.refusal = AWAY
    with pytest.raises(RPCError):
        await begin_once(client)
    assert (await client.operations()).items == []
    temporal.refusal = None
    begun = await begin_once(client)
    assert (begun.state, list(temporal.started)) == ("surveying", ["operation:once"])


async def test_one_that_was_started_although_the_answer_was_lost_goes_on(
    client: ScenarioClient, temporal: Search, store: Store
):
    temporal.known["operation:once"], temporal.refusal = WorkflowExecutionStatus.RUNNING, AWAY
    temporal.before = lambda: store.complete_survey("once", {"which": {}, "rate": 1.0}, datetime.now(UTC))
    begun = await begin_once(client)
    assert (begun.id, begun.state) == ("once", "running")


async def test_asked_for_again_one_begins_whose_program_died_before_it_did(
    client: ScenarioClient, temporal: Search, store: Store
):
    await asked_for(store, "once", timedelta(seconds=5))
    await begin_once(client)
    assert (list(temporal.started), len((await client.operations()).items)) == (["operation:once"], 1)


async def test_one_that_does_not_move_says_why(client: ScenarioClient, temporal: Search, store: Store):
    async def trouble() -> str | None:
        (listed,) = (await client.operations()).items
        return listed.trouble

    temporal.known["operation:slow"] = WorkflowExecutionStatus.RUNNING
    await asked_for(store, "slow", timedelta(minutes=2))
    assert await trouble() is None
    task = temporal.described.pending_workflow_task
    task.original_scheduled_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=90))
    waited = "its next task has waited 90 s for a gateway: check that one runs, and that Temporal is fast"
    assert ((await client.operation("slow")).trouble, await trouble()) == (waited, waited)
    await store.add_items("slow", [OperationItem(number=1, workflow_id="a/1", outcome="accepted")])
    assert await trouble() == f"all its journeys have answered, but {waited}"
    temporal.error, away = RPCStatusCode.UNAVAILABLE, "Temporal does not answer: the {} continues once it does"
    assert await trouble() == f"all its journeys have answered, but {away.format('operation')}"
    await store.add_campaign(stored_campaign())
    (shown,) = (await client.services.campaigns.list(TERMINAL, PageRequest(limit=9))).items
    assert shown.trouble == away.format("campaign")


async def test_only_what_an_operation_has_paused_can_be_resumed_by_it(client: ScenarioClient, store: Store):
    await store.add_operation(stored_operation("retried"))
    for named, sentence in (
        ("none", "there is no operation 'none'"),
        ("retried", "the operation 'retried' did not pause journeys"),
    ):
        with pytest.raises(BadOperation, match=sentence):
            await client.operate(Operation.RESUME, JourneyFilter(operation=named), operator="ann", reason="x")


async def test_operations_are_listed_page_by_page_and_their_journeys_counted_once(
    client: ScenarioClient, store: Store, monkeypatch: pytest.MonkeyPatch
):
    for identifier, ago in (("long ago", timedelta(hours=1)), ("just now", timedelta(0))):
        await asked_for(store, identifier, ago)
        await store.add_items(identifier, [OperationItem(number=1, workflow_id="a/1", outcome="accepted")])
        await store.end_operation(identifier, "finished", datetime.now(UTC) - ago)
    count = AsyncMock(wraps=store.item_counts)
    monkeypatch.setattr(store, "item_counts", count)
    for _ in range(2):
        found = await client.operations()
        assert [(item.id, item.accepted) for item in found.items] == [("just now", 1), ("long ago", 1)]
    counted = [sorted(call.args[0]) for call in count.call_args_list]
    assert counted == [["just now", "long ago"], ["just now"]], "not again that of one that is long over"
    first = await client.operations(limit=1)
    last = await client.operations(limit=1, cursor=first.next)
    assert ([item.id for item in (*first.items, *last.items)], last.next) == (["just now", "long ago"], None)


def waiting(
    state: PendingActivityState.ValueType, ago: float, attempt: int = 1, name: str = "", beaten: float | None = None
) -> DescribeWorkflowExecutionResponse:
    activity = PendingActivityInfo(state=state, attempt=attempt)
    activity.activity_type.name = name
    activity.scheduled_time.FromDatetime(NOW - timedelta(seconds=ago))
    if beaten is not None:
        activity.last_heartbeat_time.FromDatetime(NOW - timedelta(seconds=beaten))
    return DescribeWorkflowExecutionResponse(pending_activities=[activity])


TRIED_AGAIN = "and is tried again: the"


@pytest.mark.parametrize(
    ("description", "why"),
    [
        (DescribeWorkflowExecutionResponse(), None),
        (waiting(STARTED, 3600), None),
        (waiting(SCHEDULED, 10), None),
        (waiting(SCHEDULED, 11), "its work has waited 11 s for a gateway: check that one runs"),
        (waiting(SCHEDULED, 11, name=BLAST), "its work has waited 11 s for a worker: check that one runs"),
        (waiting(STARTED, 60, 2, BLAST, beaten=5), None),
        (waiting(STARTED, 60, 2, BLAST, beaten=60), f"its work has failed 1 time {TRIED_AGAIN} worker's log says why"),
        (waiting(SCHEDULED, -30, 4), f"its work has failed 3 times {TRIED_AGAIN} gateway's log says why"),
    ],
)
def test_an_operation_that_waits_for_a_gateway_or_fails_says_so(
    description: DescribeWorkflowExecutionResponse, why: str | None
):
    assert standstill(description, NOW) == why


async def test_access_is_checked_before_anything_else(client: ScenarioClient, temporal: Search, store: Store):
    temporal.error, limited = RPCStatusCode.UNAVAILABLE, Caller("k", "key k", SCOPES, ["a"])
    await asked_for(store, "wax", timedelta(hours=1))
    await store.end_operation("wax", "finished", datetime.now(UTC))
    operations = client.services.operations
    for caller, error in ((limited, Forbidden), (TERMINAL, BadOperation)):
        with pytest.raises(error):
            await operations.stop(caller, "wax", operator="", reason="")
    # A journey is of its scenario, whatever its id begins with.
    await store.admit(admission_request("7", "hidden", workflow_id="a/7"))
    with pytest.raises(Forbidden):
        await client.services.events.report_to(limited, "a/7", "go")
    with pytest.raises(Forbidden):
        await operations.operate(limited, "a/7", Operation.PAUSE, operator="ann", reason="x", more={})


@pytest.mark.parametrize(
    ("operation", "given", "at"),
    [
        (Operation.PAUSE, {"step": "a"}, "step"),
        (Operation.SKIP, {"destination": "a"}, "destination"),
        (Operation.LEAVE, {"more": {"now": True}}, "now"),
        (Operation.RETUNE, {}, "retry"),
        (Operation.MIGRATE, {"more": {"waits": "never"}}, "waits"),
        (Operation.RETRY, {"reason": " "}, "reason"),
    ],
)
async def test_an_operation_on_one_journey_refuses_arguments_of_others(
    client: ScenarioClient, operation: Operation, given: dict[str, Any], at: str
):
    arguments: dict[str, Any] = {"operator": "ann", "reason": "x", "more": {}, **given}
    with pytest.raises(BadInput) as refused:
        await client.services.operations.operate(TERMINAL, "a/7", operation, **arguments)
    assert list(refused.value.at or ()) == [at]


NOTHING: dict[str, Any] = {"columns": (), "unknown_columns": (), "invalid": 0, "invalid_lines": (), "duplicates": 0}
SURVEY = Survey(form="CSV", digest="", lines=800, entries=800, **NOTHING)


@pytest.mark.parametrize(("rate", "share"), [(50.0, 8.0), (5.0, 5.0)])
async def test_an_estimate_counts_with_the_share_of_the_destinations_rate(
    store: Store, tmp_path: Path, rate: float, share: float
):
    destinations = tmp_path / "destinations.yaml"
    destinations.write_text("destinations: {crm: {url: 'https://crm.example.com', rate: 10/s}}")
    blast: dict[str, Any] = {"gear": "blast", "destination": "crm", "survey": SURVEY.model_dump(mode="json")}
    await store.add_campaign(stored_campaign(rate=rate, ended_at=NOW, **blast))
    services = Services(cast("Any", SimpleNamespace(namespace="default")), store, destinations=destinations)
    estimate = (await services.campaigns.show(TERMINAL, "sale")).estimate
    assert estimate is not None
    assert (estimate.rate, estimate.seconds) == (share, 800 / share)


@pytest.mark.parametrize(
    ("beaten", "details", "trouble"),
    [
        (5, ["crm has failed too often"], "its receiver takes no messages for the moment: crm has failed too often"),
        (5, [], None),
        (60, ["crm has failed too often"], None),
    ],
)
async def test_a_campaign_says_why_it_waits_for_its_receiver(beaten: float, details: list[str], trouble: str | None):
    activity = PendingActivityInfo(state=STARTED, attempt=1)
    activity.activity_type.name = BLAST
    activity.last_heartbeat_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=beaten))
    activity.heartbeat_details.payloads.extend(await DataConverter.default.encode(details))
    described = DescribeWorkflowExecutionResponse(pending_activities=[activity])
    describe = AsyncMock(return_value=SimpleNamespace(raw_description=described))
    handle = Mock(return_value=Mock(describe=describe))
    temporal = Mock(data_converter=DataConverter.default, get_workflow_handle=handle)
    assert await trouble_of(temporal, "campaign:sale", "campaign") == trouble


async def test_a_campaign_is_no_journey_of_a_contact_that_has_its_name(store: Store):
    """Otherwise the contact's key encrypts it, and an erasure destroys that key."""
    describe = AsyncMock(side_effect=RPCError("none", RPCStatusCode.UNAVAILABLE, b""))
    handle = Mock(return_value=Mock(describe=describe))
    await store.add_campaign(stored_campaign())
    services = Services(Mock(namespace="default", get_workflow_handle=handle), store)
    with pytest.raises(RPCError):
        await services.campaigns.show(TERMINAL, "sale")
    assert [contact_of(call.args[0]) for call in handle.call_args_list] == [None]
