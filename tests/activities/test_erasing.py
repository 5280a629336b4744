"""A contact is erased in passes: all runs of its journeys are found, nothing is told of it where that would stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus as Status
from temporalio.common import TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.audience.sync import MembershipBook
from activities.background import ErasurePass, JourneysEnded, RowsCleared
from activities.erasure import PAUSES, ErasureActivities, find_runs
from runtime.encryption.keyring import REMEMBERED, Keyring, UnknownKey
from runtime.store import AdmissionRequest, Store, StoreUnavailable
from runtime.store.batches import StoredBatch, StoredBatchItem
from runtime.store.schema import StoredErasure
from tests.factories import present
from tests.fakes import ERASURE

NOW = ERASURE.requested_at
ERASING = ErasurePass(erasure="e1")


@dataclass
class Run:
    id: str
    run_id: str
    status: Status = Status.RUNNING
    next: str = ""
    typed_search_attributes: TypedSearchAttributes = field(default_factory=lambda: TypedSearchAttributes([]))

    @property
    def close_time(self) -> datetime | None:
        return None if self.status is Status.RUNNING else NOW


@dataclass
class Server:
    runs: list[Run]
    found: list[Run] = field(default_factory=list[Run])
    done: list[str] = field(default_factory=list[str])
    refusal: Exception | None = None
    queries: list[str] = field(default_factory=list[str])
    namespace: str = "default"

    @property
    def workflow_service(self) -> Server:
        return self

    def get_workflow_handle(self, name: str, *, run_id: str | None) -> Handle:
        return Handle(self, name, run_id)

    def run(self, name: str, run_id: str | None) -> Run:
        if self.refusal is not None:
            raise self.refusal
        for one in reversed(self.runs):
            if one.id == name and run_id in (None, one.run_id):
                return one
        raise RPCError(f"workflow not found for ID: {name}", RPCStatusCode.NOT_FOUND, b"")

    async def delete_workflow_execution(self, request: DeleteWorkflowExecutionRequest, **_: Any) -> None:
        run = self.run(request.workflow_execution.workflow_id, request.workflow_execution.run_id)
        self.done.append(f"delete {run.run_id}")

    async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[Run]:
        self.queries.append(query)
        for run in self.found:
            yield run


@dataclass
class Handle:
    server: Server
    name: str
    run_id: str | None

    async def describe(self, **_: Any) -> Run:
        return self.server.run(self.name, self.run_id)

    async def fetch_history_events(self, **_: Any) -> AsyncIterator[HistoryEvent]:
        event = HistoryEvent()
        following = self.server.run(self.name, self.run_id).next
        event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = following
        yield event

    async def terminate(self, **_: Any) -> None:
        run = self.server.run(self.name, self.run_id)
        if run.status is not Status.RUNNING:
            raise RPCError("it is over", RPCStatusCode.NOT_FOUND, b"")
        run.status = Status.TERMINATED
        self.server.done.append(f"terminate {run.run_id}")


@pytest.fixture(autouse=True)
def sealing(store: Store) -> None:
    store.sealing = Keyring(store, None)


def chain() -> list[Run]:
    return [
        Run("welcome/7", "r1", Status.CONTINUED_AS_NEW, "r2"),
        Run("welcome/7", "r2", Status.CONTINUED_AS_NEW, "r3"),
        Run("welcome/7", "r3"),
    ]


async def admit(store: Store, *runs: tuple[str, str], contact: str = "7") -> None:
    for workflow, run in runs:
        name = workflow.partition("/")[0]
        await store.admit(AdmissionRequest(name, 1, contact, None, workflow, run, "always", NOW, "order"))


async def runs_of(server: Any, store: Any, contact: str = "7") -> list[str]:
    return [run.run_id async for run in find_runs(server, store, contact)]


@pytest.mark.parametrize(
    ("firsts", "found"),
    [
        pytest.param(["r1"], ["r1", "r2", "r3"], id="later runs are followed from the first"),
        pytest.param(["r0"], ["r3"], id="the newest is found if the first is gone"),
        pytest.param(["r0", "r2", "r1"], ["r2", "r3", "r1"], id="none twice"),
    ],
)
async def test_runs_are_found_by_what_the_store_knows(store: Store, firsts: list[str], found: list[str]) -> None:
    await admit(store, *(("welcome/7", first) for first in firsts))
    server = Server(chain())
    assert sorted(await runs_of(server, store)) == sorted(found)


async def test_a_journey_that_was_just_being_admitted_is_found_too(store: Store) -> None:
    await admit(store, ("welcome/7", "r2"))

    class Late(Server):
        async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[Run]:
            await admit(store, ("welcome/7", "r1"))
            async for run in super().list_workflows(query):
                yield run

    assert await runs_of(Late(chain()), store) == ["r2", "r3", "r1"]


async def test_search_is_asked_for_journeys_alone_and_for_what_it_can_find(store: Store) -> None:
    for name in ("sale", "welcome"):
        await store.publish(name, {}, {}, "digest")
    only = "WorkflowType = 'Journey' AND "
    server = Server([], [Run("welcome/7", "r1"), Run("welcome/77", "r2"), Run("welcome/7/k", "r3")])
    assert await runs_of(server, store) == ["r1", "r3"]
    assert server.queries == [
        f"{only}(ContactId = '7')",
        f"{only}(WorkflowId IN ('sale/7', 'welcome/7') OR WorkflowId STARTS_WITH 'sale/7/'"
        " OR WorkflowId STARTS_WITH 'welcome/7/')",
    ]
    server = Server([])
    await runs_of(server, store, '7"8')
    assert server.queries == [
        f"{only}(ContactId STARTS_WITH '7')",
        f"{only}(WorkflowId STARTS_WITH 'sale/7' OR WorkflowId STARTS_WITH 'welcome/7')",
    ]


@dataclass
class Erasure:
    server: Server
    store: Store
    activities: ErasureActivities

    async def run(self, name: str, asked: ErasurePass = ERASING) -> Any:
        return await ActivityEnvironment().run(getattr(self.activities, name), asked)

    async def seen(self) -> StoredErasure:
        return present(await self.store.stored_erasure("e1"))


@pytest.fixture
async def erasure(store: Store) -> Erasure:
    keys = Keyring(store, None)
    await store.add_erasure(replace(ERASURE, contact_hash=await keys.name_of("7")))
    await admit(store, ("welcome/7", "r1"), ("sale/7", "r4"))
    await store.depart("sale/7", "r4", "finished", None, NOW)
    server = Server([*chain(), Run("sale/7", "r4", Status.COMPLETED)])
    client: Any = server
    return Erasure(server, store, ErasureActivities(client, store, keys))


async def test_passes_end_delete_and_clear_until_nothing_is_found(erasure: Erasure) -> None:
    assert await erasure.run("end_journeys") == JourneysEnded(remaining=4)
    assert await erasure.store.is_erased("7")  # whether or not it was before
    assert erasure.server.done == ["terminate r3"]
    first = replace(ERASING, remaining=4)
    await erasure.run("delete_histories", first)
    assert sorted(erasure.server.done[1:]) == ["delete r1", "delete r2", "delete r3", "delete r4"]
    # Temporal has not deleted them yet, and processes may still know the key.
    cleared = await erasure.run("clear_rows", first)
    assert cleared == RowsCleared(pause=PAUSES[0])
    assert cleared.pause > REMEMBERED
    seen = await erasure.seen()
    assert (seen.state, seen.ended, seen.histories, seen.remaining, seen.confirmed_at) == ("waiting", 1, 4, 4, None)
    assert seen.rows == {"entries": 2}
    assert not await erasure.store.has_entered("7")

    # A second pass finds what came in meanwhile, and remembers what it cannot find by the store any more.
    erasure.server.runs = [Run("sale/7", "r5", Status.COMPLETED), erasure.server.runs[0]]
    await admit(erasure.store, ("sale/7", "r5"))
    second = replace(ERASING, passes=1)
    assert await erasure.run("end_journeys", second) == JourneysEnded(remaining=2)
    second = replace(second, remaining=2)
    await erasure.run("delete_histories", second)
    assert await erasure.run("clear_rows", second) == RowsCleared(pause=PAUSES[1])

    # A third finds nothing, and only then is it finished.
    erasure.server.runs = []
    third = replace(ERASING, passes=2)
    assert await erasure.run("end_journeys", third) == JourneysEnded(remaining=0)
    assert await erasure.run("clear_rows", third) == RowsCleared(finished=True)
    seen = await erasure.seen()
    assert (seen.state, seen.contact_id, seen.ended, seen.histories) == ("finished", None, 1, 5)
    assert (seen.rows, seen.sent_to) == ({"entries": 3}, [])
    assert seen.confirmed_at is not None

    # A workflow that is started once more has nothing to do.
    assert await erasure.run("end_journeys") == JourneysEnded(remaining=0)
    assert await erasure.run("clear_rows") == RowsCleared(finished=True)
    assert await erasure.seen() == seen


async def test_it_is_not_finished_before_audiences_are_told(erasure: Erasure) -> None:
    erasure.server.runs, store = [], erasure.store
    await MembershipBook(store).add("meta", "vip", "7", {"email": "e"}, NOW)
    batch, _ = await store.freeze_audience_batch("meta", "vip", "1", 9)
    await store.settle_audience_batch(batch)
    for passes in (0, 1):
        assert await erasure.run("end_journeys", replace(ERASING, passes=passes)) == JourneysEnded(remaining=0)
        cleared = await erasure.run("clear_rows", replace(ERASING, passes=passes))
        assert cleared == RowsCleared(pause=PAUSES[passes])
        trouble = "removals from audiences that are not sent yet: 1; see 'scenario audience list'"
        assert (await erasure.seen()).trouble == trouble
    batch, _ = await store.freeze_audience_batch("meta", "vip", "2", 9)
    await store.settle_audience_batch(batch)
    await erasure.run("end_journeys", replace(ERASING, passes=2))
    assert await erasure.run("clear_rows", replace(ERASING, passes=2)) == RowsCleared(finished=True)
    seen = await erasure.seen()
    assert (seen.trouble, seen.rows["audience_memberships"]) == (None, 1)


async def test_it_says_that_it_waits_for_a_batch_call(erasure: Erasure) -> None:
    erasure.server.runs, store = [], erasure.store
    made: dict[str, Any] = {"id": "batch-1", "scenario": "sale", "version": 1, "step": "crm", "delivery_id": "msg_b"}
    await store.open_batch(StoredBatch(**made, created_at=NOW, due_at=NOW))
    found: dict[str, Any] = {"delivery_id": "msg_7", "batch": "batch-1", "position": 1, "contact_id": "7"}
    await store.join_batch(StoredBatchItem(**found, workflow_id="sale/7", joined_at=NOW))
    await store.freeze_batch("batch-1", NOW)
    await erasure.run("end_journeys", replace(ERASING, passes=1))
    assert await erasure.run("clear_rows", replace(ERASING, passes=1)) == RowsCleared(pause=PAUSES[1])
    trouble = "the contact is in a batch call that is being sent, or is held: see 'scenario batch list'"
    assert (await erasure.seen()).trouble == trouble


async def test_where_nothing_is_found_a_second_pass_looks_all_the_same(erasure: Erasure) -> None:
    erasure.server.runs = []
    assert await erasure.run("end_journeys") == JourneysEnded(remaining=0)
    assert await erasure.run("clear_rows") == RowsCleared(pause=PAUSES[0])
    assert await erasure.run("clear_rows", replace(ERASING, passes=1)) == RowsCleared(finished=True)


@pytest.mark.parametrize("name", ["end_journeys", "delete_histories"])
async def test_what_stops_it_is_on_its_record_and_names_nobody(erasure: Erasure, name: str) -> None:
    await erasure.run("end_journeys")
    for refusal, said in (
        (RPCError("welcome/7 is busy", RPCStatusCode.UNAVAILABLE, b""), "the Temporal server does not answer: check"),
        (ValueError("welcome/7"), "the worker's program failed (ValueError): its log says where"),
        (UnknownKey("SCENARIO_STORE names another store"), "SCENARIO_STORE names another store"),
    ):
        erasure.server.refusal = refusal
        with pytest.raises(ApplicationError) as caught:
            await erasure.run(name)
        assert not caught.value.non_retryable
        assert caught.value.message.startswith(said)
        assert "welcome/7" not in caught.value.message
        assert caught.value.__cause__ is None
        trouble = present((await erasure.seen()).trouble)
        assert trouble.startswith(said)
        assert trouble.endswith(" UTC)")
    erasure.server.refusal = None
    await erasure.run(name)
    assert (await erasure.seen()).trouble is None


async def test_where_the_store_is_away_it_is_retried(erasure: Erasure, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise StoreUnavailable("nothing listens there")

    monkeypatch.setattr(erasure.store, "stored_erasure", away)
    with pytest.raises(StoreUnavailable):
        await erasure.run("end_journeys")


async def test_one_that_the_store_does_not_have_is_not_retried(erasure: Erasure) -> None:
    with pytest.raises(ApplicationError, match="the store has no such erasure") as caught:
        await erasure.run("end_journeys", ErasurePass(erasure="other"))
    assert caught.value.non_retryable
