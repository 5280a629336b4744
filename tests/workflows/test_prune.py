"""The store is pruned by a workflow: in moments, with others between them, from wherever it was."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.background import PRUNE, PRUNE_WORKFLOW, PruneRequest, PruneResult
from activities.interface import JOURNEYS
from activities.retention import Prunings
from runtime.store import Store, StoreFault
from runtime.telemetry.metrics import RETENTION_DELETED
from tests.measured import Measured
from tests.workflows.conftest import failure_of
from workflows.background import Prune


class Script:
    """Deletes what the test says."""

    def __init__(self) -> None:
        self.asked: list[PruneRequest] = []
        self.answers: list[PruneResult | Exception] = []

    @activity.defn(name=PRUNE.name)
    async def prune(self, asked: PruneRequest) -> PruneResult:
        self.asked.append(asked)
        answer = self.answers.pop(0) if self.answers else PruneResult()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(environment: WorkflowEnvironment, script: Script) -> AsyncIterator[Client]:
    async with Worker(
        environment.client,
        task_queue=JOURNEYS,
        workflows=[Prune],
        activities=[script.prune],
        no_remote_activities=True,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield environment.client


async def run(client: Client, argument: Any) -> dict[str, Any]:
    handle = await client.start_workflow(PRUNE_WORKFLOW, argument, id="scenario-retention", task_queue=JOURNEYS)
    return await handle.result()


async def test_it_goes_on_where_it_was_until_all_is_done(client: Client, script: Script) -> None:
    at = "2026-01-01T00:00:00+00:00"
    script.answers = [
        PruneResult(job="deliveries", since=at, deleted={"responses": 7, "deliveries": 2}),
        OSError("the store is away"),
        PruneResult(job="entries/welcome", since=at, deleted={"deliveries": 3}),
        PruneResult(deleted={"entries": 1}, kept=("once keeps all its entries",)),
    ]
    done = await run(client, {"ages": "deliveries=180d"})
    assert done == {
        "deleted": {"responses": 7, "deliveries": 5, "entries": 1},
        "kept": ["once keeps all its entries"],
    }
    assert [(one.job, one.since) for one in script.asked] == [
        ("", ""),
        ("deliveries", at),
        ("deliveries", at),
        ("entries/welcome", at),
    ]
    assert len({(one.ages, one.now) for one in script.asked}) == 1  # what is old does not change meanwhile


async def test_others_get_on_for_as_long_as_the_activity_says(client: Client, script: Script) -> None:
    script.answers = [PruneResult(job="claims", pause=45), PruneResult(job="claims", pause=0.1)]
    await run(client, {"ages": "claims=60d"})
    events = (await client.get_workflow_handle("scenario-retention").fetch_history()).events
    timers = [one.timer_started_event_attributes for one in events if one.HasField("timer_started_event_attributes")]
    assert [timer.start_to_fire_timeout.seconds for timer in timers] == [45, 1]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_long_one_continues_as_new(client: Client, script: Script) -> None:
    times = [f"2026-01-0{n}T00:00:00+00:00" for n in range(1, 6)]
    script.answers = [PruneResult(job="claims", since=time, deleted={"claims": 1}) for time in times]
    done = await run(client, PruneRequest(ages="claims=60d"))
    assert done["deleted"] == {"claims": 5}
    assert [one.since for one in script.asked] == ["", *times]
    newest = await client.get_workflow_handle("scenario-retention").describe()
    assert newest.raw_description.workflow_execution_info.first_run_id != newest.run_id


async def test_an_argument_that_is_none_fails_at_once(client: Client) -> None:
    arguments: list[Any] = [
        *(None, "deliveries=180d", [1], {"deliveries": "180d"}),
        {"ages": "claims=60d", "now": "nonsense"},
        {"ages": "claims=60d", "now": "2026-01-01T00:00:00"},
        {"ages": "claims=60d", "job": "claims"},
        {"ages": "claims=60d", "job": "claims", "since": "x"},
    ]
    for argument in arguments:
        kind, _ = await failure_of(run(client, argument))
        assert (argument, kind) == (argument, "NotAges")


async def test_ages_that_are_none_are_not_tried_again(store: Store) -> None:
    with pytest.raises(ApplicationError, match="'x' is not one of deliveries") as caught:
        await Prunings(store).prune(PruneRequest(ages="x", now="2026-11-27T00:00:00+00:00"))
    assert caught.value.non_retryable


async def test_what_the_database_refuses_is_not_tried_again_this_day(store: Store, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: Any) -> None:
        raise StoreFault("its user lacks a permission")

    monkeypatch.setattr(store, "delete_some", refuse)
    with pytest.raises(ApplicationError, match="its user lacks a permission") as caught:
        await Prunings(store).prune(PruneRequest(ages="claims=60d", now="2026-11-27T00:00:00+00:00"))
    assert caught.value.non_retryable


async def test_the_store_is_asked(store: Store) -> None:
    bounced = datetime(2026, 10, 1, tzinfo=UTC)
    await store.record_soft_bounce("email", ["a hash"], "msg_1", bounced)
    asked = PruneRequest(ages="claims=60d", now=(bounced + timedelta(days=31)).isoformat())
    measured = Measured(RETENTION_DELETED)
    assert await Prunings(store).prune(asked) == PruneResult(deleted={"soft_bounces": 1})
    assert measured.of(RETENTION_DELETED) == {("soft_bounces",): (1, 1)}
