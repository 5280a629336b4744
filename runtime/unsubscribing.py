"""URLs with which a recipient unsubscribes, from a message's text or by one click (RFC 8058).

``{{ journey.unsubscribe_url }}`` is ``<base>/u/<token>``. The token holds the recipient, the list and the contact. Its
holder can unsubscribe that recipient, and do nothing else. It never expires, since a message may be read at any time.
Nothing is stored. Tokens must never appear in a log, span or error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Final, Self

from runtime.derived_keys import suppression_keys
from runtime.sealed_token import SealedToken
from runtime.settings import Settings

PATH: Final = "/u/"
"""Path of the URLs, between the gateway's address and the token."""


@dataclass(frozen=True)
class Subscriber:
    """A subscription that an unsubscribe URL ends.

    Attributes:
        channel: ``email`` or ``sms``.
        scope: Id or name of the list; "" for all marketing messages on the channel.
    """

    channel: str
    scope: str
    contact_id: str
    address: str = field(repr=False)


class Unsubscribing:
    """Makes and opens unsubscribe URLs.

    Args:
        keys: The current key, then the previous ones: their tokens are in messages already sent.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, base_url: str, keys: Sequence[bytes]) -> None:
        self._base = base_url.rstrip("/")
        self._tokens = SealedToken(keys, "unsubscribe token", "u1")

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' URLs, or None if SCENARIO_CALLBACK_URL or SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(settings.callback_url, keys) if keys and settings.callback_url is not None else None

    def url(self, subscriber: Subscriber) -> str:
        """Return the URL of a subscriber; always the same."""
        return f"{self._base}{PATH}{self._tokens.seal_fields(astuple(subscriber))}"

    def opened(self, token: str) -> Subscriber | None:
        """Return the subscriber of a token (the last segment of the URL), or None if it cannot be opened."""
        fields = self._tokens.open_fields(token)
        return None if fields is None else Subscriber(*fields)
