"""Suppresses addresses after bounces, STOP messages and unsubscriptions, and notifies the platform."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.background import TELL_WORKFLOW, SuppressionNotice
from activities.channel_registry import webhook_queue
from activities.interface import JOURNEYS, priority_of
from activities.webhook.destinations.destinations import Destinations
from runtime.derived_keys import AddressHashes, SealedToken
from runtime.store.suppressions import Suppressions
from scenario.errors import BadRecipient
from scenario.policies.suppression import SOFT, AddressVerdict, Source, Suppression
from scenario.words import TRANSACTIONAL

Notify: TypeAlias = Callable[[Suppression, str], Awaitable[None]]
"""Reports a suppression and its address to others. Idempotent."""


async def notify_nobody(_suppression: Suppression, _address: str) -> None:
    """Do nothing, if no platform is configured."""


class Suppressor:
    """Suppresses addresses."""

    def __init__(self, store: Suppressions, hashes: AddressHashes, notify: Notify = notify_nobody) -> None:
        self._store, self._hashes = store, hashes
        self.notify = notify

    def is_recipient(self, channel: str, address: str, delivery_id: str, recipient: str) -> bool:
        """Return True if a delivery on record with this recipient went to an address. False if it is malformed."""
        with suppress(BadRecipient):
            return recipient in self._hashes.of_recipient(delivery_id, channel, address)
        return False

    async def suppress(
        self, channel: str, address: str, source: Source, evidence: str, *, scope: str = "", at: datetime | None = None
    ) -> Suppression:
        """Suppress an address, in any spelling that can be sent to. Idempotent. It is not reported yet.

        Return the stored suppression, which may be an earlier one. Raise BadRecipient if the address is malformed.
        """
        hashes = self._hashes.of(channel, address)
        new = Suppression(channel, hashes[0], source, at or datetime.now(UTC), scope, evidence=evidence)
        if await self._store.suppress(new):
            return new
        return await self._standing(channel, hashes, source, scope) or new

    async def refused(
        self, channel: str, address: str, against: AddressVerdict, delivery_id: str, at: datetime | None = None
    ) -> Suppression | None:
        """Record a receiver's verdict on an address. Idempotent. It is not reported yet.

        One of a delivery's temporary failures counts. Return the suppression, or None if the address is not suppressed.
        Raise BadRecipient if it is malformed.
        """
        if against.source == SOFT:
            hashes = self._hashes.of(channel, address)
            if not await self._store.record_soft_bounce(channel, hashes, delivery_id, at or datetime.now(UTC)):
                return None
            return await self._standing(channel, hashes, SOFT, "")
        return await self.suppress(channel, address, against.source, against.evidence, at=at)

    async def _standing(self, channel: str, hashes: Sequence[str], source: Source, scope: str) -> Suppression | None:
        stands = await self._store.suppressed(channel, hashes)
        return next((one for one in stands if (one.source, one.scope) == (source, scope)), None)


_CALL: Final = timedelta(seconds=5)


def address_seal(keys: Sequence[bytes]) -> SealedToken:
    """Return the seal for addresses in these workflows."""
    return SealedToken(keys, "address for the platform", "a1")


class PlatformNotifier:
    """Starts the workflows: `activities.suppressions.Notify`."""

    def __init__(self, client: Client, seal: SealedToken, book: Callable[[], Destinations], *, shards: int = 1) -> None:
        self._client, self._seal, self._book, self._shards = client, seal, book, shards

    async def __call__(self, suppression: Suppression, address: str) -> None:
        """Report a suppression to every destination that wants it, once."""
        for name, destination in self._book().destinations.items():
            wanted = destination.suppressions
            if wanted is None or suppression.source not in wanted.sources:
                continue
            notice = SuppressionNotice(
                destination=name,
                channel=suppression.channel,
                address=self._seal.seal_fields([address]),
                source=suppression.source,
                scope=suppression.scope,
                at=suppression.suppressed_at.isoformat(),
                queue=webhook_queue(name, self._shards),
            )
            with suppress(WorkflowAlreadyStartedError):
                await self._client.start_workflow(
                    TELL_WORKFLOW,
                    notice,
                    id=_identifier(name, suppression),
                    task_queue=JOURNEYS,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=f"tell {name}: {suppression.channel} {suppression.source}",
                    priority=priority_of(TRANSACTIONAL),
                    rpc_timeout=_CALL,
                )


def _identifier(destination: str, suppression: Suppression) -> str:
    """Return the workflow's id: one per row of suppressions, and a new one if it was removed in between."""
    one = suppression
    what = "\n".join((one.channel, one.address_hash, one.source, one.suppressed_at.isoformat(), one.scope))
    # Without a slash, which would make the destination a contact's id: see `runtime.encryption.codec.contact_of`.
    return f"suppression:{destination}:{hashlib.sha256(what.encode()).hexdigest()[:32]}"
