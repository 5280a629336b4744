"""What operators do with journeys: an operation on one, or on all that fit; the journey itself accepts it or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import BadOperation, JourneyStuck, NotAccepted, NotAnswered
from gateway.journeys import view
from gateway.journeys.identifier import check_identifier
from gateway.operations import retry_policy
from gateway.operations.batch import RATE, Batch, JourneyTarget
from gateway.operations.migration import MigrationForecast, Version, forecast
from gateway.operations.now import DestinationNow, destinations_now
from gateway.operations.retry_policy import Change, Glance, InFlight
from gateway.operations.verbs import NOT_HELD, Verb
from gateway.service.index import EVERY, JourneyFilter
from gateway.service.listing import JourneyLists, ListedJourney
from runtime.encryption.keyring import Erased
from runtime.store import Store, StoredOperation
from runtime.temporal_faults import is_unknown_workflow

ANSWER: Final = 8.0
"""Seconds that a worker may take to answer an operator. Engines wait ten seconds for an answer."""


class Operations:
    """The part of the client that operates journeys.

    Every operation has an operator and a reason, which stay in the journey. It answers with the journey's progress.

    All of them raise:
        NotAccepted: The journey refused it, or is over.
        NotAnswered: No worker answered in time. One that comes later may carry it out all the same.
        UnknownJourney: There is none.
    """

    temporal: Client
    store: Store
    lists: JourneyLists

    async def retry_step(
        self,
        journey: str,
        *,
        operator: str,
        reason: str,
        step: str | None = None,
        version: Version | None = None,
        now: bool = False,
    ) -> dict[str, Any]:
        """Tries a held step again, under the same delivery id and with the same bytes.

        Args:
            journey: The workflow id.
            operator: Who.
            reason: Why.
            step: Only if it is held at this one.
            version: Render again, with the templates that this version of the scenario has for the step.
            now: Whatever the hour, and whatever caps say; it may also be one that is kept back by them, and not held.
        """
        more = {"step": step, "version": version, "now": now or None}
        return await self._update(journey, "retry_step", operator, reason, more)

    async def skip_step(self, journey: str, *, operator: str, reason: str, step: str | None = None) -> dict[str, Any]:
        """Gives up the step at which a journey stands; with `step`, only if it is that one."""
        return await self._update(journey, "skip_step", operator, reason, {"step": step})

    async def leave(self, journey: str, *, operator: str, reason: str, step: str | None = None) -> dict[str, Any]:
        """Ends a journey; with `step`, only if it stands at that one."""
        return await self._update(journey, "leave", operator, reason, {"step": step})

    async def pause(self, journey: str, *, operator: str, reason: str) -> dict[str, Any]:
        """Lets a journey start no further step."""
        return await self._update(journey, "pause", operator, reason)

    async def resume(self, journey: str, *, operator: str, reason: str) -> dict[str, Any]:
        """Lets a paused journey go on."""
        return await self._update(journey, "resume", operator, reason)

    async def retune(
        self, journey: str, destination: str, change: Change, *, operator: str, reason: str
    ) -> dict[str, Any]:
        """Changes the retry policy of the delivery to a destination that a journey has under way.

        At once, also during a pause, and until the step is over; later ones take what the scenario and the destination
        say. The deadline can be brought forward only. The destination of e-mails is ``email``, that of SMS ``sms``.
        """
        more = {"destination": destination, "retry": change.given()}
        return await self._update(journey, "retune", operator, reason, more)

    async def migrate(
        self,
        journey: str,
        *,
        operator: str,
        reason: str,
        version: Version = "newest",
        names: Mapping[str, str] | None = None,
        waits: Literal["keep", "restart"] = "keep",
        step: str | None = None,
    ) -> dict[str, Any]:
        """Lets a journey go on in another version of its scenario; a delivery under way ends in its own first.

        Args:
            journey: The workflow id.
            operator: Who.
            reason: Why.
            version: The version to go on in.
            names: New ids of steps by their old ones, where they are called otherwise there.
            waits: Whether a wait keeps its start, so that what is past goes on at once, or begins anew.
            step: Only if it stands at this one.
        """
        more = {"version": version, "map": dict(names) if names else None, "waits": waits, "step": step}
        return await self._update(journey, "migrate", operator, reason, more)

    async def forecast_migration(
        self,
        scenario: str,
        *,
        to: Version = "newest",
        version: int | None = None,
        step: str | None = None,
        state: str | None = None,
        names: Mapping[str, str] | None = None,
        limit: int = EVERY,
    ) -> MigrationForecast:
        """Where journeys stand that are to go on in a version. See `gateway.operations.migration.forecast`.

        Example::

            found = await client.forecast_migration("post-purchase", version=3)
            batch = client.batch("migrate", operator="ann", reason="a better text", version=found.to, waits="keep")
            tally = await batch.run(found.targets())
        """
        return await forecast(
            self.temporal,
            self.store,
            scenario,
            to=to,
            version=version,
            step=step,
            state=state,
            names=names,
            limit=limit,
        )

    async def held(
        self,
        *,
        scenario: str | None = None,
        version: int | None = None,
        contact: str | None = None,
        destination: str | None = None,
        reason: str | None = None,
        step: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[ListedJourney]:
        """Journeys that wait for an operator, and why. Temporal's search finds them, some moments behind.

        Args:
            scenario: Only those of this scenario.
            version: Only those of its version of this number; goes with `scenario`.
            contact: Only this contact's.
            destination: Only those that could not deliver to this destination, or host.
            reason: Only those held for this, in the word that the search attribute `HeldReason` has.
            step: Only those held at this step.
            since: Only those held then or later.
            limit: So many at most.
        """
        which = JourneyFilter(
            scenario=scenario,
            version=version,
            contact=contact,
            destination=destination,
            reason=reason,
            step=step,
            since=since,
        )
        return await self.lists.held(which, limit=limit)

    async def select(
        self, verb: Verb, which: JourneyFilter, *, limit: int = EVERY, ask: bool = False, everybody: bool = False
    ) -> list[ListedJourney]:
        """Journeys for which an operation makes sense.

        Args:
            verb: The operation. Those to be paused are under way and are not paused, those to be resumed are; for the
                others they are held.
            which: What they have in common.
            limit: So many at most.
            ask: Tell of held journeys why and since when, too.
            everybody: All that are under way, whatever they are doing.

        Raises:
            BadOperation: The earlier operation that is named did not pause, or has not ended.
        """
        earlier = await self.paused_by(which)
        if earlier is not None and earlier.ended_at is None:
            raise BadOperation(
                f"the operation {earlier.id} has not ended: wait for it, or stop it", "which", "operation"
            )
        if everybody or verb in NOT_HELD:
            paused = None if everybody else verb == "resume"
            return await self.lists.running(which, paused=paused, limit=limit)
        return await self.lists.held(which, limit=limit, details=ask)

    async def paused_by(self, which: JourneyFilter) -> StoredOperation | None:
        """Return the earlier pause whose journeys are meant, or None if none is named.

        Raises:
            BadOperation: There is no such operation, or it did not pause.
        """
        if which.operation is None:
            return None
        earlier = await self.store.stored_operation(which.operation)
        if earlier is None:
            raise BadOperation(f"there is no operation '{which.operation[:40]}'", "which", "operation")
        if earlier.verb != "pause":
            raise BadOperation(f"the operation '{earlier.id}' did not pause journeys", "which", "operation")
        return earlier

    def select_by_page(
        self, verb: Verb, which: JourneyFilter, *, everybody: bool = False
    ) -> AsyncIterator[list[ListedJourney]]:
        """As `select`, page by page: as many as there are."""
        if everybody or verb in NOT_HELD:
            paused = None if everybody else verb == "resume"
            return self.lists.running_by_page(which, paused=paused)
        return self.lists.held_by_page(which, details=False)

    async def in_flight(self, destination: str, *, limit: int = EVERY) -> list[InFlight]:
        """Deliveries to a destination that are under way. See `gateway.operations.retry_policy.glance`."""
        return (await retry_policy.glance(self.temporal, self.store, destination, limit=limit, look_up=EVERY)).found

    async def destinations_now(self) -> list[DestinationNow]:
        """Destinations whose deliveries are to be tried again. See `gateway.operations.now.destinations_now`."""
        return await destinations_now(self.temporal, self.store)

    async def glance(self, destination: str, *, limit: int = EVERY) -> Glance:
        """The same, with few of many journeys looked up."""
        return await retry_policy.glance(self.temporal, self.store, destination, limit=limit)

    def batch(
        self,
        verb: Verb,
        *,
        operator: str,
        reason: str,
        rate: float = RATE,
        done: Callable[[JourneyTarget], None] = lambda _: None,
        **more: Any,
    ) -> Batch:
        """One operation for many journeys.

        Args:
            verb: The operation.
            operator: Who.
            reason: Why.
            rate: So many a second at most.
            done: Told of each journey that has answered.
            more: What else the update takes: ``version`` of retry_step; ``destination`` and ``retry`` of retune;
                ``version``, ``map`` and ``waits`` of migrate.

        Example::

            which = JourneyFilter(destination="wax", since=monday)
            found = await client.select("retry_step", which)
            tally = await client.batch("retry_step", operator="ann", reason="wax is back").run(targets(found))
        """
        return Batch(self.sender(verb, operator=operator, reason=reason, **more), rate, done)

    def sender(
        self, verb: Verb, *, operator: str, reason: str, update_id: str | None = None, **more: Any
    ) -> Callable[[JourneyTarget], Awaitable[dict[str, Any]]]:
        """What sends one operation to a journey, and gives its progress.

        Args:
            verb: The operation.
            operator: Who.
            reason: Why.
            update_id: Sent again under the same one, a journey does nothing, and gives its first answer once more.
            more: What else the update takes; see `batch`.
        """

        async def send(target: JourneyTarget) -> dict[str, Any]:
            return await self._update(target.id, verb, operator, reason, {**more, "step": target.step}, update_id)

        return send

    async def _update(
        self,
        journey: str,
        name: Verb,
        operator: str,
        reason: str,
        more: Mapping[str, Any] | None = None,
        update_id: str | None = None,
    ) -> dict[str, Any]:
        check_identifier(journey)
        handle = self.temporal.get_workflow_handle(journey)
        given = {key: value for key, value in (more or {}).items() if value is not None}
        argument = {"operator": operator, "reason": reason, **given}
        try:
            async with asyncio.timeout(ANSWER):
                return await handle.execute_update(  # pyright: ignore[reportUnknownMemberType] of the SDK
                    name, argument, id=update_id, result_type=dict
                )
        except Erased as error:  # nothing can be told it, nor can it answer
            raise NotAccepted(journey, str(error)) from None
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            why = cause.message if isinstance(cause, ApplicationError) else "it was refused"
            raise NotAccepted(journey, why) from None
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # the SDK makes that an error of its own; nobody was late
                raise asyncio.CancelledError from error
            raise NotAnswered(
                journey,
                f"pending: no worker answered within {ANSWER:g} s. Check that one is running: "
                "it may carry out the operation later",
            ) from None
        except RPCError as error:
            if error.status is RPCStatusCode.FAILED_PRECONDITION and "failed state" in error.message:
                why = "it cannot be asked, since its workflow tasks fail: the workers' log says why"
                raise JourneyStuck(journey, why) from None
            if not is_unknown_workflow(error):
                raise
        seen = await view.view(self.temporal, self.store, journey, None)
        raise NotAccepted(journey, f"the journey is over ({(seen.result or {}).get('outcome', seen.status)})")


def targets(found: list[ListedJourney] | list[InFlight]) -> list[JourneyTarget]:
    """The targets of a batch: what was found, each with the step that it was found at, if it is held there."""
    return [
        JourneyTarget(item.journey, item.step)
        if isinstance(item, InFlight)
        else JourneyTarget(item.id, item.step if item.state == "held" else None)
        for item in found
    ]
