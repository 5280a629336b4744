"""Suppresses addresses after bounces, STOP messages and unsubscriptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from runtime.derived_keys import AddressHashes
from scenario.policies.bounces import AddressVerdict
from scenario.policies.suppression import SOFT, Source, Suppression

Tell: TypeAlias = Callable[[Suppression, str], Awaitable[None]]
"""Reports a suppression and its address to others. Idempotent."""


class SuppressionStore(Protocol):
    """Stores suppressions: `runtime.store.Store`."""

    async def suppress(self, suppression: Suppression) -> bool:
        """Suppress an address."""
        ...

    async def suppressed(self, channel: str, addresses: Sequence[str]) -> list[Suppression]:
        """Return all suppressions of an address."""
        ...

    async def soft(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        """Record a temporary failure. Return True if the address is now suppressed."""
        ...


async def untold(_suppression: Suppression, _address: str) -> None:
    """Report to nobody."""


class Suppressing:
    """Suppresses addresses.

    Args:
        store: Stores suppressions.
        hashes: Hashes addresses.
        tell: Reports stored suppressions to the platform.
    """

    def __init__(self, store: SuppressionStore, hashes: AddressHashes, tell: Tell = untold) -> None:
        self._store, self._hashes = store, hashes
        self.tell = tell

    async def suppress(
        self, channel: str, address: str, source: Source, evidence: str, *, scope: str = "", at: datetime | None = None
    ) -> Suppression:
        """Suppress an address. Idempotent. It is not reported yet.

        Args:
            channel: The channel.
            address: In any spelling that can be sent to.
            source: The source.
            evidence: Evidence without the address.
            scope: The list; "" is all.
            at: Time in UTC; now by default.

        Returns:
            The stored suppression, which may be an earlier one.

        Raises:
            BadRecipient: The address is malformed.
            StoreError: The store is unavailable.
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

        Args:
            channel: The channel.
            address: The address.
            against: The verdict.
            delivery_id: The delivery: one of its temporary failures counts.
            at: Time in UTC; now by default.

        Returns:
            The suppression, or None if the address is not suppressed.

        Raises:
            BadRecipient: The address is malformed.
            StoreError: The store is unavailable.
        """
        if against.source == SOFT:
            hashes = self._hashes.of(channel, address)
            if not await self._store.soft(channel, hashes, delivery_id, at or datetime.now(UTC)):
                return None
            return await self._standing(channel, hashes, SOFT, "")
        return await self.suppress(channel, address, against.source, against.evidence, at=at)

    async def _standing(self, channel: str, hashes: Sequence[str], source: Source, scope: str) -> Suppression | None:
        stands = await self._store.suppressed(channel, hashes)
        return next((one for one in stands if (one.source, one.scope) == (source, scope)), None)
