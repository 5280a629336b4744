"""How addresses are known again without being kept: each stands in the store as an HMAC of its one spelling.

Addresses and numbers are few enough to be tried one by one, so that a mere hash would give them away: only the key
makes it safe. It is `SCENARIO_SUPPRESSION_KEY`, of which each use has a key of its own (HKDF, RFC 5869).

What was written under a key can be found by that key alone, and nobody can write it anew: the addresses are gone. So a
key that was in use stays, in `SCENARIO_SUPPRESSION_KEY_PREVIOUS`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, Self

from runtime.derived_keys import derive_keys, suppression_keys
from runtime.settings import Settings
from scenario.policies import addresses

HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""What an address's hash looks like."""


class AddressHashes:
    """What addresses are known by.

    Args:
        keys: The key in use, then those that were.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = derive_keys(keys, "suppressed address")

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Those of the settings; None where SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(keys) if keys else None

    def __repr__(self) -> str:
        return f"AddressHashes({len(self._keys)} keys)"

    def of(self, channel: str, address: str) -> tuple[str, ...]:
        """An address's hashes, in hexadecimal: that of the key in use, under which is written, then the others.

        Args:
            channel: ``email`` or ``sms``.
            address: In any spelling that can be sent to.

        Raises:
            BadRecipient: It is none. The message does not quote it.
        """
        what = f"{channel}\0{addresses.spelled(channel, address)}".encode()
        return tuple(hmac.digest(key, what, hashlib.sha256).hex() for key in self._keys)
