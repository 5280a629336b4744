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

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from temporalio.client import WorkflowExecution as Found
from temporalio.service import RPCError

from gateway.errors import BadInput
from gateway.journeys.listing import quoted
from runtime.encryption.codec import contact_of
from runtime.encryption.keyring import Keyring
from runtime.search_attributes import CONTACT_ID
from runtime.store import Store
from runtime.store.erasure import Traces
from runtime.temporal_faults import is_unknown_workflow
from scenario.entry.entry import journeys_of
from scenario.entry.values import as_id

KEPT: Final = (
    "suppressions, and for 30 days passing bounces: hashes of addresses, which keep them from being written to",
    "the contact's name as an HMAC, which keeps it from being taken in again",
    "answers to requests with an Idempotency-Key, which hold ids alone: for 24 hours",
    "copies of the store that were made before, and its free pages: they hold the contact's key, wrapped, until the "
    "key of SCENARIO_ENCRYPTION_KEYS that wrapped it is destroyed, after 'scenario encryption rotate'",
    "free pages of Temporal's database and copies of it: what was encrypted cannot be read there",
    "histories of workflows that are no journeys: operations, with ids of journeys; what the platform is told of "
    "suppressions, with addresses sealed; entries of schedules: until the retention of Temporal's namespace is over",
    "logs and traces, which hold ids: for as long as they are kept",
)
"""What is left, and why."""
_UNFOUND: Final = re.compile(r'["\\]')
_CHUNK: Final = 20  # scenarios in one query


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
        BadInput: A contact cannot have such an id.
        StoreError: The store cannot be used; repeat it.
        RPCError: Temporal cannot be reached; repeat it.
    """
    contact = _known(contact)
    before = await keyring.is_erased(contact)
    if not dry_run:
        await keyring.destroy(contact)
    journeys: list[tuple[str, str]] = []
    found: list[Found] = []
    ended = 0
    async for run in _runs(temporal, store, contact, journeys):
        found.append(run)
        if run.close_time is None:
            ended += dry_run or await _terminate(temporal, run)
    # Once all have ended: a server deletes a run only when all is done that it was asked for before, and looks once a
    # minute whether it is.
    for run in () if dry_run else found:
        await _delete(temporal, run)
    name = ""
    if dry_run:  # it writes nothing: where nobody is known yet, not even what contacts are known by
        rows = await store.traces(contact)
    else:
        name, now = await keyring.name_of(contact), datetime.now(UTC)
        for entry in await store.running(contact):
            if (entry.workflow_id, entry.run_id) in journeys:
                await store.depart(entry.workflow_id, entry.run_id, "lost", None, now)
        rows = await store.erase(contact, name, journeys)
    return Erasing(
        name,
        datetime.now(UTC),
        operator,
        reason,
        dry_run,
        keyring.encrypts,
        before,
        ended,
        len(found),
        rows,
    )


def _known(contact: str) -> str:
    """An id as an entry's is read, so that who is named here is who came in by it."""
    try:
        known = as_id(contact)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if known is None:
        raise BadInput("the contact's id is empty: say who is to be erased")
    if "%2F" in known:
        raise BadInput("the contact's id has '%2F' in it, which stands for '/' in ids of journeys: give it with '/'")
    return known


async def _runs(temporal: Client, store: Store, contact: str, journeys: list[tuple[str, str]]) -> AsyncIterator[Found]:
    """All runs of a contact's journeys: those that the store leads to, and those that search finds.

    Search lags behind; the store does not know of entries that were refused, and may learn of one that was just being
    admitted.

    Args:
        temporal: Where they are.
        store: Knows journeys.
        contact: The contact's id.
        journeys: Gets those that the store knows.
    """
    seen: set[str] = set()
    searched = False
    while (new := [one for one in await store.journeys_of(contact) if one not in journeys]) or not searched:
        journeys += new
        newest = [(name, None) for name in dict.fromkeys(name for name, _ in new)]  # after a reset too
        for name, first in [*new, *newest]:
            run_id = first
            while run_id not in seen:
                run, run_id = await _described(temporal, name, run_id)
                if run is not None and run.run_id not in seen:
                    seen.add(run.run_id)
                    yield run
                if run_id is None:
                    break
        for query in () if searched else _queries(contact, [one.scenario for one in await store.scenarios()]):
            async for run in temporal.list_workflows(query):
                known = run.typed_search_attributes.get(CONTACT_ID)
                if contact in (known, contact_of(run.id)) and run.run_id not in seen:
                    seen.add(run.run_id)
                    yield run
        searched = True


def _queries(contact: str, scenarios: Sequence[str]) -> Iterator[str]:
    """What finds a contact's runs, and others': by the search attribute, or by the id where an engine set none.

    Not every server's search finds a value with a quotation mark or a backslash in it: then all that begin as it does
    are found.
    """
    begins = _UNFOUND.split(contact, maxsplit=1)[0]
    is_whole = begins == contact
    ids = [journeys_of(name, begins) for name in scenarios]
    clauses = [f"{CONTACT_ID.name} {'=' if is_whole else 'STARTS_WITH'} {quoted(begins)}"]
    for some in (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)):
        begun = [f"WorkflowId STARTS_WITH {quoted(f'{one}/' if is_whole else one)}" for one in some]
        exact = [f"WorkflowId IN ({', '.join(map(quoted, some))})"] if is_whole else []
        clauses.append(" OR ".join(exact + begun))
    for clause in clauses:
        yield f"WorkflowType = 'Journey' AND ({clause})"


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
        if not is_unknown_workflow(error):
            raise
        return None, None
    return run, events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def _terminate(temporal: Client, run: Found) -> bool:
    """Ends a run; False where it was over meanwhile: it has continued as another, say."""
    try:
        await temporal.get_workflow_handle(run.id, run_id=run.run_id).terminate(reason="the contact was erased")
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return False
    return True


async def _delete(temporal: Client, run: Found) -> None:
    execution = WorkflowExecution(workflow_id=run.id, run_id=run.run_id)
    try:
        await temporal.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=execution)
        )
    except RPCError as error:
        if not is_unknown_workflow(error):  # it is deleted already
            raise
