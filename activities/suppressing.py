"""Makes an address one that is not written to any more: the one way that bounces, STOP and unsubscribing take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from runtime.derived_keys import AddressHashes
from scenario.policies.bounces import AddressVerdict
from scenario.policies.suppression import SOFT, Source, Suppression

Tell: TypeAlias = Callable[[Suppression, str], Awaitable[None]]
"""Has others told of a suppression, and of the address that it is about; may be called again for the same one."""


class SuppressionStore(Protocol):
    """Where suppressions are kept: `runtime.store.Store`."""

    async def suppress(self, suppression: Suppression) -> bool:
        """Suppress an address."""
        ...

    async def suppressed(self, channel: str, addresses: Sequence[str]) -> list[Suppression]:
        """Return the suppressions of an address."""
        ...

    async def soft(self, channel: str, addresses: Sequence[str], delivery_id: str, at: datetime) -> bool:
        """Record a soft bounce. Return whether the address is now suppressed."""
        ...


async def untold(_suppression: Suppression, _address: str) -> None:
    """If nobody else has to know."""


class Suppressing:
    """Suppresses addresses.

    Args:
        store: Keeps suppressions.
        hashes: Know addresses.
        tell: Has the platform told, after the suppression is in the store.
    """

    def __init__(self, store: SuppressionStore, hashes: AddressHashes, tell: Tell = untold) -> None:
        self._store, self._hashes = store, hashes
        self.tell = tell

    async def suppress(
        self, channel: str, address: str, source: Source, evidence: str, *, scope: str = "", at: datetime | None = None
    ) -> Suppression:
        """Suppress an address. Idempotent. Sends no notification.

        Args:
            channel: By what.
            address: In any spelling that can be sent to.
            source: Who or what asks for it.
            evidence: What it rests on; no address.
            scope: The list that it is about; "" is all.
            at: When, in UTC; now by default.

        Returns:
            What stands in the store: of one that stood there before, since when.

        Raises:
            BadRecipient: The address is none.
            StoreError: The store cannot be reached.
        """
        hashes = self._hashes.of(channel, address)
        new = Suppression(channel, hashes[0], source, at or datetime.now(UTC), scope, evidence=evidence)
        if await self._store.suppress(new):
            return new
        return await self._standing(channel, hashes, source, scope) or new

    async def refused(
        self, channel: str, address: str, against: AddressVerdict, delivery_id: str, at: datetime | None = None
    ) -> Suppression | None:
        """Record what a receiver says against an address. Idempotent. Sends no notification.

        Args:
            channel: By what.
            address: What was written to.
            against: What the receiver says.
            delivery_id: What was sent: of its passing troubles one counts.
            at: When, in UTC; now by default.

        Returns:
            The suppression, or None if the address may be written to as before.

        Raises:
            BadRecipient: The address is none.
            StoreError: The store cannot be reached.
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
