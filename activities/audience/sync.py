"""The memberships of audiences in the store, and the activities and the start of the workflow `SyncAudience`.

A change of membership is recorded in the store, and nothing else. Every half minute, one worker starts the workflow of
each audience with changes that are not sent yet: so changes of many contacts go together, and none is lost if Temporal
or a worker is not there when it is recorded.

Before a batch is sent, its members are fixed in the store. So every attempt sends the same bytes under the same id,
even if a worker is lost or further changes are recorded.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

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
from activities.channel_registry import webhook_queue
from activities.failures import expected
from activities.interface import JOURNEYS, priority_of
from activities.periodic import repeating
from activities.webhook.destinations.form import MOST_MEMBERS
from activities.webhook.outcome import of_status, parse_retry_after
from activities.webhook.platform import CallFailed, PlatformCalls
from activities.webhook.route import Route, Routes
from runtime.encryption.codec import keyring_in
from runtime.store import Store
from runtime.store.memberships import Membership
from scenario.errors import NotConfigured
from scenario.steps.audience import AudienceOperation
from scenario.words import MARKETING

logger = logging.getLogger(__name__)

SYNCED: Final = "the audience has the contact already"
NO_MEMBER: Final = "the contact is not in the audience: there is nothing to remove"


class MembershipBook:
    """The wanted memberships, and those that platforms have, encrypted in the store if payloads are.

    The key is that of no contact. An erasure destroys the contact's key first, and must still be able to tell the
    platform whom to remove. The row is deleted as soon as the platform has answered.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._keys = keyring_in(store)

    async def add(self, destination: str, audience: str, contact: str, member: Member, at: datetime) -> str | None:
        """Want a contact to be a member. Return a remark if nothing is to be sent."""
        text = json.dumps(member, separators=(",", ":"), sort_keys=True)
        # A receiver that gets ids tells contacts with one address apart.
        digests = {name: await self._keys.name_of(value) for name, value in member.items() if "id" not in member}
        wanted = Membership(
            id=uuid4().hex,
            destination=destination,
            audience=audience,
            contact_id=contact,
            wanted=True,
            wanted_at=at,
            # Digests under a key of the store: encrypted texts cannot be compared.
            digest=await self._keys.name_of(text),
            member=await self._keys.seal(None, text) or "",
            email=digests.get("email"),
            phone=digests.get("phone"),
        )
        return None if await self.store.record_membership(wanted) else SYNCED

    async def remove(self, destination: str, audience: str, contact: str, at: datetime) -> str | None:
        """Want a contact to be no member. Return a remark if nothing is to be sent."""
        unwanted = Membership(
            id=uuid4().hex,
            destination=destination,
            audience=audience,
            contact_id=contact,
            wanted=False,
            wanted_at=at,
            digest="",
            member="",
        )
        return None if await self.store.record_membership(unwanted) else NO_MEMBER

    async def members(self, batch: str) -> tuple[Sequence[str], Sequence[Member]]:
        """Return the ids of a batch's rows and their members, in an order that never changes.

        A removal has only what no other member has, too. Rows of which nothing is left are left out.
        """
        ids: list[str] = []
        members: list[Member] = []
        for row in await self.store.audience_batch(batch):
            member: Member = json.loads(await self._keys.unseal(row.member) or "{}")
            if "id" not in member:
                sent = {"email": row.sent_email, "phone": row.sent_phone}
                member = {name: value for name, value in member.items() if sent[name] is not None}
            if member:
                ids.append(row.id)
                members.append(member)
        return ids, members


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

    def __init__(self, book: MembershipBook, routes: Routes, calls: PlatformCalls, *, shards: int = 1) -> None:
        self._book, self._store = book, book.store
        self._routes, self._calls, self._shards = routes, calls, shards

    @activity.defn(name=FREEZE.name)
    async def freeze_audience_batch(self, wanted: AudienceBatch) -> FrozenBatch:
        """Freeze the next changes of an audience, or return the batch that is frozen already."""
        try:
            size = settings_of(self._routes.named(wanted.destination).named, wanted.destination).size
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
        route = self._routes.named(batch.destination)
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
        return expected("AudienceNotSynced", reason, final=final, delay=delay)


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
