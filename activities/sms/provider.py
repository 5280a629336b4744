"""The interface of an SMS provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class TextMessage:
    """A text message.

    Attributes:
        id: The delivery id, stable over attempts.
        to: The number, E.164.
        body: Its text.
        within: Seconds for the provider's answer.
    """

    id: str
    to: str
    body: str
    within: float = 15.0


@dataclass(frozen=True)
class Receipt:
    """The provider's acceptance.

    Attributes:
        status: Its status code, if any.
        reference: Its own id of the message.
    """

    status: int | None = None
    reference: str = ""


class Provider(Protocol):
    """Sends text messages. Each provider is one module.

    Attributes:
        name: Its name in failures and in the log of attempts.
        connections: Maximum number of messages in flight. A worker takes only that many; others wait in Temporal.
    """

    name: str
    connections: int

    async def send(self, message: TextMessage) -> Receipt:
        """Hand over one message, once.

        Raises:
            ProviderError: See `activities.sms.errors`.
        """
        ...

    async def close(self, within: float) -> None:
        """Close connections within a number of seconds."""
        ...
