"""The gate that every attempt passes before a connection is opened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from activities.channel_registry import Channel
from activities.interface import Delivery
from scenario.policies.bounces import AddressVerdict
from scenario.policies.order import Ruling, Skip


@dataclass(frozen=True, slots=True)
class Backoff:
    """A destination or mail server takes no messages for a while. Temporal retries; the attempt does not count.

    Policies answer with `Defer` instead, which names a fixed time.

    Attributes:
        delay: Time until the next attempt.
        reason: A short phrase for operators, such as ``wax has failed too often``.
        then: What happens next, as the end of a sentence.
        code: One word for metrics and the log of attempts.
    """

    delay: timedelta
    reason: str
    then: str
    code: str


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message about to be sent.

    Attributes:
        delivery: The delivery it belongs to.
        channel: Its channel.
        destination: Destination name, mail host or SMS provider.
        now: UTC.
        address: Recipient's address, or "" for webhooks. Personal data: do not log or store it.
    """

    delivery: Delivery
    channel: Channel
    destination: str
    now: datetime
    address: str = ""


class Gate(Protocol):
    """Decides whether messages may be sent, and is notified of those that were not delivered."""

    async def check(self, message: OutgoingMessage) -> Ruling: ...

    async def rejected(self, message: OutgoingMessage, verdict: AddressVerdict) -> Skip | None:
        """Record that the receiver rejected the address. Return `Skip` if the address is now suppressed."""
        ...

    async def not_delivered(self, message: OutgoingMessage, *, uncertain: bool) -> None:
        """Record that a message will not be retried. `uncertain` if it may have been delivered nevertheless."""
        ...
