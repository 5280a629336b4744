"""What a provider of text messages is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class TextMessage:
    """A text message.

    Attributes:
        id: The delivery id, the same on every attempt.
        to: The number, E.164.
        body: What it says.
        within: Seconds that the provider may take.
    """

    id: str
    to: str
    body: str
    within: float = 15.0


@dataclass(frozen=True)
class Receipt:
    """The provider has taken the message.

    Attributes:
        status: Its status code, if it has such.
        reference: Its own id of the message.
    """

    status: int | None = None
    reference: str = ""


class Provider(Protocol):
    """Sends text messages. One module a provider; nothing else knows how it is spoken to.

    Attributes:
        name: As failures and the log of deliveries name it.
        connections: How many messages may be in progress at once. A worker takes as many SMS and no more, so that the
            others wait at Temporal and not within their time-out.
    """

    name: str
    connections: int

    async def send(self, message: TextMessage) -> Receipt:
        """Hand one message over, once.

        Raises:
            ProviderError: See `activities.sms.errors`.
        """
        ...

    async def close(self, within: float) -> None:
        """Close connections within this many seconds."""
        ...
