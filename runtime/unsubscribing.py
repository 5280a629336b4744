"""Addresses by which a contact unsubscribes (RFC 8058): ``<base>/u/<token>``, in a mail's headers and in its text.

A token says who unsubscribes, from what, and which address it is about. All of it is encrypted: nobody who sees the
address learns it, and nothing has to be kept to know it again. It never expires, as the mail that it stands in does
not, and belongs to no journey.

How it is written is `runtime.seal`'s matter: the same for every attempt of a delivery, and nobody makes one.

Whoever sees the address can unsubscribe its contact, and do nothing else. It is in no log, span or error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Final, Self

from runtime.seal import Seal
from runtime.settings import LEAST_KEY, Settings
from runtime.suppression import suppression_keys

PATH: Final = "/u/"
"""What comes between the gateway's address and a token."""

_LABEL: Final = b"scenario-runner unsubscribe token"


@dataclass(frozen=True)
class Subscriber:
    """Who unsubscribes from what.

    Attributes:
        channel: ``email`` or ``sms``.
        scope: The list, by its id or name; "" is all marketing on that channel.
        contact_id: The contact, whose journeys are told.
        address: The address or number that was written to.
    """

    channel: str
    scope: str
    contact_id: str
    address: str = field(repr=False)


class Unsubscribing:
    """Gives out addresses, and knows them again.

    Args:
        base_url: What the gateway's own paths are appended to, as contacts reach it.
        keys: The key in use, then those that were: mails that carry their tokens are still about.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, base_url: str, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < LEAST_KEY for key in keys):
            raise ValueError(f"unsubscribing needs a key, of at least {LEAST_KEY} bytes")
        self._base = base_url.rstrip("/")
        self._seal, self._keys = Seal(keys, _LABEL, "u1"), len(keys)

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """That of the settings; None where SCENARIO_CALLBACK_URL or SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(settings.callback_url, keys) if keys and settings.callback_url is not None else None

    def __repr__(self) -> str:
        return f"Unsubscribing({self._keys} keys)"

    def url(self, subscriber: Subscriber) -> str:
        """The address that a message to a subscriber carries: a pure function."""
        return f"{self._base}{PATH}{self._seal.close(astuple(subscriber))}"

    def opened(self, token: str) -> Subscriber | None:
        """Who a token is about; None where it was never given out.

        Args:
            token: The address's last segment.
        """
        words = self._seal.open(token)
        return None if words is None else Subscriber(*words)
