"""The gate that every message passes before it leaves: asks the policies, with what the store knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Protocol, cast

from temporalio.service import RPCError

from activities.content import Content
from activities.interface import Delivery
from activities.permission import Held, Leaving, Never, NotYet, Permission
from activities.suppressing import Suppressing, SuppressionStore, Tell, untold
from runtime.derived_keys import AddressHashes
from runtime.store.claims import Claim
from scenario.policies.bounces import Against
from scenario.policies.caps import Cap, Full
from scenario.policies.order import Hold, Later, Message, Rules, Skip, ask, rules_of
from scenario.policies.policies import Policies
from scenario.policies.suppression import Suppression
from scenario.steps.delivery import DeliveryStep
from scenario.time.timing import spell, zone_of

_logger = logging.getLogger(__name__)


class Places(SuppressionStore, Protocol):
    """Who knows suppressions and places under caps: `runtime.store.Store`."""

    async def claim(self, wanted: Claim, caps: Sequence[Cap], zone: tzinfo) -> Full | None:
        """Takes a place, or says what is full."""
        ...

    async def keep(self, delivery_id: str) -> None:
        """Keeps a place for good."""
        ...

    async def release(self, delivery_id: str) -> None:
        """Gives a place back."""
        ...


class PolicyGate:
    """Asks whether a message may leave; see `activities.permission.Gate`.

    The store is asked only where an address may be suppressed, or a cap counts the message.

    Args:
        content: Published scenarios, with what they and their steps say.
        store: Knows suppressions and places.
        policies: Gives those of all scenarios, as they are at the moment.
        hashes: Know suppressed addresses; None where they are not configured: then none is known.
        tell: Has the platform told of those that are suppressed here.
    """

    def __init__(
        self,
        content: Content,
        store: Places,
        policies: Callable[[], Policies],
        hashes: AddressHashes | None,
        tell: Tell = untold,
    ) -> None:
        self._content, self._store, self._policies, self._hashes = content, store, policies, hashes
        self._suppressing = None if hashes is None else Suppressing(store, hashes, tell)

    async def ask(self, leaving: Leaving) -> Permission:
        """Whether it may leave now.

        Raises:
            UnknownVersion: Its step was never published here.
            StoreError: The store cannot be read.
        """
        delivery = leaving.delivery
        message = Message(
            delivery=delivery.id,
            channel=leaving.channel.name,
            destination=_destination(leaving),
            began=datetime.fromisoformat(delivery.began or delivery.now),
            zone=zone_of(delivery.zone),
            contact=delivery.data.get("contact", {}),
            at_once=delivery.at_once,
        )
        facts = _Looked(self._store, self._hashes, leaving, message)
        match await ask(message, await self._rules(leaving), facts):
            case Later(moment, since, word):
                then = f"it is sent {spell(moment, message.zone)} or later"
                return NotYet(moment - leaving.at, since, then, word, planned=True)
            case Skip(reason, word):
                return Never(reason, word)
            case Hold(reason):
                return Held(reason)
            case None:
                return None

    async def refused(self, leaving: Leaving, against: Against) -> Never | None:
        """Suppresses the address, if that is what it comes to.

        Raises:
            StoreError: It cannot be reached.
        """
        if self._suppressing is None or not leaving.address:
            return None
        name, identifier = leaving.channel.name, leaving.delivery.id
        found = await self._suppressing.refused(name, leaving.address, against, identifier, leaving.at)
        if found is None:
            return None
        try:
            await self._suppressing.tell(found, leaving.address)
        except RPCError as error:  # what is suppressed is so, whoever knows of it
            _logger.warning("the platform is not told what %s has suppressed: %s", identifier, error.status.name)
        return Never(found.words, "suppressed")

    async def ended(self, leaving: Leaving, *, arrived: bool) -> None:
        """Gives the place under caps back, or keeps it for good."""
        if self._policies().caps:
            await (self._store.keep if arrived else self._store.release)(leaving.delivery.id)

    async def _rules(self, leaving: Leaving) -> Rules:
        delivery = leaving.delivery
        scenario = (await self._content.open(delivery.name, delivery.version)).scenario
        step = cast("DeliveryStep", await self._content.step(delivery.name, delivery.version, delivery.step))
        return rules_of(scenario, step, self._policies(), leaving.channel.name, _destination(leaving))


@dataclass(frozen=True)
class _Looked:
    """Facts for one message, looked up as they are asked for."""

    store: Places
    hashes: AddressHashes | None
    leaving: Leaving
    message: Message

    def now(self) -> datetime:
        return self.leaving.at

    async def suppressions(self) -> Iterable[Suppression]:
        if self.hashes is None or not self.leaving.address:
            return ()
        return await self.store.suppressed(
            self.message.channel, self.hashes.of(self.message.channel, self.leaving.address)
        )

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        if not caps:
            return None
        delivery: Delivery = self.leaving.delivery
        wanted = Claim(
            delivery_id=delivery.id,
            contact_id=delivery.contact,
            channel=self.message.channel,
            destination=self.message.destination,
            scenario=delivery.name,
            claimed_at=self.leaving.at,
        )
        return await self.store.claim(wanted, caps, self.message.zone)


def _destination(leaving: Leaving) -> str:
    """The destination as policies name it; empty for e-mail and SMS, which they name by the channel alone."""
    return leaving.destination if leaving.channel.addressed else ""
