"""The activities of the workflow `SyncAudience`, and its start.

A change of membership is recorded in the store, and nothing else. Every half minute, one worker starts the workflow of
each audience with changes that are not sent yet: so changes of many contacts go together, and none is lost if Temporal
or a worker is not there when it is recorded.

Before a batch is sent, its members are fixed in the store. So every attempt sends the same bytes under the same id,
even if a worker is lost or further changes are recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, WorkflowAlreadyStartedError

from activities.audience.formats import AudienceAnswer, Member, read_answer, request_of, settings_of
from activities.background import (
    AUDIENCE_WORKFLOW,
    FREEZE,
    HOLD_AUDIENCE,
    SEND_BATCH,
    AudienceBatch,
    AudienceRef,
    AudienceTrouble,
    BatchSent,
    FrozenBatch,
)
from activities.channel import WorkerContext
from activities.channel_registry import webhook_queue
from activities.interface import JOURNEYS
from activities.periodic import repeating
from activities.priority import priority_of
from activities.webhook.destinations.form import MOST_MEMBERS
from activities.webhook.outcome import of_status, parse_retry_after
from activities.webhook.platform import CallFailed, PlatformCalls
from activities.webhook.route import Route
from runtime.store import Store
from scenario.errors import NotConfigured
from scenario.steps.audience import AudienceOperation
from scenario.words import MARKETING

logger = logging.getLogger(__name__)

_TIMEOUT: Final = 30.0  # seconds of one request, unless the destination sets it
_LONGEST_PAUSE: Final = 3_600  # seconds that a platform may ask to wait
MOST_REASONS: Final = 200
"""Maximum number of reasons of one request. Members refused for others are counted together."""
VALIDATED: Final = (
    "the platform accepts the request, and has carried out nothing: remove 'validate_only' from destinations.yaml, "
    "then use 'scenario audience retry'"
)


class AudienceActivities:
    """Freezes batches, sends them, and records the results."""

    def __init__(self, context: WorkerContext, *, shards: int = 1) -> None:
        self._context, self._book = context, context.memberships
        self._store = context.memberships.store
        self._calls, self._shards = PlatformCalls.of(context), shards

    @activity.defn(name=FREEZE.name)
    async def freeze_audience_batch(self, wanted: AudienceBatch) -> FrozenBatch:
        """Freeze the next changes of an audience, or return the batch that is frozen already."""
        try:
            size = settings_of(self._context.routes.named(wanted.destination).named, wanted.destination).size
        except NotConfigured:
            size = MOST_MEMBERS  # sending it reports the missing setting
        batch, more = await self._store.freeze_audience_batch(wanted.destination, wanted.audience, wanted.batch, size)
        return FrozenBatch(batch=batch, more=more, queue=webhook_queue(wanted.destination, self._shards))

    @activity.defn(name=SEND_BATCH.name)
    async def send_audience_batch(self, batch: AudienceBatch) -> BatchSent:
        """Send a batch once, and record what became of its members. No message of a failure identifies a member."""
        ids, members = await self._book.members(batch.batch)
        if not ids:
            # An earlier attempt recorded them, but its result was lost; or other members still have all the addresses.
            await self._store.settle_audience_batch(batch.batch)
            return BatchSent()
        try:
            return await self._send(batch, ids, members)
        except (NotConfigured, CallFailed) as error:
            delay = error.delay if isinstance(error, CallFailed) else None
            raise await self._failure(batch, str(error), delay=delay) from None

    async def _send(self, batch: AudienceBatch, ids: Sequence[str], members: Sequence[Member]) -> BatchSent:
        route = self._context.routes.named(batch.destination)
        settings = settings_of(route.named, batch.destination)
        operation = cast("AudienceOperation", batch.batch.partition("-")[0])
        request = request_of(settings, batch.destination, batch.audience, operation, members)
        seconds = (route.named and route.named.timeout) or _TIMEOUT
        # Fewer members are left if recording an answer was cut short: they are another request, with another id.
        identifier = f"aud_{batch.batch}-{len(members)}"
        response = await self._calls.call(route, request, identifier, seconds=seconds)
        answer = read_answer(settings, response.status, response.json(), members)
        if not answer.verdict.delivered:
            code = f" ({answer.detail})" if answer.detail else ""
            reason = f"{batch.destination} answered {response.status}{code}"
            asked = parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            delay = timedelta(seconds=min(asked, _LONGEST_PAUSE)) if asked else None
            raise await self._failure(batch, reason, final=answer.verdict.final, delay=delay)
        if settings.validate_only and not answer.refused:
            await self._store.thaw_audience_batch(batch.batch)
            raise await self._failure(batch, VALIDATED, final=True)
        # A status of failure says that nothing was carried out.
        maybe_done = of_status(response.status).delivered and await self._sent_before(batch)
        await self._settle(batch, route, ids, answer, maybe_done=maybe_done)
        return BatchSent(again=bool(answer.again))

    async def _sent_before(self, batch: AudienceBatch) -> bool:
        """Return True if an earlier attempt may have had an answer that was lost."""
        return activity.info().attempt > 1 or await self._store.has_audience_trouble(batch.destination, batch.audience)

    async def _settle(
        self, batch: AudienceBatch, route: Route, ids: Sequence[str], answer: AudienceAnswer, *, maybe_done: bool
    ) -> None:
        refused: dict[str, list[str]] = {}
        for number, code in answer.refused.items():
            reason = code if code in refused or len(refused) < MOST_REASONS else "refused"
            refused.setdefault(reason, []).append(ids[number])
        for reason, some in refused.items():
            await self._store.refuse_members(batch.batch, some, reason)
        if answer.again:
            again = [ids[number] for number in sorted(answer.again)]
            await self._store.thaw_audience_batch(batch.batch, again, maybe_done=maybe_done)
        await self._store.settle_audience_batch(batch.batch)
        await self._store.record_audience_sync(batch.destination, batch.audience, datetime.now(UTC), answer.unnamed)
        if answer.request:
            logger.info("%s has the audience %s as request %s", batch.destination, batch.audience, answer.request)
        if answer.refused or answer.unnamed:
            logger.warning(
                "%s refused %d of %d members of the audience %s",
                *(route.destination, len(answer.refused) + answer.unnamed, len(ids), batch.audience),
            )

    @activity.defn(name=HOLD_AUDIENCE.name)
    async def hold_audience(self, trouble: AudienceTrouble) -> None:
        """Record that an audience is not synchronised until an operator retries it."""
        await self._store.record_audience_trouble(
            trouble.destination, trouble.audience, trouble.reason, held_at=datetime.now(UTC)
        )
        logger.warning("the audience %s at %s is held: %s", trouble.audience, trouble.destination, trouble.reason)

    async def _failure(
        self, batch: AudienceBatch, reason: str, *, final: bool = False, delay: timedelta | None = None
    ) -> ApplicationError:
        """Record why an audience makes no progress. Return the failure to raise."""
        await self._store.record_audience_trouble(batch.destination, batch.audience, reason)
        return ApplicationError(
            reason,
            type="AudienceNotSynced",
            non_retryable=final,
            next_retry_delay=delay,
            category=ApplicationErrorCategory.BENIGN,
        )


LEASE: Final = "syncs of audiences"
EVERY: Final = 30.0
"""Seconds between two looks for audiences with changes to send."""
_CALL: Final = timedelta(seconds=10)


async def start_audience_syncs(client: Client, store: Store) -> None:
    """Start the workflow of each audience that has changes to send and is not held."""
    for destination, audience in await store.unsynced_audiences():
        try:
            await client.start_workflow(
                AUDIENCE_WORKFLOW,
                AudienceRef(destination=destination, audience=audience),
                # Without a slash, which would make a part of it a contact's id: see `runtime.encryption.codec`.
                id=f"audience:{destination}:{audience}",
                task_queue=JOURNEYS,
                priority=priority_of(MARKETING),
                rpc_timeout=_CALL,
            )
        except WorkflowAlreadyStartedError:
            continue


def starting_audience_syncs(client: Client, store: Store) -> AbstractAsyncContextManager[None]:
    """Start the workflows of audiences with changes to send, periodically, in one worker at a time."""
    return repeating(store, LEASE, lambda: start_audience_syncs(client, store), every=EVERY)
