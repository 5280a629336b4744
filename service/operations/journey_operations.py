"""Operations on journeys: finds the journeys, and sends them updates, which each accepts or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from runtime.encryption.keyring import Erased
from runtime.store import Store, StoredOperation
from runtime.temporal_faults import is_unknown_workflow
from scenario.words import Operation
from service.destinations import PendingDelivery, pending_deliveries
from service.errors import BadOperation, JourneyStuck, NotAccepted, NotAnswered
from service.index import EVERY, JourneyFilter
from service.journeys import snapshot
from service.journeys.snapshot import check_identifier
from service.listing import JourneyLists, JourneySummary, first
from service.operations.migration import forecast
from service.operations.request import NOT_HELD, RATE, JourneyTarget, OperationRun, operation_named
from service.operations.uncertain import COUNTED, UNKNOWN, UncertainView, count_uncertain

_Answer = TypeVar("_Answer")
ANSWER: Final = 8.0  # seconds to wait for a worker's answer. Callers of the HTTP API wait ten seconds.


class JourneyOperations:
    """Finds journeys and sends them operations."""

    def __init__(self, temporal: Client, store: Store) -> None:
        self.temporal, self.store, self.lists = temporal, store, JourneyLists(temporal, store)
        self.forecast_migration = partial(forecast, temporal, store)
        self.retune_candidates = partial(pending_deliveries, temporal, store)

    async def select(
        self,
        operation: Operation,
        which: JourneyFilter,
        *,
        limit: int = EVERY,
        ask: bool = False,
        everybody: bool = False,
        unknown: bool = False,
    ) -> list[JourneySummary]:
        """Return the journeys for which an operation makes sense, with `everybody` all running ones.

        `pause` finds running journeys that are not paused, `resume` those that are, all others those that are held or
        in the filter's state; with `ask`, they say why and since when. `retry` leaves out messages that may have been
        delivered, unless `unknown` is true: see `uncertain`.

        Raise BadOperation if there is no such operation, or the earlier one is not a pause, or has not ended.
        """
        operation = operation_named(operation)
        earlier = await self.paused_by(which)
        if earlier is not None and earlier.ended_at is None:
            text = f"the operation {earlier.id} has not ended: wait for it, or stop it"
            raise BadOperation(text, "which", "operation")
        if everybody or operation in NOT_HELD:
            return await first(limit, self.select_by_page(operation, which, everybody=everybody))
        without = None if unknown or operation is not Operation.RETRY else UNKNOWN
        return await self.lists.held(which, limit=limit, details=ask, without=without)

    async def uncertain(self, which: JourneyFilter) -> UncertainView:
        """Count the held journeys whose message may have been delivered, at most the newest `COUNTED`."""
        if which.reason not in (None, UNKNOWN):
            return UncertainView()
        wanted = which.model_copy(update={"reason": UNKNOWN})
        return await count_uncertain(self.store, await self.lists.held(wanted, limit=COUNTED, details=False))

    def select_by_page(
        self, operation: Operation, which: JourneyFilter, *, everybody: bool = False
    ) -> AsyncIterator[list[JourneySummary]]:
        """Yield the journeys that `select` returns, page by page and without a limit."""
        if everybody or operation in NOT_HELD:
            return self.lists.running_by_page(which, paused=None if everybody else operation is Operation.RESUME)
        return self.lists.held_by_page(which, details=False)

    async def paused_by(self, which: JourneyFilter) -> StoredOperation | None:
        """Return the earlier pause that a filter names, or None if it names none. Raise BadOperation for another."""
        if which.operation is None:
            return None
        earlier = await self.store.stored_operation(which.operation)
        if earlier is None:
            raise BadOperation(f"there is no operation '{which.operation[:40]}'", "which", "operation")
        if earlier.verb != Operation.PAUSE:
            raise BadOperation(f"the operation '{earlier.id}' did not pause journeys", "which", "operation")
        return earlier

    async def held(self, *, limit: int = 50, **which: Any) -> list[JourneySummary]:
        """Return held journeys, given fields of a `JourneyFilter`. Temporal's search lags by some moments."""
        return await self.lists.held(JourneyFilter(**which), limit=limit)

    async def in_flight(self, destination: str, *, limit: int = EVERY) -> list[PendingDelivery]:
        return (await self.retune_candidates(destination, limit=limit, look_up=EVERY)).found

    def batch(
        self,
        operation: Operation,
        *,
        rate: float = RATE,
        done: Callable[[JourneyTarget], None] = lambda _: None,
        **more: Any,
    ) -> OperationRun:
        """Return a batch that sends one operation to many journeys from this process, with the arguments of `send`.

        `done` is called for each journey that has answered.

        Example::

            found = await client.select(Operation.RETRY, JourneyFilter(destination="wax", since=monday))
            tally = await client.batch(Operation.RETRY, operator="ann", reason="wax is back").run(targets(found))
        """
        return OperationRun(self.sender(operation, **more), rate, done)

    def sender(self, operation: Operation, **more: Any) -> Callable[[JourneyTarget], Awaitable[dict[str, Any]]]:
        """Return a function that sends an operation to a journey, with the arguments of `send`."""
        return lambda target: self.send(target.id, operation, **more | dict[str, Any](step=target.step))

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
        """Send an operation to a journey, and return the journey's progress.

        Args:
            update_id: An id that makes the update idempotent: sent again, the journey returns its first answer.
            more: Further arguments; None leaves one out. ``step`` (all but pause and resume): only if the journey is at
                this step. ``version`` (retry): render again with that version's templates. ``now`` (retry): ignore
                quiet hours, windows and caps. ``anew`` (retry): send it under a new delivery id. ``destination``,
                ``retry`` (retune): see `RetryPolicyChange.given`.
                ``version``, ``map``, ``waits`` (migrate): target version, new step ids by old ones, and ``keep`` or
                ``restart`` for waits.

        Raises:
            NotAccepted: The journey refused it, or has ended.
            NotAnswered: No worker answered in time. A worker may still carry it out later.
            NotFound: There is no such journey.
            BadOperation: There is no such operation.
        """
        update = operation_named(operation).update
        check_identifier(journey)
        handle = self.temporal.get_workflow_handle(journey)
        arguments = {key: value for key, value in more.items() if value is not None}
        asking = handle.execute_update(  # pyright: ignore[reportUnknownMemberType] of the SDK
            update, {"operator": operator, "reason": reason, **arguments}, id=update_id, result_type=dict
        )
        silence = (
            f"pending: no worker answered within {ANSWER:g} s. Check that one is running: "
            "it may carry out the operation later"
        )
        try:
            return await answer_to(asking, journey, ANSWER, silence)
        except RPCError as error:
            if error.status is RPCStatusCode.FAILED_PRECONDITION and "failed state" in error.message:
                text = "it cannot answer, because its workflow tasks fail: the workers' log has the reason"
                raise JourneyStuck(journey, text) from None
            if not is_unknown_workflow(error):
                raise
        seen = await snapshot.read(self.temporal, self.store, journey, None)
        if seen.entry is not None and seen.entry.is_inline:
            sends = "has sent" if seen.entry.ended_at else "is sending"
            raise NotAccepted(journey, f"the campaign {seen.entry.key} {sends} its message without a workflow")
        raise NotAccepted(journey, f"the journey has ended ({(seen.result or {}).get('outcome', seen.status)})")


async def answer_to(update: Awaitable[_Answer], name: str, seconds: float, silence: str) -> _Answer:
    """Return the answer to an update of a workflow, such as a journey's, which messages call `name`.

    Raise NotAccepted if it was refused, NotAnswered with `silence` if there is no answer in time, or RPCError.
    """
    try:
        async with asyncio.timeout(seconds):
            return await update
    except Erased as error:
        raise NotAccepted(name, str(error)) from None
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        raise NotAccepted(name, cause.message if isinstance(cause, ApplicationError) else "it was refused") from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the SDK turns a cancellation into another error
            raise asyncio.CancelledError from error
        raise NotAnswered(name, silence) from None


def targets(found: list[JourneySummary] | list[PendingDelivery]) -> list[JourneyTarget]:
    """Return the targets of a batch. A held or retrying journey, or a delivery, is a target only at its step."""
    return [
        JourneyTarget(item.journey, item.step)
        if isinstance(item, PendingDelivery)
        else JourneyTarget(item.id, item.step if item.state in ("held", "retrying") else None)
        for item in found
    ]
