"""Addresses by which a contact unsubscribes (RFC 8058): ``<base>/u/<token>``, in a mail's headers and in its text.

A token says who unsubscribes, from what, and which address it is about. All of it is encrypted: nobody who sees the
address learns it, and nothing has to be kept to know it again. It never expires, as the mail that it stands in does
not, and belongs to no journey.

It is ``u1`` and URL-safe base64 (RFC 4648 §5, without padding) of AES-256-SIV (RFC 5297): deterministic, so that every
attempt of a delivery sends the same bytes, and authenticated, so that nobody makes one.

Whoever sees the address can unsubscribe its contact, and do nothing else. It is in no log, span or error.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from runtime.settings import LEAST_KEY, Settings
from runtime.suppression import derived, suppression_keys

PATH: Final = "/u/"
"""What comes between the gateway's address and a token."""

_LABEL: Final = b"scenario-runner unsubscribe token"
_VERSION: Final = "u1"
_TOKEN: Final = re.compile(rf"{_VERSION}([A-Za-z0-9_-]{{32,8192}})", re.ASCII)


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
        self._ciphers = tuple(AESSIV(derived(key, _LABEL, 64)) for key in keys)

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """That of the settings; None where SCENARIO_CALLBACK_URL or SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(settings.callback_url, keys) if keys and settings.callback_url is not None else None

    def __repr__(self) -> str:
        return f"Unsubscribing({len(self._ciphers)} keys)"

    def url(self, subscriber: Subscriber) -> str:
        """The address that a message to a subscriber carries: a pure function."""
        said = json.dumps(astuple(subscriber), ensure_ascii=False, separators=(",", ":"))
        sealed = self._ciphers[0].encrypt(said.encode("utf-8", "replace"), [_VERSION.encode()])
        return f"{self._base}{PATH}{_VERSION}{_encoded(sealed)}"

    def opened(self, token: str) -> Subscriber | None:
        """Who a token is about; None where it was never given out.

        Args:
            token: The address's last segment.
        """
        found = _TOKEN.fullmatch(token)
        if found is None or len(found[1]) % 4 == 1:
            return None
        sealed = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        if _encoded(sealed) != found[1]:  # a second spelling of the same bytes: only one was given out
            return None
        for cipher in self._ciphers:
            try:
                said = cipher.decrypt(sealed, [_VERSION.encode()])
            except InvalidTag:
                continue
            return Subscriber(*json.loads(said))
        return None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
