"""Keys derived from those in the settings: each purpose has its own, so that none reveals anything about another."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from runtime.settings import MIN_KEY, Settings, parse_keys
from scenario.policies import addresses

_PREFIX: Final = "scenario-runner "


def derive_key(key: bytes, purpose: str, length: int = 32) -> bytes:
    """Derive a key by HKDF (RFC 5869)."""
    return HKDF(SHA256(), length, salt=None, info=(_PREFIX + purpose).encode()).derive(key)


def derive_keys(keys: Sequence[bytes], purpose: str, length: int = 32) -> tuple[bytes, ...]:
    """Derive a key from each of the current and the previous keys.

    Raises:
        ValueError: There is no key, or one is too short.
    """
    if not keys or any(len(key) < MIN_KEY for key in keys):
        raise ValueError(f"every key needs at least {MIN_KEY} bytes, and there must be one")
    return tuple(derive_key(key, purpose, length) for key in keys)


def suppression_keys(settings: Settings) -> list[bytes]:
    """Return the current and the previous suppression keys, or none if there is no current one."""
    values = (settings.suppression_key, settings.suppression_key_previous)
    return [key for value in values if value is not None and settings.suppression_key for key in parse_keys(value)]


def key_names(settings: Settings) -> list[tuple[str, str]]:
    """Return the setting and the name of each key that seals callback tokens or hashes suppressed addresses.

    A name reveals nothing of its key, but shows differences between processes.
    """
    values: tuple[tuple[str, SecretStr | None], ...] = (
        ("SCENARIO_CALLBACK_KEY", settings.callback_key),
        ("SCENARIO_CALLBACK_KEY", settings.callback_key_previous),
        ("SCENARIO_SUPPRESSION_KEY", settings.suppression_key),
        ("SCENARIO_SUPPRESSION_KEY", settings.suppression_key_previous),
    )
    return [
        (setting, hashlib.sha256(derive_key(key, "key name")).hexdigest()[:8])
        for setting, value in values
        if value is not None
        for key in parse_keys(value)
    ]


HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""Form of an address's hash."""


class AddressHashes:
    """Hashes of addresses and phone numbers, which the store holds in their place.

    Addresses can be enumerated, so a plain hash would reveal them; an HMAC with SCENARIO_SUPPRESSION_KEY does not. A
    hash can be found with its key alone, and not be computed again under another one, since addresses are not stored.
    So a key that was in use stays, in SCENARIO_SUPPRESSION_KEY_PREVIOUS.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = derive_keys(keys, "suppressed address")

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' hashes, or None if SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(keys) if keys else None

    def __repr__(self) -> str:
        return f"AddressHashes({len(self._keys)} keys)"

    def of(self, channel: str, address: str) -> tuple[str, ...]:
        """Return an address's hashes in hex: under the current key, which new rows use, then under the previous ones.

        Args:
            channel: ``email`` or ``sms``.

        Raises:
            BadRecipient: The address is malformed. The message does not quote it.
        """
        what = f"{channel}\0{addresses.spelled(channel, address)}".encode()
        return tuple(hmac.digest(key, what, hashlib.sha256).hex() for key in self._keys)
