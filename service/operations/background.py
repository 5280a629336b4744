"""The worker that carries out operations on many journeys: it finds them, asks each at a rate, and records answers.

If a gateway is killed, the next one repeats the updates in flight under the same update id. A journey that has carried
one out returns its first answer and does nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from authoring.errors import BadInput, Refusal
from runtime.process.shutdown import Deadline
from runtime.process.workers import Workers, running_workers
from runtime.store import OperationItem, Store, StoredOperation, StoreError
from runtime.store.operations import NOT_ASKED, UNANSWERED
from scenario.words import Operation
from service.campaigns.background import BEAT, CampaignActivities, guarded
from service.campaigns.service import CampaignService
from service.errors import NotAccepted, NotAnswered
from service.index import EVERY
from service.operations.journey_operations import JourneyOperations, targets
from service.operations.request import JourneyTarget, OperationRun, RequestedOperation, request_of
from service.operations.service import OperationService
from service.operations.uncertain import UNKNOWN, count_uncertain
from workflows import operation as workflow
from workflows.campaign import CampaignWorkflow
from workflows.operation import CLOSE, OPERATE, QUEUE, SURVEY, Chunk, ChunkDone, Closing

logger = logging.getLogger(__name__)

_LATE_ANSWERS: Final = 3.0  # seconds to wait for answers in flight when the operation or its gateway is stopped
_SHUTDOWN: Final = 10.0  # seconds; while Temporal is unreachable, the SDK's worker would wait without a limit
_PAGE: Final = 1_000  # journeys of a campaign
_AT_ONCE: Final = 50  # maximum number of activities that one gateway runs for operations


class RecordedUpdates:
    """Updates of an operation's journeys, whose answers are recorded even if the sender is cancelled."""

    def __init__(self, store: Store, operation: str, send: Callable[[JourneyTarget], Awaitable[Any]]) -> None:
        self.asked = self.answered = 0
        self._store, self._operation, self._send = store, operation, send
        self._pending: dict[asyncio.Task[None], JourneyTarget] = {}

    async def ask(self, target: JourneyTarget) -> None:
        """Ask one journey. Raise Refusal if it refuses, or does not answer. If cancelled, call `end`."""
        self.asked += 1
        task = asyncio.create_task(self._ask(target))
        self._pending[task] = target
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._pending[task]
        if not task.cancelled():
            task.exception()  # a cancelled caller does not retrieve it

    async def _ask(self, target: JourneyTarget) -> None:
        try:
            await self._send(target)
        except NotAnswered as error:
            await self._record(target, None, error.reason)
            raise
        except Refusal as error:
            await self._record(target, "refused", error.reason if isinstance(error, NotAccepted) else str(error))
            raise
        except RPCError as error:
            text = f"Temporal did not accept the update ({error.status.name})"
            if error.status is RPCStatusCode.FAILED_PRECONDITION:  # such as too many updates of this journey
                await self._record(target, "refused", text)
                raise NotAccepted(target.id, text) from None
            await self._record(target, None, text)
            raise NotAnswered(target.id, text) from None
        await self._record(target, "accepted", None)

    async def _record(self, target: JourneyTarget, outcome: str | None, reason: str | None) -> None:
        await self._store.record_answer(self._operation, target.id, outcome, reason, datetime.now(UTC))
        self.answered += outcome is not None

    async def end(self) -> None:
        """Wait a moment for answers in flight, and record the missing ones."""
        pending = dict(self._pending)
        if not pending:
            return
        _, late = await asyncio.wait(pending, timeout=_LATE_ANSWERS)
        for task in late:
            task.cancel()
            await self._record(pending[task], None, "it had not answered when the operation was interrupted")


class OperationActivities:
    """The activities of the workflow `Operation`."""

    def __init__(self, journeys: JourneyOperations) -> None:
        self._journeys, self._store = journeys, journeys.store

    @activity.defn(name=SURVEY)
    async def survey(self, operation: str) -> None:
        """Find the operation's journeys and record them. Repeated, it adds the missing ones."""
        async with guarded():
            stored, request = await self._open(operation)
            if stored.surveyed_at is not None:
                return
            earlier = await self._journeys.paused_by(request.which)
            if earlier is not None and earlier.ended_at is None:
                await self._store.set_operation_trouble(
                    operation, f"it begins when the operation {earlier.id} has ended"
                )
                raise NotAnswered(earlier.id, "the operation has not ended")
            try:
                request = await self._find(operation, request)
            except (NotAnswered, RPCError) as error:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                trouble = (
                    f"Temporal's search failed ({error.status.name}, {now}) and will be retried"
                    if isinstance(error, RPCError)
                    else f"no worker answered ({now}), and journeys have to be queried: check that one is running"
                )
                await self._store.set_operation_trouble(operation, trouble)
                raise
            await self._store.complete_survey(operation, request.as_json(), datetime.now(UTC))
            await self._store.set_operation_trouble(operation, None)

    async def _find(self, operation: str, request: RequestedOperation) -> RequestedOperation:
        """Record all journeys. Return the request, completed by the facts that are known only now."""
        limit, number = request.limit or EVERY, 0
        counts = await self._store.item_counts([operation])
        room = limit - sum(counts[operation].values())
        completed = request
        async for completed, page in self._pages(request):  # noqa: B007 the last one is returned
            while page and room > 0:
                some, page = page[:room], page[room:]
                items = [
                    OperationItem(
                        number=number + place,
                        workflow_id=target.id,
                        step=target.step,
                        outcome="refused" if why else None,
                        reason=why,
                        answered_at=datetime.now(UTC) if why else None,
                    )
                    for place, (target, why) in enumerate(some)
                ]
                number += len(items)
                room -= await self._store.add_items(operation, items)
            if room <= 0:
                break
        return completed

    async def _pages(
        self, request: RequestedOperation
    ) -> AsyncIterator[tuple[RequestedOperation, list[tuple[JourneyTarget, str | None]]]]:
        """Yield the journeys, page by page, with the request, whose arguments may depend on them.

        Each comes with the reason why it cannot be asked, if that is known.
        """
        journeys, which, uncertain = self._journeys, request.which, Counter[str]()
        if request.operation is Operation.RETUNE and which.destination is not None:
            deliveries = await journeys.in_flight(which.destination, limit=request.limit or EVERY)
            # A name stands for one destination of one channel.
            goes_to = deliveries[0].goes_to if deliveries else which.destination
            request = replace(request, more={**request.more, "destination": goes_to})
            yield request, [(target, None) for target in targets(deliveries)]
        elif request.operation is Operation.MIGRATE and which.scenario is not None:
            forecast = await journeys.forecast_migration(
                which.scenario,
                to=request.more["version"],
                version=which.version,
                step=which.step,
                names=request.more.get("map"),
                limit=request.limit or EVERY,
            )
            for one in forecast.standing:
                why = None if one.fits else f"it is at {one.step}, {one.becomes}"
                yield request, [(JourneyTarget(journey, which.step), why) for journey in one.ids]
        elif which.campaign is not None:
            last = 0
            while found := await journeys.store.campaign_journeys(which.campaign, after=last, limit=_PAGE):
                last = found[-1][0]
                yield request, [(JourneyTarget(journey), None) for _, journey in found]
        else:
            async for page in journeys.select_by_page(request.operation, which, everybody=request.everybody):
                # A journey that is to end at any step must not escape by reaching its next one.
                if request.operation is Operation.RETRY:
                    may_have = [item for item in page if item.held_reason == UNKNOWN]
                    uncertain += Counter((await count_uncertain(self._store, may_have)).model_dump())
                    request = replace(request, uncertain=dict(uncertain))
                    page = page if request.unknown else [item for item in page if item.held_reason != UNKNOWN]
                given = [JourneyTarget(item.id) for item in page] if request.everybody else targets(page)
                yield request, [(target, None) for target in given]

    @activity.defn(name=OPERATE)
    async def operate(self, chunk: Chunk) -> ChunkDone:
        async with guarded():
            stored, request = await self._open(chunk.operation)
            items = await self._store.items(chunk.operation, outcome=NOT_ASKED, after=chunk.after, limit=chunk.most)
            send = self._journeys.sender(
                request.operation,
                operator=request.operator,
                reason=request.reason,
                update_id=f"operation/{chunk.operation}",
                **request.more,
            )
            updates = RecordedUpdates(self._store, stored.id, send)
            batch = OperationRun(updates.ask, chunk.rate)
            try:
                await asyncio.sleep(1 / chunk.rate)  # after the last one of the chunk before
                await batch.run([JourneyTarget(item.workflow_id, item.step) for item in items])
            finally:
                await updates.end()
            counts = (await self._store.item_counts([chunk.operation]))[chunk.operation]
            left = counts.get(NOT_ASKED, 0) + counts.get(UNANSWERED, 0)
            await self._report_silence(stored, chunk, updates, left)
            at_the_end = len(items) < chunk.most and not batch.tally.left
            after = None if at_the_end else items[updates.asked - 1].place
            return ChunkDone(asked=updates.asked, answered=updates.answered, after=after, left=left)

    async def _report_silence(self, stored: StoredOperation, chunk: Chunk, updates: RecordedUpdates, left: int) -> None:
        if updates.answered and stored.trouble is not None:
            await self._store.set_operation_trouble(stored.id, None)
        elif updates.asked and not updates.answered:
            since = chunk.silent_since or datetime.now(UTC).isoformat(timespec="seconds")
            text = f"no worker has answered since {since}, and {left} journeys are left: check that one is running"
            await self._store.set_operation_trouble(stored.id, f"{text}; the operation continues until it is stopped")

    @activity.defn(name=CLOSE)
    async def close(self, closing: Closing) -> None:
        async with guarded():
            await self._store.end_operation(
                closing.operation,
                closing.outcome,
                datetime.now(UTC),
                trouble=closing.trouble,
                stopped_by=closing.operator,
                stop_reason=closing.reason,
                items=not closing.looked,
            )

    async def _open(self, operation: str) -> tuple[StoredOperation, RequestedOperation]:
        stored = await self._store.stored_operation(operation)
        if stored is None:
            raise BadInput("the store has no such operation: check that all gateways use the same store")
        if stored.ended_at is not None:  # Temporal was restored from a backup
            raise BadInput(f"the operation has ended already ({stored.outcome})")
        return stored, request_of(stored)


def operations_worker(journeys: JourneyOperations, campaigns: CampaignActivities) -> Worker:
    activities = OperationActivities(journeys)
    return Worker(
        journeys.temporal,
        task_queue=QUEUE,
        workflows=[workflow.OperationWorkflow, CampaignWorkflow],
        activities=[
            *(activities.survey, activities.operate, activities.close),
            *(campaigns.prepare_campaign, campaigns.enter_lines, campaigns.record_campaign),
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=_AT_ONCE,
        max_concurrent_workflow_task_polls=2,
        max_concurrent_activity_task_polls=2,
        max_heartbeat_throttle_interval=timedelta(seconds=BEAT),
    )


@asynccontextmanager
async def running_operations(operations: OperationService, campaigns: CampaignService) -> AsyncGenerator[Workers]:
    """Carry out operations on many journeys, and campaigns, while the context is open. All gateways share the work.

    At the end, raise WorkerFailed if the worker has failed.
    """
    try:
        await operations.settle()
        await campaigns.settle()
    except (StoreError, RPCError) as error:
        logger.warning("open operations and campaigns were not checked: %s", error)
    deadline = Deadline(_SHUTDOWN)
    worker = operations_worker(operations.journeys, campaigns.activities)
    async with campaigns.audiences.deleting_old(), running_workers([worker], deadline=deadline) as crew:
        try:
            yield crew
        finally:
            deadline.begin()
