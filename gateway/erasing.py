"""Erases a contact: nothing is taken for it any more, its journeys end, and what is kept of it cannot be read.

In this order, since each step makes the next one safe:

1. its key is destroyed, and stands there as destroyed: entries, events and changes are refused from now on, and what
   was encrypted cannot be read, be it in Temporal, in the store, or in a copy of Temporal's database. A copy of the
   store that was made before holds the key, wrapped: it is as good as the key that wrapped it, until that is destroyed;
2. its journeys are terminated: one that went on could not read itself;
3. their histories are deleted, which Temporal does within some minutes;
4. the store's rows of it are deleted, or lead to nobody where others are counted by them.

Suppressions stay: they are hashes of addresses, and what keeps somebody from being written to whom nobody knows any
more. All of it may be repeated, and has to be where something came in during the minute for which processes remember
keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from temporalio.client import WorkflowExecution as Found
from temporalio.service import RPCError, RPCStatusCode

from gateway.journeys.listing import quoted
from runtime.encryption.keyring import Keyring
from runtime.store import Store
from runtime.store.erasure import Traces

KEPT: Final = (
    "suppressions: hashes of addresses, which keep them from being written to",
    "the contact's name as an HMAC, which keeps it from being taken in again",
    "answers to requests with an Idempotency-Key, which hold ids alone: for 24 hours",
    "copies of the store that were made before, and its free pages: they hold the contact's key, wrapped, until the "
    "key of SCENARIO_ENCRYPTION_KEYS that wrapped it is destroyed, after 'scenario encryption rotate'",
    "free pages of Temporal's database and copies of it: what was encrypted cannot be read there",
)
"""What is left, and why."""


@dataclass(frozen=True)
class Erasing:
    """What was erased of a contact, or would be.

    Attributes:
        contact: An HMAC of the contact's id; empty where nothing was done.
        at: When.
        operator: Who did it.
        reason: Why.
        dry_run: Whether nothing was done.
        encrypted: Whether what was kept of it was encrypted, so that copies made before are as good as their keys.
        before: Whether it had been erased before.
        ended: Journeys under way that were ended.
        histories: Runs whose histories are deleted.
        rows: Rows of the store that were deleted, or lead to nobody now.
    """

    contact: str
    at: datetime
    operator: str
    reason: str
    dry_run: bool
    encrypted: bool
    before: bool
    ended: int
    histories: int
    rows: Traces

    def as_json(self) -> dict[str, Any]:
        """The report, to be filed. It names nobody."""
        return {**asdict(self), "at": self.at.isoformat(), "kept": list(KEPT)}


async def erase(
    temporal: Client,
    store: Store,
    keyring: Keyring,
    contact: str,
    *,
    operator: str,
    reason: str,
    dry_run: bool = False,
) -> Erasing:
    """Erases a contact, see above.

    Args:
        temporal: Where its journeys are.
        store: Which keeps the rest.
        keyring: The keys of contacts.
        contact: The contact's id.
        operator: Who.
        reason: Why, for the report.
        dry_run: Only tell what there is.

    Raises:
        StoreError: The store cannot be used; repeat it.
        RPCError: Temporal cannot be reached; repeat it.
    """
    before = await keyring.is_erased(contact)
    journeys = await store.journeys_of(contact)
    if not dry_run:
        await keyring.destroy(contact)
    ended = histories = 0
    async for run in _runs(temporal, contact, journeys):
        under_way = run.close_time is None
        ended += under_way
        histories += 1
        if not dry_run:
            if under_way:
                await _terminate(temporal, run)
            await _delete(temporal, run)
    name = ""
    if dry_run:  # it writes nothing: where nobody is known yet, not even what contacts are known by
        rows = await store.traces(contact)
    else:
        name, now = await keyring.name_of(contact), datetime.now(UTC)
        for entry in await store.running(contact):
            await store.depart(entry.workflow_id, entry.run_id, "lost", None, now)
        rows = await store.erase(contact, name)
    return Erasing(
        name,
        datetime.now(UTC),
        operator,
        reason,
        dry_run,
        keyring.encrypts,
        before,
        ended,
        histories,
        rows,
    )


async def _runs(temporal: Client, contact: str, journeys: Sequence[tuple[str, str]]) -> AsyncIterator[Found]:
    """All runs of a contact's journeys: those that the store leads to, and those that search finds.

    Search lags behind, and not every server's finds a value with a quotation mark or a backslash in it. The store does
    not know of entries that were refused.
    """
    seen: set[str] = set()
    names = sorted({name for name, _ in journeys})
    for name, first in [*journeys, *((name, None) for name in names)]:  # None: the newest, after a reset too
        run_id = first
        while run_id not in seen:
            run, run_id = await _described(temporal, name, run_id)
            if run is not None and run.run_id not in seen:
                seen.add(run.run_id)
                yield run
            if run_id is None:
                break
    queries = [f"ContactId = {quoted(contact)}", *(f"WorkflowId = {quoted(name)}" for name in names)]
    for query in queries:
        async for run in temporal.list_workflows(query):
            if run.run_id not in seen:
                seen.add(run.run_id)
                yield run


async def _described(temporal: Client, name: str, run_id: str | None) -> tuple[Found | None, str | None]:
    """A run, if it is there, and the id of the run that it has continued as."""
    handle = temporal.get_workflow_handle(name, run_id=run_id)
    try:
        run = await handle.describe()
        if run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return run, None
        closing = temporal.get_workflow_handle(name, run_id=run.run_id).fetch_history_events(
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
        )
        events = [event async for event in closing]
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None, None
    return run, events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def _terminate(temporal: Client, run: Found) -> None:
    try:
        await temporal.get_workflow_handle(run.id, run_id=run.run_id).terminate(reason="the contact was erased")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it was over meanwhile
            raise


async def _delete(temporal: Client, run: Found) -> None:
    execution = WorkflowExecution(workflow_id=run.id, run_id=run.run_id)
    try:
        await temporal.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=execution)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it is deleted already
            raise
