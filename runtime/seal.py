"""What the world may carry about without learning what it is: a few words, encrypted and authenticated.

A sealed text is a version and URL-safe base64 (RFC 4648 §5, without padding) of AES-256-SIV (RFC 5297): deterministic,
so that the same words are always the same text, and authenticated, so that nobody makes one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from runtime.suppression import derived


class Seal:
    """Seals words, and opens what it has sealed.

    Args:
        keys: The key in use, then those that were. Each use of them has a key of its own.
        label: That use.
        version: How a sealed text begins.
    """

    def __init__(self, keys: Sequence[bytes], label: bytes, version: str) -> None:
        self._ciphers = tuple(AESSIV(derived(key, label, 64)) for key in keys)
        self._version = version
        self._form = re.compile(rf"{version}([A-Za-z0-9_-]{{32,8192}})", re.ASCII)

    def close(self, words: Sequence[str]) -> str:
        """Seals words: a pure function."""
        said = json.dumps(list(words), ensure_ascii=False, separators=(",", ":"))
        sealed = self._ciphers[0].encrypt(said.encode("utf-8", "replace"), [self._version.encode()])
        return f"{self._version}{_encoded(sealed)}"

    def open(self, text: str) -> list[str] | None:
        """The words of a sealed text; None where it was never made."""
        found = self._form.fullmatch(text)
        if found is None or len(found[1]) % 4 == 1:
            return None
        sealed = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        if _encoded(sealed) != found[1]:  # a second spelling of the same bytes: only one was given out
            return None
        for cipher in self._ciphers:
            try:
                return json.loads(cipher.decrypt(sealed, [self._version.encode()]))
            except InvalidTag:
                continue
        return None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
