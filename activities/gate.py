"""The gate that every message passes before it is sent: policies, suppressions and claims under caps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from temporalio.service import RPCError

from activities.channel_registry import Channel
from activities.content import Content
from activities.interface import Delivery
from activities.suppressions import Notify, Suppressor, notify_nobody
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from runtime.store.claims import CapClaim
from scenario.policies.caps import Cap, Full
from scenario.policies.order import PlannedMessage, Rules, Ruling, Skip, ask, rules_of
from scenario.policies.policies import Policies
from scenario.policies.suppression import AddressVerdict, Suppression
from scenario.steps.delivery import DeliveryStep
from scenario.time import zone_of
from scenario.words import SkipReason


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message about to be sent."""

    delivery: Delivery
    channel: Channel
    destination: str  # destination name, mail host or SMS provider
    now: datetime  # UTC
    address: str = ""  # recipient's address, or "" for webhooks. Personal data: do not log or store it.


_logger = logging.getLogger(__name__)


class PolicyGate:
    """Decides whether messages may be sent, and is notified of those that were not delivered.

    It reads the store only if the address may be suppressed, or a cap counts the message. Without hashes, suppressions
    are not configured.
    """

    def __init__(
        self,
        content: Content,
        store: Store,
        policies: Callable[[], Policies],
        hashes: AddressHashes | None,
        notify: Notify = notify_nobody,
    ) -> None:
        self._content, self._store, self._policies, self._hashes = content, store, policies, hashes
        self._suppressor = None if hashes is None else Suppressor(store, hashes, notify)

    async def check(self, message: OutgoingMessage) -> Ruling:
        delivery = message.delivery
        subject = PlannedMessage(
            delivery=delivery.id,
            channel=message.channel.name,
            destination=_destination(message),
            began=datetime.fromisoformat(delivery.began or delivery.now),
            zone=zone_of(delivery.zone),
            contact=delivery.data.get("contact", {}),
            at_once=delivery.at_once,
        )
        facts = _StoreFacts(self._store, self._hashes, message, subject)
        return await ask(subject, await self._rules(message), facts)

    def recipient(self, message: OutgoingMessage) -> str | None:
        """Return the hash of the recipient's address for the log, or None if there is no address or no key."""
        if self._hashes is None or not message.address:
            return None
        return self._hashes.of_recipient(message.delivery.id, message.channel.name, message.address)[0]

    async def rejected(self, message: OutgoingMessage, verdict: AddressVerdict) -> Skip | None:
        """Record that the receiver rejected the address. Return `Skip` if the address is now suppressed."""
        if self._suppressor is None or not message.address:
            return None
        name, identifier = message.channel.name, message.delivery.id
        found = await self._suppressor.refused(name, message.address, verdict, identifier, message.now)
        if found is None:
            return None
        try:
            await self._suppressor.notify(found, message.address)
        except RPCError as error:  # the suppression holds nevertheless
            _logger.warning("the platform is not told what %s has suppressed: %s", identifier, error.status.name)
        return Skip(found.words, SkipReason.SUPPRESSED)

    async def not_delivered(self, message: OutgoingMessage, *, uncertain: bool) -> None:
        """Record that a message will not be retried. `uncertain` if it may have been delivered nevertheless."""
        if self._policies().caps:
            await (self._store.keep if uncertain else self._store.release)(message.delivery.id)

    async def _rules(self, message: OutgoingMessage) -> Rules:
        delivery = message.delivery
        scenario = (await self._content.open(delivery.name, delivery.version)).scenario
        step = await self._content.step_of(delivery, DeliveryStep, "one that sends")
        return rules_of(scenario, step, self._policies(), message.channel.name, _destination(message))


@dataclass(frozen=True)
class _StoreFacts:
    """Facts about one message, looked up when needed."""

    store: Store
    hashes: AddressHashes | None
    outgoing: OutgoingMessage
    message: PlannedMessage

    def now(self) -> datetime:
        return self.outgoing.now

    async def suppressions(self) -> Iterable[Suppression]:
        if self.hashes is None or not self.outgoing.address:
            return ()
        return await self.store.suppressed(
            self.message.channel, self.hashes.of(self.message.channel, self.outgoing.address)
        )

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        if not caps:
            return None
        delivery: Delivery = self.outgoing.delivery
        wanted = CapClaim(
            delivery_id=delivery.id,
            contact_id=delivery.contact,
            channel=self.message.channel,
            destination=self.message.destination,
            scenario=delivery.name,
            claimed_at=self.outgoing.now,
        )
        return await self.store.claim(wanted, caps, self.message.zone)


def _destination(message: OutgoingMessage) -> str:
    """Return the destination as policies name it: "" for a channel with only one."""
    return message.destination if message.channel.addressed else ""
