"""Bounce addresses, one for each delivery (VERP): ``bounces+<token>@mail.example.com``.

Anyone can send a bounce to a return path. The token identifies the delivery and proves, with the recipient's address
that the bounce names, that this delivery was sent to that address: it is the delivery's 128 bits and 80 bits of an HMAC
over both. So nothing is stored, no address is visible, and nobody can suppress an address that received no message.

Base32 in lower case (RFC 4648 §6), since some servers change the case; 42 characters, so that the local part has at
most 64 (RFC 5321 §4.5.3.1.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Final, Self

from runtime.derived_keys import derive_keys, suppression_keys
from runtime.errors import SettingsError
from runtime.settings import Settings
from scenario.policies.addresses import spelled

_DELIVERY: Final = re.compile(r"msg_([0-9a-f]{32})", re.ASCII)
_ID, _PROOF = 16, 10
_LENGTH: Final = 42
_CHANNEL: Final = "email"


class ReturnPaths:
    """Makes and verifies return paths.

    Args:
        address: Address to which tokens are added: ``bounces@mail.example.com``.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, address: str, keys: Sequence[bytes]) -> None:
        self._local, _, self._domain = address.partition("@")
        self._keys = derive_keys(keys, "return path")
        token = rf"(?<![A-Za-z0-9_.+-]){re.escape(self._local)}\+([a-z2-7]{{{_LENGTH}}})@{re.escape(self._domain)}"
        self._form = re.compile(token.encode(), re.ASCII | re.IGNORECASE)

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' return paths, or None if SCENARIO_BOUNCE_ADDRESS is not set."""
        if settings.bounce_address is None:
            return None
        if not (keys := suppression_keys(settings)):
            raise SettingsError("SCENARIO_BOUNCE_ADDRESS needs SCENARIO_SUPPRESSION_KEY, which is not set")
        return cls(settings.bounce_address, keys)

    def of(self, delivery_id: str, address: str) -> str:
        """Return the return path of a delivery (``msg_…``) to an address; always the same."""
        found = _DELIVERY.fullmatch(delivery_id)
        # The id of a test message has another form.
        identity = bytes.fromhex(found[1]) if found else hashlib.sha256(delivery_id.encode()).digest()[:_ID]
        raw = identity + self._proof(self._keys[0], identity, address)
        return f"{self._local}+{base64.b32encode(raw).rstrip(b'=').decode().lower()}@{self._domain}"

    def tokens(self, content: bytes) -> Iterator[str]:
        """Find possible tokens of return paths in a text."""
        for found in self._form.finditer(content):
            yield found[1].decode().lower()

    def proven(self, token: str, address: str) -> str | None:
        """Return the delivery of a token, or None if it was not made for a delivery to this address."""
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        identity, proof = raw[:_ID], raw[_ID:]
        for key in self._keys:
            if hmac.compare_digest(self._proof(key, identity, address), proof):
                return f"msg_{identity.hex()}"
        return None

    @staticmethod
    def _proof(key: bytes, identity: bytes, address: str) -> bytes:
        return hmac.digest(key, identity + spelled(_CHANNEL, address).encode(), hashlib.sha256)[:_PROOF]
