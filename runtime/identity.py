"""The identity of a store: a Temporal namespace belongs to one store, and a copy of that store is refused.

A copy holds the same id, so workers rotate a token, first in the store and then in the namespace. Workers, gateways and
commands compare the two.

The namespace's side is a workflow with a fixed id that no worker runs. Its history is an append-only log: the claim is
the workflow's input, and each newer token is a signal. This needs no permission that a worker lacks, works on any
server and on Temporal Cloud, and is kept, since the workflow never ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from runtime.data_converter import CONVERTER
from runtime.errors import ConnectionFailed, SetupError
from runtime.process.shutdown import background_task
from runtime.store import NamespaceClaim, Store, StoreError, StoreMismatch
from runtime.temporal_faults import fault_of, is_unknown_workflow

logger = logging.getLogger(__name__)

EVERY: Final = 30.0
"""Seconds between rotations of the token, plus up to a quarter, so that few workers try concurrently."""
LOST: Final = 3
"""Intervals after which the token is rotated although the store lacks the latest one: its write was lost."""
_LOOKS: Final = 3  # before a mismatch is certain: both sides may have changed between two reads
_BETWEEN_LOOKS: Final = 0.2  # seconds


class StoreIdentity:
    """One process's view of a store and its namespace."""

    def __init__(
        self, client: Client, store: Store, *, every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._store, self._every, self._clock = client, store, every, clock
        self._namespace = client.namespace
        self._seen: str | None = None
        self._since = clock()
        self._due = 0.0

    async def verify(self) -> None:
        """Check that the store and the namespace belong together, or that the namespace is unclaimed."""
        await self._compared()

    async def ensure(self) -> None:
        """Check that the namespace belongs to this store, or claim it if it is unclaimed."""
        record, claim = await self._compared()
        if record is not None:
            return
        if claim is None:
            claim = await self._new_claim(self._client.identity, "", rotation=1)
            await self._store.claim_namespace(self._namespace, claim, replace=False)
            claim = await self._store.namespace_claim(self._namespace) or claim
        try:
            is_first = await start_record(self._client, claim)
        except RPCError as error:
            raise self._refused(error) from error
        if is_first and claim.rotation > 1:
            logger.error(
                "The namespace %s had lost the claim of the store %s: it was emptied or replaced. It is claimed again. "
                "Run `scenario store reconcile` for the journeys that were lost.",
                self._namespace,
                self._store.name,
            )
        await self._compared()  # another process may have claimed it meanwhile, for another store

    async def settle(self) -> None:
        """Claim the namespace in any case, for a server and a store without other users."""
        try:
            await self.ensure()
        except StoreMismatch:  # one of the two was deleted, or the folder was copied
            await self.claim(by=self._client.identity, reason="both are local")

    async def claim(self, *, by: str, reason: str) -> None:
        """Move the namespace to this store, whichever it belongs to."""
        record, claim = await self._read()
        rotation = 1 + max(record.rotation if record else 0, claim.rotation if claim else 0)
        claim = await self._new_claim(by, reason, rotation=rotation)
        await self._store.claim_namespace(self._namespace, claim, replace=True)
        # The store may be a backup. Microseconds pass faster than events.
        await self._store.leap(time.time_ns() // 1_000)
        try:
            await start_record(self._client, claim, replace=True)
        except RPCError as error:
            raise self._refused(error) from error

    async def tend(self) -> None:
        """Compare both sides, and rotate the token if that is due. Called periodically by workers."""
        record, claim = await self._compared()
        if record is None:
            await self.ensure()
            return
        if record.token != self._seen:  # a worker has just rotated it, this or another
            self._seen, self._since = record.token, self._clock()
            self._due = self._every * (1 + random.random() / 4)  # noqa: S311 not a secret
        waited = self._clock() - self._since
        is_behind = claim is not None and record.token not in (claim.token, claim.previous_token)
        if waited >= (LOST * self._every if is_behind else self._due):
            await self._rotate()

    async def _rotate(self) -> None:
        """Store a newer token, then add it to the namespace.

        If the worker dies in between, the namespace's token is the store's previous one, and another worker adds the
        same token. Of several workers that rotate concurrently, one replaces the token in the store.
        """
        run = await read_run(self._client)
        record, claim = await self._compared()
        if run is None or record is None or claim is None or record.token != self._seen:
            return  # another worker has done it just now
        if record.token != claim.previous_token:
            known = claim.token
            claim = replace(
                claim,
                token=secrets.token_hex(16),
                previous_token=record.token,
                rotation=record.rotation + 1,
                rotated_at=_now(),
            )
            if not await self._store.rotate_token(self._namespace, claim, known):
                return
        await write_record(self._client, run, claim)

    async def _new_claim(self, by: str, reason: str, *, rotation: int) -> NamespaceClaim:
        now, database = _now(), await self._store.database_identity()
        return NamespaceClaim(secrets.token_hex(16), "", rotation, now, database, now, by, reason)

    async def _read(self) -> tuple[NamespaceClaim | None, NamespaceClaim | None]:
        try:
            record = await read_record(self._client)
        except RPCError as error:
            raise self._refused(error) from error
        return record, await self._store.namespace_claim(self._namespace)

    async def _compared(self) -> tuple[NamespaceClaim | None, NamespaceClaim | None]:
        looks = 0
        while True:
            record, claim = await self._read()
            why = mismatch(record, claim, await self._store.database_identity() if claim is not None else "")
            if why is None:
                if (state := await self._store.journal_state()) is not None and state.behind:
                    raise StoreMismatch(behind(self._store.name))
                return record, claim
            looks += 1
            if looks == _LOOKS:
                raise StoreMismatch(self._sentence(why))
            await asyncio.sleep(_BETWEEN_LOOKS)

    def _sentence(self, why: str) -> str:
        return (
            f"The store {self._store.name} and the Temporal namespace {self._namespace} do not belong together, {why}: "
            "correct SCENARIO_STORE or TEMPORAL_NAMESPACE or, to move the namespace to this store, stop all workers "
            "and run `scenario store claim --force --reason …`."
        )

    def _refused(self, error: RPCError) -> ConnectionFailed:
        return ConnectionFailed(fault_of(error, self._namespace).advice)


def mismatch(record: NamespaceClaim | None, claim: NamespaceClaim | None, database: str) -> str | None:
    """Return why a store and a namespace do not belong together, or None if they do or the namespace is unclaimed.

    The identity of the store's `database` is empty if it is unknown.
    """
    if claim is not None and database and claim.database not in ("", database):
        return "this database is a copy of the one that the namespace belongs to"
    if record is None:
        return None
    if claim is None or claim.claimed_at != record.claimed_at:
        return f"the namespace has belonged to another store since {record.claimed_at[:16]}"
    if record.token in (claim.token, claim.previous_token) or record.previous_token == claim.token:
        return None
    theirs, ours = record.rotated_at[:16], claim.rotated_at[:16]
    if record.rotation >= claim.rotation:
        return f"the store is as it was at {ours}, and the namespace went on until {theirs}: it is a copy or a backup"
    return f"the namespace is as it was at {theirs}, and the store went on until {ours}: Temporal is a copy or a backup"


def behind(store: str) -> str:
    """Return the sentence that refuses a store which lacks entries of its journal."""
    return (
        f"The store {store} lacks entries of its journal, such as erasures and unsubscriptions after its backup: stop "
        "all processes and run `scenario store claim --force --reason …`, which adds them."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()


COMPARE_EVERY: Final = 10.0  # seconds between comparisons: a few small calls each
_PATIENCE: Final = 30.0  # seconds that one may take


@asynccontextmanager
async def guarding_identity(
    identity: StoreIdentity, store: Store, stop: Callable[[], None], *, rotates: bool, every: float = COMPARE_EVERY
) -> AsyncGenerator[None]:
    """Compare the store with its namespace periodically. On a mismatch, refuse further calls and request a stop.

    A side that does not answer is no mismatch: its own health check reports it. Raise StoreMismatch at the end, if that
    is why the process stops.
    """
    found: StoreMismatch | None = None

    async def run() -> None:
        nonlocal found
        while found is None:
            await asyncio.sleep(every)
            found = await _compare(identity, rotates)
        store.bar(found)
        logger.error("%s", found)
        stop()

    try:
        async with background_task(run(), "guard the store's identity"):
            yield
    finally:
        if found is not None:
            raise found


async def _compare(identity: StoreIdentity, rotates: bool) -> StoreMismatch | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await (identity.tend() if rotates else identity.verify())
    except StoreMismatch as error:
        return error
    except (StoreError, SetupError, RPCError, TimeoutError):
        return None
    except Exception:  # without further comparisons, a mismatch would stay unnoticed
        logger.exception("the identity of the store cannot be compared")
    return None


WORKFLOW: Final = "scenario-store"  # the workflow's id, and its task queue, which is never polled
TYPE: Final = "StoreClaim"
LONGEST: Final = 2_000
"""Events after which the workflow is restarted: rotations of 17 hours. A server allows 10,000 signals."""

_SIGNAL: Final = "token"
_NEWEST: Final = 10  # claims that are read: a process that was paused may have added an old token
_PAGE: Final = 1_000  # events of the further pages that are read if foreign signals hide the claims
_CALL: Final = timedelta(seconds=5)
_SUMMARY: Final = "The claim of the store that this namespace belongs to. No worker runs it. Leave it running."
_CLAIM: Final = TypeAdapter(NamespaceClaim)


async def read_record(client: Client) -> NamespaceClaim | None:
    """Return the namespace's claim, or None if it is unclaimed."""
    service = client.workflow_service
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=WORKFLOW), maximum_page_size=_NEWEST
    )
    claims: list[NamespaceClaim] = []
    while True:
        try:
            response = await service.get_workflow_execution_history_reverse(request, retry=True, timeout=_CALL)
        except RPCError as error:
            if is_unknown_workflow(error):
                return None
            raise
        claims += filter(None, map(_claim, response.history.events))
        if len(claims) >= _NEWEST or not response.next_page_token:
            # The latest rotation. Of several claims with its number, the first that arrived counts.
            return max(reversed(claims), key=lambda claim: claim.rotation, default=None)
        request.next_page_token, request.maximum_page_size = response.next_page_token, _PAGE


async def read_run(client: Client) -> WorkflowExecutionDescription | None:
    """Return the workflow's latest run, or None if there is none."""
    try:
        return await bare(client).get_workflow_handle(WORKFLOW).describe(rpc_timeout=_CALL)
    except RPCError as error:
        if is_unknown_workflow(error):
            return None
        raise


async def start_record(client: Client, claim: NamespaceClaim, *, replace: bool = False) -> bool:
    """Start the workflow. Return False if it is running already."""
    try:
        await bare(client).start_workflow(
            TYPE,
            asdict(claim),
            id=WORKFLOW,
            task_queue=WORKFLOW,
            id_conflict_policy=(
                WorkflowIDConflictPolicy.TERMINATE_EXISTING if replace else WorkflowIDConflictPolicy.FAIL
            ),
            static_summary=_SUMMARY,
            rpc_timeout=_CALL,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def write_record(client: Client, run: WorkflowExecutionDescription, claim: NamespaceClaim) -> None:
    """Add a newer token to a run, or start another run once that one is long.

    Nothing is written if another run has replaced it: the namespace was claimed again.
    """
    handle = bare(client).get_workflow_handle(WORKFLOW, run_id=run.run_id)
    is_open = run.status is WorkflowExecutionStatus.RUNNING
    try:
        if is_open and run.history_length < LONGEST:
            await handle.signal(_SIGNAL, asdict(claim), rpc_timeout=_CALL)
            return
        if is_open:
            await handle.terminate(reason="its history is long: another run continues", rpc_timeout=_CALL)
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return
    await start_record(client, claim)


def bare(client: Client) -> Client:
    """Return a client on the same connection that neither encrypts nor traces."""
    config = client.config()
    config["data_converter"], config["interceptors"] = CONVERTER, []
    return Client(**config)


def _claim(event: HistoryEvent) -> NamespaceClaim | None:
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        given = event.workflow_execution_started_event_attributes.input
    elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        given = event.workflow_execution_signaled_event_attributes.input
    else:
        return None
    try:
        return _CLAIM.validate_json(given.payloads[0].data)
    except (ValidationError, IndexError):  # a foreign signal
        return None
