"""Keys derived from those in the settings: each purpose has its own, so that none reveals anything about another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from runtime.settings import MIN_KEY, Settings, keys_in

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
    return [key for value in values if value is not None and settings.suppression_key for key in keys_in(value)]


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
        for key in keys_in(value)
    ]
