"""Use cases about operations: on one journey, and on many in the background.

An operation on many journeys is stored first, then its workflow is started: see `workflows.operation`. If the process
ends in between, the next gateway starts it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.background import BLAST
from activities.interface import OPERATORS, priority_of
from authoring.errors import BadInput
from runtime.store import OperationItem, Store, StoredOperation, StoreError
from runtime.temporal_faults import is_unknown_workflow, unless_gone
from scenario.words import Operation, OutgoingOperation
from service.caller import Caller
from service.errors import BadOperation, Forbidden, NotAccepted, NotFound
from service.operations.journey_operations import JourneyOperations
from service.operations.migration import check_migration
from service.operations.request import NOT_HELD, RequestedOperation, check_arguments, check_record
from service.operations.views import ItemOutcome, JourneyNow, OperatedView, OperationItemView, OperationView
from service.view import Ordinal, PageRequest, PageView
from workflows.operation import QUEUE, STOP, WORKFLOW
from workflows.operation import OperationState as WorkflowState

logger = logging.getLogger(__name__)

_FINAL: Final = timedelta(minutes=5)  # after the end of an operation until its counts are final
_CACHED: Final = 1_000
_STARTING: Final = timedelta(seconds=30)  # between storing an operation and starting its workflow
_SENT_TO_ONE: Final = {"rate": 0.0, "limit": None, "dry_run": False, "everybody": False}


class OperationService:
    """Use cases about operations. `journeys` finds journeys and sends them operations.

    All raise Forbidden if the caller may not use the scenario, and NotFound if there is no such operation.
    """

    def __init__(self, temporal: Client, store: Store) -> None:
        self._temporal, self._store = temporal, store
        self.journeys = JourneyOperations(temporal, store)
        self._final: dict[str, Mapping[str, int]] = {}  # an operation may have a million journeys, and be viewed often

    async def operate(
        self,
        caller: Caller,
        journey: str,
        operation: Operation,
        *,
        operator: str,
        reason: str,
        step: str | None = None,
        destination: str | None = None,
        update_id: str | None = None,
        more: Mapping[str, Any],
    ) -> OperatedView:
        """Send an operation to one journey, which accepts or refuses it. Raises as `JourneyOperations.send`.

        Args:
            step: Only if the journey is at this step.
            destination: For `retune`: only if the delivery in progress goes there.
            more: Further arguments; see `service.operations.request.check_arguments`.
        """
        known = await self._store.entry(journey) or await self._store.stored_batch(journey)
        caller.check_journey(journey, known and known.scenario)
        check_record(operator, reason)
        check_arguments(operation, more)
        if operation in NOT_HELD and step is not None:
            raise BadInput(f"{operation} takes no step: leave it out", at=["step"], code="combination")
        if operation is not Operation.RETUNE and destination is not None:
            raise BadInput(f"{operation} takes no destination: leave it out", at=["destination"], code="combination")
        arguments: dict[str, Any] = {"step": step, "destination": destination, **more}
        if operation is Operation.MIGRATE:
            arguments.setdefault("version", "newest")
        record = {"operator": operator, "reason": reason, "update_id": update_id}
        return OperatedView(journey=journey, progress=await self.send(journey, operation, **record, **arguments))

    async def send(
        self,
        journey: str,
        operation: Operation,
        *,
        operator: str,
        reason: str,
        update_id: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send an operation to one journey, and list it among the operations. See `JourneyOperations.send`."""
        requested_at = datetime.now(UTC)
        record = {"operator": operator, "reason": reason, "update_id": update_id}
        progress = await self.journeys.send(journey, operation, **record, **more)
        at = datetime.now(UTC)
        more = {name: value for name, value in more.items() if value is not None}
        try:
            known = await self._store.entry(journey) or await self._store.stored_batch(journey)
            which: dict[str, Any] = {"scenario": known.scenario if known else journey.partition("/")[0]}
            which |= {name: more.pop(name) for name in ("step", "destination") if name in more}
            stored = StoredOperation(
                id=update_id or uuid.uuid4().hex[:20],
                verb=operation,
                request={**_SENT_TO_ONE, "which": which, "more": more},
                operator=operator,
                # It may be about the contact, so only the journey's history has it, which is encrypted and erased.
                reason="recorded in the journey",
                created_at=requested_at,
                surveyed_at=at,
                ended_at=at,
                outcome="finished",
            )
            if await self._store.add_operation(stored):
                step = which.get("step")
                item = OperationItem(number=1, workflow_id=journey, step=step, outcome="accepted", answered_at=at)
                await self._store.add_items(stored.id, [item])
        except StoreError as error:  # it is carried out, and the journey has recorded it
            logger.warning("an operation on a journey is not listed: %s", error)
        return progress

    async def begin(self, caller: Caller, request: RequestedOperation, identifier: str | None = None) -> OperationView:
        """Begin an operation on all matching journeys. It continues in whichever gateway runs.

        With an identifier, the request is idempotent. After BadInput and RPCError, nothing has begun, or will.
        """
        caller.check(request.which.scenario, "which.scenario")
        stored = StoredOperation(
            id=identifier or uuid.uuid4().hex[:20],
            verb=request.operation,
            request=await self._validated(request),
            operator=request.operator,
            reason=request.reason,
            created_at=datetime.now(UTC),
        )
        if not await self._store.add_operation(stored):
            # Requested before, perhaps by a process that ended before it started the workflow.
            if (known := await self._stored(stored.id)).ended_at is None:
                await self._start(known)
            return await self.show(caller, stored.id)
        try:
            await self._start(stored)
        except RPCError:
            # The server may have started the workflow. Without its record it asks no journey.
            if await self._store.withdraw_operation(stored.id):
                raise
            return await self.show(caller, stored.id)
        return OperationView.of(stored, {})

    async def _validated(self, request: RequestedOperation) -> dict[str, Any]:
        request.check()
        scenario, stored = request.which.scenario, request.as_json()
        await self.journeys.paused_by(request.which)
        if request.operation is Operation.MIGRATE and scenario is not None:
            stored["more"]["version"] = await check_migration(
                self._store,
                scenario,
                to=request.more.get("version", "newest"),
                version=request.which.version,
                names=request.more.get("map") or {},
            )
        elif scenario is not None and await self._store.newest(scenario) is None:
            raise BadOperation(f"there is no scenario '{scenario}': check its name", "which", "scenario")
        return stored

    async def list(
        self,
        caller: Caller,
        page: PageRequest,
        *,
        scenario: str | None = None,
        operation: Operation | OutgoingOperation | None = None,
        operator: str | None = None,
        destination: str | None = None,
        since: datetime | None = None,
    ) -> PageView[OperationView]:
        """List operations on scenarios that the caller may use, requested since then, the newest first.

        `operator` is a part of the operator's name.
        """
        if scenario is not None:
            caller.check(scenario)
        found = await self._store.stored_operations(
            verb=operation,
            operator=operator,
            scenarios=caller.scenarios if scenario is None else (scenario,),
            destination=destination,
            since=since,
            after=await page.item(self._store.stored_operation),
            limit=page.limit + 1,
        )
        items, following = page.split(found, lambda one: [one.id])
        return PageView(items=[*await self._views(items)], next=following)

    async def show(self, caller: Caller, identifier: str) -> OperationView:
        stored = await self._stored(identifier)
        if stored.ended_at is None and await self._settle(stored):
            stored = await self._stored(identifier)
        [view] = await self._views([stored])
        if not caller.may_use(view.which.get("scenario")):
            raise Forbidden("this key is for some scenarios, and the operation is not about one of them")
        return view

    async def items(
        self, caller: Caller, identifier: str, page: PageRequest, outcome: ItemOutcome | None = None
    ) -> PageView[OperationItemView]:
        await self.show(caller, identifier)
        after = page.place(tuple[Ordinal, str])
        found = await self._store.items(identifier, outcome=outcome, after=after, limit=page.limit + 1)
        items, following = page.split(found, lambda item: item.place)
        shown = [OperationItemView.from_record(item, journey=item.workflow_id) for item in items]
        return PageView(items=shown, next=following)

    async def journeys_of(self, items: Sequence[OperationItemView]) -> Mapping[str, JourneyNow]:
        """Return the state of the journeys of some items, by their ids. Forgotten journeys are missing."""
        ids = [item.journey for item in items]
        indexed = await self.journeys.lists.index.states(ids)
        found = {name: JourneyNow(one.state, one.step, one.hold.reason) for name, one in indexed.items()}
        for entry in await asyncio.gather(*map(self._store.entry, ids)):
            if entry is not None and entry.ended_at is not None:
                found[entry.workflow_id] = JourneyNow(entry.outcome or "lost", reason=entry.reason)
        return found

    async def stop(self, caller: Caller, identifier: str, *, operator: str, reason: str) -> OperationView:
        """Stop an operation within a second or two, or as soon as a gateway runs. Accepted operations stay done.

        Raise NotAccepted if it has ended.
        """
        view = await self.show(caller, identifier)
        check_record(operator, reason)
        if not view.over:
            handle = self._temporal.get_workflow_handle(_workflow(identifier))
            try:
                await handle.signal(STOP, {"operator": operator, "reason": reason})
            except RPCError as error:
                if not is_unknown_workflow(error):
                    raise
                await self._settle(await self._stored(identifier))
            view = await self.show(caller, identifier)
            if not view.over:
                return view
        raise NotAccepted(identifier, f"the operation has ended ({view.state})")

    async def settle(self) -> None:
        """Start stored operations that have no workflow, and record the end of those terminated on the server."""
        for stored in await self._store.stored_operations(is_open=True, limit=1_000):
            if await self._settle(stored):
                logger.info("the operation %s had no running workflow: settled", stored.id)

    async def _settle(self, stored: StoredOperation) -> bool:
        """Return True if an open operation had no running workflow, which is settled now."""
        described = None
        with unless_gone():
            described = await self._temporal.get_workflow_handle(_workflow(stored.id)).describe()
        if described is None:
            if datetime.now(UTC) - stored.created_at < _STARTING:
                return False
            await self._start(stored)
            return True
        if described.status is WorkflowExecutionStatus.RUNNING:
            return False
        # A workflow that ends normally has recorded that before: then this changes nothing.
        trouble = "its workflow was ended on the server: begin another operation for the remaining journeys"
        await self._store.end_operation(stored.id, "failed", datetime.now(UTC), trouble=trouble)
        return True

    async def _start(self, stored: StoredOperation) -> None:
        request = stored.request
        state = WorkflowState(operation=stored.id, rate=request["rate"], dry_run=request["dry_run"])
        with suppress(WorkflowAlreadyStartedError):  # by another gateway
            await self._temporal.start_workflow(
                WORKFLOW,
                state,
                id=_workflow(stored.id),
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"{stored.verb}, at most {request['rate']:g} a second",
                priority=priority_of(OPERATORS),
            )

    async def _stored(self, identifier: str) -> StoredOperation:
        stored = await self._store.stored_operation(identifier)
        if stored is None:
            raise NotFound(f"there is no operation '{identifier[:80]}'")
        return stored

    async def _views(self, stored: Sequence[StoredOperation]) -> Sequence[OperationView]:
        known = {item.id: self._final[item.id] for item in stored if item.id in self._final}
        counts = {**known, **await self._store.item_counts([item.id for item in stored if item.id not in known])}
        final = datetime.now(UTC) - _FINAL
        for item in stored:
            if item.ended_at is not None and item.ended_at < final:
                self._final[item.id] = counts[item.id]
        while len(self._final) > _CACHED:
            del self._final[next(iter(self._final))]
        views = [OperationView.of(item, counts[item.id]) for item in stored]
        return [*await asyncio.gather(*map(self._with_trouble, views))]

    async def _with_trouble(self, view: OperationView) -> OperationView:
        if view.over or view.trouble:
            return view
        trouble = await trouble_of(self._temporal, _workflow(view.id), "operation")
        answered = view.total > 0 and not view.left and not view.unanswered
        if trouble and answered:
            trouble = f"all its journeys have answered, but {trouble}"
        return view.model_copy(update={"trouble": trouble})


def _workflow(identifier: str) -> str:
    return f"operation:{identifier}"


PATIENCE: Final = timedelta(seconds=10)  # a task may wait this long for a gateway before it counts as stuck
_BEATEN: Final = timedelta(seconds=20)  # more than the time between heartbeats


async def trouble_of(temporal: Client, workflow_id: str, what: str) -> str | None:
    """Return why the workflow of an ``operation`` or a ``campaign`` makes no progress, or None if it does."""
    try:
        described = await temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        return None if is_unknown_workflow(error) else f"Temporal does not answer: the {what} continues once it does"
    now = datetime.now(UTC)
    return standstill(described.raw_description, now) or await _of_receiver(
        temporal, described.raw_description.pending_activities, now
    )


async def _of_receiver(temporal: Client, pending: Iterable[PendingActivityInfo], now: datetime) -> str | None:
    """Return why the receiver of a campaign takes no messages, as the worker's heartbeats report it."""
    for activity in pending:
        if activity.activity_type.name == BLAST and _is_working(activity, now):
            details = activity.heartbeat_details.payloads
            for why in await temporal.data_converter.decode(details, [str] * len(details)):
                return f"its receiver takes no messages for the moment: {why}"
    return None


def standstill(description: DescribeWorkflowExecutionResponse, now: datetime) -> str | None:
    """Return why a described workflow of an operation makes no progress, or None if it does, or has ended."""
    waited = _waited(description.pending_workflow_task.original_scheduled_time, now)
    if description.HasField("pending_workflow_task") and waited > PATIENCE:
        return (
            f"its next task has waited {_seconds(waited)} for a gateway: check that one runs, and that Temporal is fast"
        )
    for activity in description.pending_activities:
        waited = _waited(activity.scheduled_time, now)
        by = "worker" if activity.activity_type.name == BLAST else "gateway"
        if activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and waited > PATIENCE:
            return f"its work has waited {_seconds(waited)} for a {by}: check that one runs"
        if activity.attempt > 1 and not _is_working(activity, now):  # a chunk that works again has only lost its worker
            failed = f"{activity.attempt - 1} time{'s' if activity.attempt > 2 else ''}"
            return f"its work has failed {failed} and is tried again: the {by}'s log says why"
    return None


def _is_working(activity: PendingActivityInfo, now: datetime) -> bool:
    beaten = activity.HasField("last_heartbeat_time") and _waited(activity.last_heartbeat_time, now) <= _BEATEN
    return activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED and beaten


def _waited(since: Timestamp, now: datetime) -> timedelta:
    return now - since.ToDatetime(UTC)


def _seconds(waited: timedelta) -> str:
    return f"{int(waited.total_seconds())} s"
