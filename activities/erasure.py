"""The erasure of contacts: the activities of the workflow `Erase`, and the start of that workflow.

The activities run in this order, since each makes the next one safe:

1. Destroy the contact's key. Entries, events and changes are refused from then on, and encrypted data is unreadable: in
   Temporal, in the store, and in copies of Temporal's database. An earlier copy of the store holds the key, wrapped by
   another one, until that is destroyed.
2. Terminate its journeys, which could not read their own data.
3. Ask Temporal to delete their histories, which takes minutes.
4. Delete the store's rows of the contact, or make those that are counted anonymous. Delete all uploaded files.

Processes cache keys for a minute, so that data may arrive after the first pass. Another pass follows, until one finds
no run in Temporal and no row in the store. Suppressions stay: they are hashes of addresses.

An erasure is recorded before its workflow is started. If that start is lost, a worker repeats it: a process was killed,
Temporal was unavailable, or the workflow was terminated.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from temporalio.client import WorkflowExecution as Found
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.background import (
    CLEAR_ROWS,
    DELETE_HISTORIES,
    END_JOURNEYS,
    ERASE_WORKFLOW,
    ErasurePass,
    JourneysEnded,
    RowsCleared,
)
from activities.interface import JOURNEYS, OPERATORS, priority_of
from activities.periodic import repeating
from runtime.encryption.codec import contact_of
from runtime.encryption.keyring import REMEMBERED, Keyring
from runtime.errors import SetupError
from runtime.process.shutdown import background_task
from runtime.search_attributes import CONTACT_ID, quote
from runtime.store import Store, StoreError
from runtime.store.schema import StoredErasure, erased_name
from runtime.temporal_faults import fault_of, unless_gone
from scenario.entry.entry import journeys_of

logger = logging.getLogger(__name__)

PAUSES: Final = (REMEMBERED + 5, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between two passes; the last again and again. After the first, processes have forgotten the contact's key."""
_BEAT: Final = 2.0  # seconds between two heartbeats
_CALL: Final = timedelta(seconds=10)
_UNFOUND: Final = re.compile(r'["\\]')
_CHUNK: Final = 20  # scenarios in one query


class ErasureActivities:
    """The activities of `Erase`; see above for their order."""

    def __init__(self, client: Client, store: Store, keys: Keyring) -> None:
        self._client, self._store, self._keys = client, store, keys

    @activity.defn(name=END_JOURNEYS.name)
    async def end_journeys(self, request: ErasurePass) -> JourneysEnded:
        """Destroy the contact's key, find all runs of its journeys, and terminate those that are running."""
        async with self._working(request.erasure) as (erasure, contact):
            if contact is None:
                return JourneysEnded(remaining=0)
            await self._keys.destroy(contact)
            await self._store.set_erasure_state(erasure.id, "ending")
            journeys = await self._store.running(contact)
            running: list[Found] = []
            for workflow_id, run_id in await self._store.erasure_runs(erasure.id):  # of earlier passes
                run, _ = await _described(self._client, workflow_id, run_id)
                if run is None:
                    await self._store.erasure_run_is_gone(erasure.id, workflow_id, run_id)
                else:
                    await self._record(erasure, run, running)
            async for run in find_runs(self._client, self._store, contact):
                await self._record(erasure, run, running)
            for run in running:
                await self._terminate(run)
            now = datetime.now(UTC)
            for entry in journeys:
                await self._store.depart(entry.workflow_id, entry.run_id, "lost", None, now)
            return JourneysEnded(remaining=await self._store.count_erasure_runs(erasure.id, now))

    @activity.defn(name=DELETE_HISTORIES.name)
    async def delete_histories(self, request: ErasurePass) -> None:
        """Ask Temporal to delete the runs that it has.

        Call it once all have ended. A server deletes a run only after it has completed all earlier requests for it, and
        checks that once a minute.
        """
        async with self._working(request.erasure) as (erasure, _):
            await self._store.set_erasure_state(erasure.id, "deleting")
            for workflow_id, run_id in await self._store.erasure_runs(erasure.id):
                execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
                deletion = DeleteWorkflowExecutionRequest(
                    namespace=self._client.namespace, workflow_execution=execution
                )
                with unless_gone():
                    await self._client.workflow_service.delete_workflow_execution(deletion, timeout=_CALL)

    @activity.defn(name=CLEAR_ROWS.name)
    async def clear_rows(self, request: ErasurePass) -> RowsCleared:
        """Clear the store's rows of the contact, and finish the erasure if this pass has found nothing."""
        async with self._working(request.erasure) as (erasure, contact):
            if contact is not None:
                # Any uploaded file may name the contact. One that is being read is deleted by a later pass.
                deleted, being_read = await self._store.delete_audiences(erasure.requested_at)
                found = {**await self._store.count_rows_of(contact), "audiences": deleted}
                await self._store.begin_clearing(erasure.id, found)
                await self._store.erase(contact, erasure.contact_hash)
                obstacle = await self._obstacle(erasure, contact)
                if obstacle:
                    await self._store.set_erasure_trouble(erasure.id, obstacle)
                is_waiting = being_read or request.remaining or obstacle
                if any(found.values()) or is_waiting or not request.passes:
                    await self._store.set_erasure_state(erasure.id, "waiting")
                    return RowsCleared(pause=PAUSES[min(request.passes, len(PAUSES) - 1)])
            await self._store.finish_erasure(erasure.id, erasure.contact_hash, datetime.now(UTC))
            logger.info("the erasure %s is finished", erasure.id)
            return RowsCleared(finished=True)

    async def _obstacle(self, erasure: StoredErasure, contact: str) -> str:
        """Return what must be sent before the erasure can finish, or nothing."""
        if removals := await self._store.pending_removals(erased_name(erasure.contact_hash)):
            return f"removals from audiences that are not sent yet: {removals}; see 'scenario audience list'"
        if await self._store.is_being_sent(contact):
            return "the contact is in a batch call that is being sent, or is held: see 'scenario batch list'"
        return ""

    async def _record(self, erasure: StoredErasure, run: Found, running: list[Found]) -> None:
        """Record a run before anything is done to it, so that it counts whatever becomes of this process."""
        is_running = run.close_time is None
        await self._store.add_erasure_run(erasure.id, run.id, run.run_id, running=is_running)
        if is_running:
            running.append(run)

    async def _terminate(self, run: Found) -> None:
        with unless_gone():  # it may have ended, or continued as another run
            handle = self._client.get_workflow_handle(run.id, run_id=run.run_id)
            await handle.terminate(reason="the contact was erased", rpc_timeout=_CALL)

    @asynccontextmanager
    async def _working(self, identifier: str) -> AsyncGenerator[tuple[StoredErasure, str | None]]:
        """Yield an erasure and its contact's id, which is None if it is finished. Record a failure as its trouble.

        Failures are replaced: Temporal's own messages may quote a workflow's id, which names the contact. They are
        retried, unless the store does not have the erasure.
        """
        async with background_task(_beat(), "heartbeats"):
            try:
                erasure = await self._load(identifier)
                yield erasure, erasure.contact_id
                if erasure.trouble is not None:
                    await self._store.set_erasure_trouble(identifier, None)
            except RPCError as error:
                raise await self._stopped(identifier, fault_of(error, self._client.namespace).advice) from None
            except (ApplicationError, StoreError):
                raise
            except SetupError as error:
                raise await self._stopped(identifier, str(error)) from None
            except Exception as error:
                logger.exception("the erasure %s failed, and is retried", identifier)
                text = f"the worker's program failed ({type(error).__name__}): its log says where"
                raise await self._stopped(identifier, text) from None

    async def _load(self, identifier: str) -> StoredErasure:
        erasure = await self._store.stored_erasure(identifier)
        if erasure is None:
            text = "the store has no such erasure: is SCENARIO_STORE the one that it was asked of?"
            raise ApplicationError(text, type="UnknownErasure", non_retryable=True)
        return erasure

    async def _stopped(self, identifier: str, trouble: str) -> ApplicationError:
        """Record why an erasure makes no progress. Return the failure to raise."""
        await self._store.set_erasure_trouble(
            identifier, f"{trouble} (it is retried, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"
        )
        return ApplicationError(trouble, type="Trouble")


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_BEAT)


async def find_runs(client: Client, store: Store, contact: str) -> AsyncIterator[Found]:
    """Yield all runs of a contact's journeys that Temporal has: those that the store leads to, and those search finds.

    Search lags behind; the store does not know of entries that were refused, and may learn of one that was just being
    admitted.
    """
    seen: set[str] = set()
    journeys: set[tuple[str, str]] = set()
    searched = False
    while (new := [one for one in await store.journeys_of(contact) if one not in journeys]) or not searched:
        journeys.update(new)
        newest = [(name, None) for name in dict.fromkeys(name for name, _ in new)]  # after a reset too
        for name, first in [*new, *newest]:
            run_id = first
            while run_id not in seen:
                run, run_id = await _described(client, name, run_id)
                if run is not None and run.run_id not in seen:
                    seen.add(run.run_id)
                    yield run
                if run_id is None:
                    break
        for query in () if searched else _queries(contact, [one.scenario for one in await store.scenarios()]):
            async for run in client.list_workflows(query, rpc_timeout=_CALL):
                known = run.typed_search_attributes.get(CONTACT_ID)
                if contact in (known, contact_of(run.id)) and run.run_id not in seen:
                    seen.add(run.run_id)
                    yield run
        searched = True


def _queries(contact: str, scenarios: Sequence[str]) -> Iterator[str]:
    """Yield queries that find a contact's runs, and others': by search attribute, or by id if an engine set none.

    Not every server's search finds a value with a quotation mark or a backslash in it. Then the queries find all that
    begin as the contact's id does.
    """
    begins = _UNFOUND.split(contact, maxsplit=1)[0]
    is_whole = begins == contact
    ids = [journeys_of(name, begins) for name in scenarios]
    clauses = [f"{CONTACT_ID.name} {'=' if is_whole else 'STARTS_WITH'} {quote(begins)}"]
    for some in (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)):
        begun = [f"WorkflowId STARTS_WITH {quote(f'{one}/' if is_whole else one)}" for one in some]
        exact = [f"WorkflowId IN ({', '.join(map(quote, some))})"] if is_whole else []
        clauses.append(" OR ".join(exact + begun))
    for clause in clauses:
        yield f"WorkflowType = 'Journey' AND ({clause})"


async def _described(client: Client, name: str, run_id: str | None) -> tuple[Found | None, str | None]:
    """Return a run, or None if Temporal does not have it, and the id of the run that it has continued as."""
    handle = client.get_workflow_handle(name, run_id=run_id)
    with unless_gone():
        run = await handle.describe(rpc_timeout=_CALL)
        if run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return run, None
        closing = client.get_workflow_handle(name, run_id=run.run_id).fetch_history_events(
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT, rpc_timeout=_CALL
        )
        events = [event async for event in closing]
        return run, events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return None, None


EVERY: Final = 30.0
"""Seconds between two looks for open erasures."""
LEASE: Final = "erasures"
_AT_ONCE: Final = 1_000


async def start_erasure(client: Client, erasure: str) -> bool:
    """Start an erasure's workflow. Return False if it is running."""
    try:
        await client.start_workflow(
            ERASE_WORKFLOW,
            ErasurePass(erasure=erasure),
            # Without a slash, which would make a part of it a contact's id: see `runtime.encryption.codec.contact_of`.
            id=f"erasure-{erasure}",
            task_queue=JOURNEYS,
            priority=priority_of(OPERATORS),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def start_open_erasures(client: Client, store: Store) -> None:
    for erasure in await store.open_erasures(_AT_ONCE):
        if await start_erasure(client, erasure):
            logger.warning("the erasure %s was open and had no workflow: started", erasure)


def starting_erasures(client: Client, store: Store) -> AbstractAsyncContextManager[None]:
    """Start the workflows of open erasures that have none, periodically, in one worker at a time."""
    return repeating(store, LEASE, lambda: start_open_erasures(client, store), every=EVERY)
