"""Keys derived from those in the settings, and the hashes and seals made with them.

Each purpose has its own key, so that none reveals anything about another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from runtime.settings import MIN_KEY, Settings, parse_keys
from scenario.steps.registry import canonical_address

_PREFIX: Final = "scenario-runner "


def derive_key(key: bytes, purpose: str, length: int = 32) -> bytes:
    """Derive a key by HKDF (RFC 5869)."""
    return HKDF(SHA256(), length, salt=None, info=(_PREFIX + purpose).encode()).derive(key)


def derive_keys(keys: Sequence[bytes], purpose: str, length: int = 32) -> tuple[bytes, ...]:
    """Derive a key from each of the current and previous keys. Raise ValueError if there is none, or a short one."""
    if not keys or any(len(key) < MIN_KEY for key in keys):
        raise ValueError(f"every key needs at least {MIN_KEY} bytes, and there must be one")
    return tuple(derive_key(key, purpose, length) for key in keys)


def suppression_keys(settings: Settings) -> list[bytes]:
    """Return the current and the previous suppression keys, or none if there is no current one."""
    values = (settings.suppression_key, settings.suppression_key_previous)
    return [key for value in values if value is not None and settings.suppression_key for key in parse_keys(value)]


def key_name(key: bytes) -> str:
    """Return a key's name, which reveals nothing of it."""
    return hashlib.sha256(derive_key(key, "key name")).hexdigest()[:8]


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
    return [(setting, key_name(key)) for setting, value in values if value is not None for key in parse_keys(value)]


HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)  # form of an address's hash


class AddressHashes:
    """Hashes of addresses and phone numbers, which the store holds in their place.

    Addresses can be enumerated, so a plain hash would reveal them; an HMAC with SCENARIO_SUPPRESSION_KEY does not. A
    hash can be found with its key alone, and not be computed again under another one, since addresses are not stored.
    So a key that was in use stays, in SCENARIO_SUPPRESSION_KEY_PREVIOUS.
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

        Raise BadRecipient, which does not quote it, if the address is malformed.
        """
        return self._digests(channel, address)

    def of_recipient(self, delivery_id: str, channel: str, address: str) -> tuple[str, ...]:
        """Return shorter hashes of an address for one delivery alone, which link it to no other row.

        Raise BadRecipient if the address is malformed.
        """
        return tuple(one[:20] for one in self._digests(channel, address, f"\0{delivery_id}"))

    def _digests(self, channel: str, address: str, purpose: str = "") -> tuple[str, ...]:
        what = f"{channel}\0{canonical_address(channel, address)}{purpose}".encode()
        return tuple(hmac.digest(key, what, hashlib.sha256).hex() for key in self._keys)


class TokenError(Exception):
    """A token that cannot be used. No message quotes it."""


class ExpiredToken(TokenError):
    """The token was used after its lifetime."""


class SealedToken:
    """Seals content into tokens for one purpose, and opens them.

    A token is a prefix and URL-safe base64 (RFC 4648 §5, without padding) of AES-256-SIV (RFC 5297), which adds 16
    bytes. It is deterministic: every attempt of a delivery carries the same token.

    The current key seals. The previous ones, which follow it, still open.
    """

    def __init__(self, keys: Sequence[bytes], purpose: str, prefix: str) -> None:
        self._ciphers = tuple(AESSIV(key) for key in derive_keys(keys, purpose, 64))
        self._prefix = prefix
        self._form = re.compile(rf"{re.escape(prefix)}([A-Za-z0-9_-]{{32,8192}})", re.ASCII)

    def seal(self, content: bytes) -> str:
        return self._prefix + _encode(self._ciphers[0].encrypt(content, [self._prefix.encode()]))

    def open(self, token: str) -> bytes:
        """Return the content of a token, or raise a `TokenError`."""
        found = self._form.fullmatch(token)
        if found is None or len(found[1]) % 4 == 1:
            raise TokenError("this is not a token")
        sealed = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        if _encode(sealed) != found[1]:  # unused bits of the last character allow a second spelling of the same bytes
            raise TokenError("this is not a token")
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, [self._prefix.encode()])
            except InvalidTag:
                continue
        raise TokenError("the token was not made with any of the keys")

    def seal_fields(self, fields: Sequence[str]) -> str:
        return self.seal(json.dumps(list(fields), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))

    def open_fields(self, token: str) -> list[str] | None:
        """Return the fields of a token that `seal_fields` made, or None if it cannot be opened."""
        try:
            return json.loads(self.open(token))
        except TokenError:
            return None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
