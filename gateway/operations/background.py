"""Carries operations on many journeys out: finds the journeys, asks each at a rate, notes what it answered.

What is on its way when a gateway is killed is asked again by the next one, under the same update id: a journey that has
obeyed gives its first answer once more, and does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from gateway.errors import BadInput, NotAnswered
from gateway.operations.asking import Asking
from gateway.operations.batch import Batch, JourneyTarget
from gateway.operations.many import ManyOperations
from gateway.operations.request import RequestedOperation, request_of
from gateway.operations.survey import Found
from gateway.service.index import EVERY
from runtime.process.shutdown import Deadline
from runtime.process.workers import Workers, running_workers
from runtime.store import OperationItem, Store, StoredOperation, StoreError
from runtime.store.operations import NOT_ASKED, UNANSWERED
from workflows.operation import CLOSE, OPERATE, QUEUE, SURVEY, Chunk, ChunkDone, Closing, Operation

logger = logging.getLogger(__name__)

_BEAT: Final = 0.5
_ENDING: Final = 10.0  # seconds; while Temporal is away, the SDK's worker waits for it without end
"""Seconds between two heartbeats, which also bring the news that an operation was stopped."""
_AT_ONCE: Final = 50
"""Operations that one gateway carries out at the same time, and looks for the journeys of."""


class OperationActivities:
    """What the workflow of an operation has done.

    Args:
        client: Finds journeys, and sends them updates.
    """

    def __init__(self, client: ManyOperations) -> None:
        self._client = client

    @property
    def _store(self) -> Store:
        return self._client.store

    @activity.defn(name=SURVEY)
    async def survey(self, operation: str) -> None:
        """Finds the operation's journeys and puts them on record. Done again, it adds those that are missing."""
        async with _working():
            stored, request = await self._asked_for(operation)
            if stored.surveyed_at is not None:
                return
            earlier = await self._client.paused_by(request.which)
            if earlier is not None and earlier.ended_at is None:
                await self._store.trouble_of(operation, f"it begins when the operation {earlier.id} has ended")
                raise NotAnswered(earlier.id, "the operation has not ended")
            try:
                request = await self._find(operation, request)
            except (NotAnswered, RPCError) as error:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                trouble = (
                    f"Temporal's search does not answer ({error.status.name}, {now}): it is asked again"
                    if isinstance(error, RPCError)
                    else f"no worker answers ({now}), and journeys have to be asked: check that one is running"
                )
                await self._store.trouble_of(operation, trouble)
                raise
            await self._store.surveyed(operation, request.as_json(), datetime.now(UTC))
            await self._store.trouble_of(operation, None)

    async def _find(self, operation: str, request: RequestedOperation) -> RequestedOperation:
        """Puts all journeys on record; gives the request with what is known only now."""
        limit, number = request.limit or EVERY, 0
        counts = await self._store.item_counts([operation])
        room = limit - sum(counts[operation].values())
        found = Found(request)
        async for page in found.pages(self._client):
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
        return found.request

    @activity.defn(name=OPERATE)
    async def operate(self, chunk: Chunk) -> ChunkDone:
        """Asks the next of the operation's journeys that have not answered."""
        async with _working():
            stored, request = await self._asked_for(chunk.operation)
            items = await self._store.to_do(chunk.operation, after=chunk.after, limit=chunk.most)
            update_id = f"operation/{chunk.operation}"
            more = dict(request.more)
            send = self._client.sender(
                request.verb, operator=request.operator, reason=request.reason, update_id=update_id, **more
            )
            asking = Asking(self._store, chunk.operation, send)
            batch = Batch(asking.ask, chunk.rate)
            try:
                await asyncio.sleep(1 / chunk.rate)  # after the last one of the chunk before
                await batch.run([JourneyTarget(item.workflow_id, item.step) for item in items])
            finally:
                await asking.end()
            counts = (await self._store.item_counts([chunk.operation]))[chunk.operation]
            left = counts.get(NOT_ASKED, 0) + counts.get(UNANSWERED, 0)
            await self._note(stored, chunk, asking, left)
            at_the_end = len(items) < chunk.most and not batch.tally.left
            after = None if at_the_end else items[asking.asked - 1].place
            return ChunkDone(asked=asking.asked, answered=asking.answered, after=after, left=left)

    async def _note(self, stored: StoredOperation, chunk: Chunk, asking: Asking, left: int) -> None:
        """Says in the operation's progress that nobody answers, or that somebody does again."""
        if asking.answered and stored.trouble is not None:
            await self._store.trouble_of(stored.id, None)
        elif asking.asked and not asking.answered:
            since = chunk.silent_since or datetime.now(UTC).isoformat(timespec="seconds")
            what = f"no worker answers since {since}, and {left} journeys are left: check that one is running"
            await self._store.trouble_of(stored.id, f"{what}; the operation goes on until it is stopped")

    @activity.defn(name=CLOSE)
    async def close(self, closing: Closing) -> None:
        """Notes that the operation is over."""
        async with _working():
            await self._store.end_operation(
                closing.operation,
                closing.outcome,
                datetime.now(UTC),
                trouble=closing.trouble,
                stopped_by=closing.operator,
                stop_reason=closing.reason,
                items=not closing.looked,
            )

    async def _asked_for(self, operation: str) -> tuple[StoredOperation, RequestedOperation]:
        stored = await self._store.stored_operation(operation)
        if stored is None:
            raise BadInput("the store knows nothing of this operation: is it the one that the gateway uses?")
        if stored.ended_at is not None:  # Temporal was restored to a time before
            raise BadInput(f"the operation has ended already ({stored.outcome})")
        return stored, request_of(stored)


@asynccontextmanager
async def _working() -> AsyncGenerator[None]:
    """Around the work of an activity: it is known to be alive, and what goes wrong is told by kind.

    Raises:
        ApplicationError: It cannot be done, however often it is tried.
        Exception: It may be done later.
    """
    beating = asyncio.create_task(_beat())
    try:
        yield
    except BadInput as error:
        raise ApplicationError(str(error), type="BadInput", non_retryable=True) from None
    except (StoreError, RPCError, NotAnswered, OSError):
        raise
    except Exception as error:
        logger.exception("the operation failed")
        text = f"the gateway's program failed ({type(error).__name__}): its log says where"
        raise ApplicationError(text, type="Fault", non_retryable=True) from None
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_BEAT)


def operations_worker(client: ManyOperations) -> Worker:
    """The worker of the queue `operations`."""
    activities = OperationActivities(client)
    return Worker(
        client.temporal,
        task_queue=QUEUE,
        workflows=[Operation],
        activities=[activities.survey, activities.operate, activities.close],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=_AT_ONCE,
        max_concurrent_workflow_task_polls=2,
        max_concurrent_activity_task_polls=2,
        max_heartbeat_throttle_interval=timedelta(seconds=_BEAT),
    )


@asynccontextmanager
async def running_operations(client: ManyOperations) -> AsyncGenerator[Workers]:
    """Carries operations on many journeys out, as long as it is open: in every gateway, together.

    Args:
        client: A client of the namespace and the store that the workers use.

    Raises:
        WorkerFailed: At the end, where the worker has failed.
    """
    try:
        await client.settle_operations()
    except (StoreError, RPCError) as error:
        logger.warning("operations that were asked for were not looked at: %s", error)
    deadline = Deadline(_ENDING)
    async with running_workers([operations_worker(client)], deadline=deadline) as crew:
        try:
            yield crew
        finally:
            deadline.begin()
