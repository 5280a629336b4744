"""URL-safe tokens that strangers carry without learning or forging their content."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from runtime.derived_keys import derive_keys


class TokenError(Exception):
    """A token that cannot be used. No message quotes it."""


class MalformedToken(TokenError):
    """The text does not have the form of a token."""


class ForgedToken(TokenError):
    """The token was not made with any of the keys."""


class ExpiredToken(TokenError):
    """The token was used after its lifetime."""


class SealedToken:
    """Seals content into tokens for one purpose, and opens them.

    A token is a prefix and URL-safe base64 (RFC 4648 §5, without padding) of AES-256-SIV (RFC 5297), which adds 16
    bytes. It is deterministic: every attempt of a delivery carries the same token.

    Args:
        keys: The current key, which seals, then the previous ones, which still open. At least 32 bytes each.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, keys: Sequence[bytes], purpose: str, prefix: str) -> None:
        self._ciphers = tuple(AESSIV(key) for key in derive_keys(keys, purpose, 64))
        self._prefix = prefix
        self._form = re.compile(rf"{re.escape(prefix)}([A-Za-z0-9_-]{{32,8192}})", re.ASCII)

    def __repr__(self) -> str:
        return f"SealedToken({len(self._ciphers)} keys)"

    def seal(self, content: bytes) -> str:
        """Make a token."""
        return self._prefix + _encode(self._ciphers[0].encrypt(content, [self._prefix.encode()]))

    def open(self, token: str) -> bytes:
        """Return the content of a token.

        Raises:
            MalformedToken: It does not have the form of a token.
            ForgedToken: It was not made with any of the keys.
        """
        found = self._form.fullmatch(token)
        if found is None or len(found[1]) % 4 == 1:
            raise MalformedToken("this is not a token")
        sealed = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        if _encode(sealed) != found[1]:  # unused bits of the last character allow a second spelling of the same bytes
            raise MalformedToken("this is not a token")
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, [self._prefix.encode()])
            except InvalidTag:
                continue
        raise ForgedToken("the token was not made with any of the keys")

    def seal_fields(self, fields: Sequence[str]) -> str:
        """Make a token of text fields."""
        return self.seal(json.dumps(list(fields), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))

    def open_fields(self, token: str) -> list[str] | None:
        """Return the fields of a token that `seal_fields` made, or None if it cannot be opened."""
        try:
            return json.loads(self.open(token))
        except TokenError:
            return None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
