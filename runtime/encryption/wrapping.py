"""Wrapping of contacts' keys by the keys of SCENARIO_ENCRYPTION_KEYS.

AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to the id of the wrapped key, so that keys of two rows cannot
be exchanged. A wrapped key names its wrapping key by the start of that key's SHA-256, so that a missing key is
reported.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from runtime.derived_keys import derive_key
from runtime.errors import SettingsError
from runtime.settings import MIN_KEY, Settings, parse_keys

NONCE: Final = 12
"""Bytes of a nonce (NIST SP 800-38D §8.2.2)."""
_FORM: Final = re.compile(r"w1\.([0-9a-f]{8})\.([A-Za-z0-9_=-]{16,})", re.ASCII)


def plain(key: bytes) -> str:
    """Return an unwrapped key as text: the index key, if encryption is not configured."""
    return f"p1.{base64.urlsafe_b64encode(key).decode()}"


def read_plain(text: str) -> bytes | None:
    """Return the key in such a text, or None if it is wrapped."""
    return base64.urlsafe_b64decode(text[3:]) if text.startswith("p1.") else None


class KeyWrapping:
    """Wraps and unwraps keys."""

    def __init__(self, keys: Sequence[bytes], setting: str = "SCENARIO_ENCRYPTION_KEYS") -> None:
        self._setting = setting
        derivatives = [derive_key(key, "contact keys") for key in keys]
        self._ciphers = {hashlib.sha256(key).hexdigest()[:8]: AESGCM(key) for key in derivatives}
        self._newest = next(iter(self._ciphers))

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' wrapping, or None without encryption keys."""
        if settings.encryption_keys is not None:
            return cls(parse_keys(settings.encryption_keys))
        path, setting = settings.encryption_keys_file, "SCENARIO_ENCRYPTION_KEYS_FILE"
        return cls(_keys_of(path, setting), setting) if path is not None else None

    @property
    def names(self) -> list[str]:
        """Names of the keys, the newest first. They reveal nothing of the keys."""
        return list(self._ciphers)

    def __repr__(self) -> str:
        return f"Wrapping({', '.join(self._ciphers)})"

    def close(self, key: bytes, name: str) -> str:
        """Wrap the key with an id."""
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, key, name.encode())
        return f"w1.{self._newest}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, text: str, name: str) -> bytes:
        """Unwrap the key with an id.

        Raises:
            SettingsError: The key that wrapped it is missing in the settings, or is another.
        """
        found = _FORM.fullmatch(text)
        cipher = self._ciphers.get(found[1]) if found else None
        if found is None or cipher is None:
            which = f" ({found[1]})" if found else ""
            raise SettingsError(
                f"{self._setting} lacks a key{which} that wraps keys of contacts: add it after the others"
            )
        try:
            sealed = base64.urlsafe_b64decode(found[2])
            return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise SettingsError("a contact's key in the store is damaged: restore it from a backup") from None

    def is_current(self, text: str) -> bool:
        """Return True if a text is wrapped by the current key."""
        found = _FORM.fullmatch(text)
        return found is not None and found[1] == self._newest


def _keys_of(path: Path, setting: str) -> list[bytes]:
    """Read a file with one or, separated by commas, several keys on a line, and comments after #."""
    try:
        text = path.read_text("utf-8-sig")  # some editors write a byte order mark
    except OSError:
        raise SettingsError(f"{setting} cannot be read: check its permissions") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting} must name a text file in UTF-8: this one is something else") from None
    keys: list[bytes] = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in re.findall(r"[^\s,]+", line.partition("#")[0]):
            keys += parse_keys(SecretStr(word))
            if len(keys[-1]) < MIN_KEY:
                raise SettingsError(
                    f"{setting}, line {number}: must be a key in base64, of at least {MIN_KEY} random bytes, as "
                    "`openssl rand -base64 32` writes it"
                )
    if not keys:
        raise SettingsError(f"{setting} names a file without a key: write one that `openssl rand -base64 32` makes")
    return keys
