"""Where e-mails bounce to: an address for each delivery (VERP), ``bounces+<token>@mail.example.com``.

A bounce is sent to the return path by whoever pleases. The token says which delivery it is about and proves, with the
recipient's address that the bounce itself names, that we have sent that delivery to that address: it is the delivery's
128 bits and 80 bits of an HMAC over both. So nothing has to be kept, no address stands in it, and nobody can have an
address suppressed that he was not written to at.

Base32 in lower case (RFC 4648 §6), since some servers change the case of letters; 42 characters, so that the local part
has 64 at most (RFC 5321 §4.5.3.1.1).
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
    """Gives out return paths, and knows them again.

    Args:
        address: Where all of them end: ``bounces@mail.example.com``.
        keys: The key in use, then those that were.

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
        """Those of the settings; None where SCENARIO_BOUNCE_ADDRESS is not set.

        Raises:
            SettingsError: SCENARIO_SUPPRESSION_KEY is not.
        """
        if settings.bounce_address is None:
            return None
        if not (keys := suppression_keys(settings)):
            raise SettingsError("SCENARIO_BOUNCE_ADDRESS needs SCENARIO_SUPPRESSION_KEY, which is not set")
        return cls(settings.bounce_address, keys)

    def of(self, delivery_id: str, address: str) -> str:
        """The return path of one delivery: a pure function.

        Args:
            delivery_id: ``msg_…``.
        """
        found = _DELIVERY.fullmatch(delivery_id)
        # A test's delivery has another id: it is told from others all the same.
        identity = bytes.fromhex(found[1]) if found else hashlib.sha256(delivery_id.encode()).digest()[:_ID]
        raw = identity + self._proof(self._keys[0], identity, address)
        return f"{self._local}+{base64.b32encode(raw).rstrip(b'=').decode().lower()}@{self._domain}"

    def tokens(self, content: bytes) -> Iterator[str]:
        """What looks like the token of a return path in some text."""
        for found in self._form.finditer(content):
            yield found[1].decode().lower()

    def proven(self, token: str, address: str) -> str | None:
        """The delivery that a token was made for; None where it was not made for one to this address.

        Raises:
            BadRecipient: The address is none.
        """
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        identity, proof = raw[:_ID], raw[_ID:]
        for key in self._keys:
            if hmac.compare_digest(self._proof(key, identity, address), proof):
                return f"msg_{identity.hex()}"
        return None

    @staticmethod
    def _proof(key: bytes, identity: bytes, address: str) -> bytes:
        return hmac.digest(key, identity + spelled(_CHANNEL, address).encode(), hashlib.sha256)[:_PROOF]
