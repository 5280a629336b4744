"""Operations on many journeys as background work: asked for here, carried out by whichever gateway runs.

What is asked for is in the store first, and then a workflow is started: see `workflows.operation`. So an operation
whose program died in between is started by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.priority import OPERATORS, priority_of
from gateway.errors import NotAccepted, UnknownOperation
from gateway.operations.batch import RATE
from gateway.operations.migration import check_migration
from gateway.operations.one import Operations
from gateway.operations.progress import OperationView, seen
from gateway.operations.request import BadOperation, RequestedOperation, check_record
from gateway.operations.standstill import standstill
from gateway.operations.verbs import Verb
from gateway.service.index import JourneyFilter
from runtime.store import OperationItem, StoredOperation
from runtime.temporal_faults import is_unknown_workflow
from workflows.operation import QUEUE, STOP, WORKFLOW, OperationState

logger = logging.getLogger(__name__)

_FINAL: Final = timedelta(minutes=5)  # after its end nobody is asked any more, nor notes what was answered
_COUNTED: Final = 1_000
_STARTING: Final = timedelta(seconds=30)  # how long its program may take from the store to the workflow


class ManyOperations(Operations):
    """The part of the client that operates many journeys in the background."""

    counted: dict[str, Mapping[str, int]]
    """The last counts of operations that are over: one may have a million journeys, and be looked at often."""

    async def operate(
        self,
        verb: Verb,
        which: JourneyFilter,
        *,
        operator: str,
        reason: str,
        rate: float = RATE,
        limit: int | None = None,
        dry_run: bool = False,
        everybody: bool = False,
        identifier: str | None = None,
        **more: Any,
    ) -> OperationView:
        """Begins an operation on all journeys that fit; it goes on by itself, in whichever gateway runs.

        Args:
            verb: The update that each journey gets.
            which: What the journeys have in common. As with `select`: those to be paused are under way and not paused,
                those to be resumed are; for `retune` they have a delivery to the destination under way; for `migrate`
                they follow another version than the one to go on in; for the others they are held.
            operator: Who.
            reason: Why.
            rate: Journeys a second at most.
            limit: So many at most.
            dry_run: Only look for them.
            everybody: Of `leave`: all that are under way, whatever they are doing.
            identifier: Its id, to begin it once however often that is asked for; by default a new one.
            more: What else the update takes: ``version`` and ``now`` of retry_step; ``retry`` of retune; ``version``
                (the one to go on in, by default the newest), ``map`` and ``waits`` of migrate.

        Returns:
            How it stands; `operation` tells how it goes.

        Raises:
            BadInput: It makes no sense; nothing has begun.
            RPCError: It could not be started; nothing has begun, and nothing will.

        Example::

            which = JourneyFilter(destination="wax")
            begun = await client.operate("retry_step", which, operator="ann", reason="wax is back")
            print((await client.operation(begun.id)).accepted)
        """
        request = RequestedOperation(
            verb=verb,
            which=which,
            operator=operator,
            reason=reason,
            rate=rate,
            limit=limit,
            dry_run=dry_run,
            everybody=everybody,
            more={name: value for name, value in more.items() if value is not None},
        )
        stored = StoredOperation(
            id=identifier or uuid.uuid4().hex[:20],
            verb=verb,
            request=await self._checked(request),
            operator=operator,
            reason=reason,
            created_at=datetime.now(UTC),
        )
        if not await self.store.add_operation(stored):
            # Asked for before: whoever did so may have died in between.
            if (known := await self._stored(stored.id)).ended_at is None:
                await self._start(known)
            return await self.operation(stored.id)
        try:
            await self._start(stored)
        except RPCError:
            # The server may have begun it all the same: without its record it asks nobody.
            if await self.store.withdraw_operation(stored.id):
                raise
            return await self.operation(stored.id)
        return seen(stored, {})

    async def _checked(self, request: RequestedOperation) -> dict[str, Any]:
        """A request as it is stored, once it makes sense.

        Raises:
            BadInput: It makes none.
        """
        request.check()
        scenario, stored = request.which.scenario, request.as_json()
        await self.paused_by(request.which)
        if request.verb == "migrate" and scenario is not None:
            more = request.more
            stored["more"]["version"] = await check_migration(
                self.store,
                scenario,
                to=more.get("version", "newest"),
                version=request.which.version,
                names=more.get("map") or {},
            )
        elif scenario is not None and await self.store.newest(scenario) is None:
            raise BadOperation(f"there is no scenario '{scenario}': check its name", "which", "scenario")
        return stored

    async def operation(self, identifier: str) -> OperationView:
        """How an operation goes.

        Raises:
            UnknownOperation: There is none of that id.
        """
        stored = await self._stored(identifier)
        if stored.ended_at is None and await self._settled(stored):
            stored = await self._stored(identifier)
        return (await self._seen([stored]))[0]

    async def _with_trouble(self, view: OperationView) -> OperationView:
        """Say of an operation that has not ended why it does not move."""
        if view.over or view.trouble:
            return view
        try:
            described = await self.temporal.get_workflow_handle(_workflow(view.id)).describe()
        except RPCError as error:
            if is_unknown_workflow(error):
                return view
            return replace(view, trouble="Temporal does not answer: it goes on when Temporal does")
        why = standstill(described.raw_description, datetime.now(UTC))
        answered = view.total > 0 and not view.left and not view.unanswered
        return replace(view, trouble=f"all its journeys have answered, but {why}" if why and answered else why)

    async def operations(self, *, limit: int = 50, after: str | None = None) -> list[OperationView]:
        """Operations, the newest first.

        Args:
            limit: So many at most.
            after: Only those that come after the one of this id: the last of a page, for the next page.

        Raises:
            UnknownOperation: There is none of that id.
        """
        last = None if after is None else await self._stored(after)
        return await self._seen(await self.store.stored_operations(after=last, limit=limit))

    async def operation_items(
        self, identifier: str, *, outcome: str | None = None, after: tuple[int, str] | None = None, limit: int = 50
    ) -> list[OperationItem]:
        """The journeys of an operation, and what each answered.

        Args:
            identifier: The operation's id.
            outcome: Only those with this one: ``accepted``, ``refused``, ``unanswered``, ``stopped``; ``not_asked``
                means those without.
            after: Only those behind this place (`OperationItem.place`): that of the last of a page, for the next page.
            limit: So many at most.

        Raises:
            UnknownOperation: There is none of that id.
        """
        await self._stored(identifier)
        return await self.store.items(identifier, outcome=outcome, after=after, limit=limit)

    async def stop_operation(self, identifier: str, *, operator: str, reason: str) -> OperationView:
        """Stops an operation: no further journey is asked, within a second or two. What was done stays done.

        Where no gateway runs, it is stopped as soon as one does.

        Raises:
            UnknownOperation: There is none of that id.
            NotAccepted: It is over.
            BadInput: Operator or reason is missing.
        """
        check_record(operator, reason)
        stored = await self._stored(identifier)
        if stored.ended_at is None:
            handle = self.temporal.get_workflow_handle(_workflow(identifier))
            try:
                await handle.signal(STOP, {"operator": operator, "reason": reason})
            except RPCError as error:
                if not is_unknown_workflow(error):
                    raise
                await self._settled(stored)
                stored = await self._stored(identifier)
        if stored.ended_at is not None:
            raise NotAccepted(identifier, f"the operation is over ({stored.outcome})")
        return (await self._seen([stored]))[0]

    async def settle_operations(self) -> None:
        """Starts what was asked for and not started, and notes of what was ended on the server that it is over."""
        for stored in await self.store.stored_operations(is_open=True, limit=1_000):
            if await self._settled(stored):
                logger.info("the operation %s has no workflow under way: settled", stored.id)

    async def _settled(self, stored: StoredOperation) -> bool:
        """Whether something had to be done for an operation that is open, but has no workflow under way."""
        try:
            described = await self.temporal.get_workflow_handle(_workflow(stored.id)).describe()
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
            if datetime.now(UTC) - stored.created_at < _STARTING:
                return False
            await self._start(stored)
            return True
        if described.status is WorkflowExecutionStatus.RUNNING:
            return False
        # It says itself when it is over, before it is: then this changes nothing.
        trouble = "its workflow was ended on the server: begin another one for those that are left"
        await self.store.end_operation(stored.id, "failed", datetime.now(UTC), trouble=trouble)
        return True

    async def _start(self, stored: StoredOperation) -> None:
        request = stored.request
        state = OperationState(operation=stored.id, rate=request["rate"], dry_run=request["dry_run"])
        try:
            await self.temporal.start_workflow(
                WORKFLOW,
                state,
                id=_workflow(stored.id),
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"{stored.verb}, at most {request['rate']:g} a second",
                priority=priority_of(OPERATORS),
            )
        except WorkflowAlreadyStartedError:
            return  # another gateway was quicker

    async def _stored(self, identifier: str) -> StoredOperation:
        stored = await self.store.stored_operation(identifier)
        if stored is None:
            raise UnknownOperation(f"there is no operation '{identifier[:80]}'")
        return stored

    async def _seen(self, stored: Sequence[StoredOperation]) -> list[OperationView]:
        known = {item.id: self.counted[item.id] for item in stored if item.id in self.counted}
        counts = {**known, **await self.store.item_counts([item.id for item in stored if item.id not in known])}
        final = datetime.now(UTC) - _FINAL
        for item in stored:
            if item.ended_at is not None and item.ended_at < final:
                self.counted[item.id] = counts[item.id]
        while len(self.counted) > _COUNTED:
            del self.counted[next(iter(self.counted))]
        views = [seen(item, counts[item.id]) for item in stored]
        return list(await asyncio.gather(*map(self._with_trouble, views)))


def _workflow(identifier: str) -> str:
    return f"operation/{identifier}"
