"""Signatures of the Standard Webhooks specification.

``<webhook-id>.<webhook-timestamp>.<body>`` is signed. Receivers deduplicate by the id, which is the delivery's, and
reject old copies by the timestamp, which is the attempt's. Every live key signs, so that receivers can change keys.

Schemes: ``v1``, HMAC-SHA256 with a shared secret (``whsec_…``), and ``v1a``, Ed25519 with a private key (``whsk_…``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MIN_SECRET, MAX_SECRET = 24, 64  # bytes of a shared secret

_SEED, _SEED_AND_PUBLIC = 32, 64
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class SigningKeyError(ValueError):
    """An unusable signing key. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key."""

    _secret: bytes | Ed25519PrivateKey = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key from a secret: ``whsec_`` or ``whsk_`` and Base64. Raise SigningKeyError if it is malformed."""
        prefix, mark, encoded = text.partition("_")
        if not mark or prefix not in {"whsec", "whsk"}:
            raise SigningKeyError(
                "A signing key starts with 'whsec_' (shared secret) or 'whsk_' (Ed25519 private key)."
            )
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raw = None
        # Python lets padding stand where there is none to be, and bits that mean nothing: a receiver may not.
        if raw is None or base64.b64encode(raw).decode() != encoded:
            raise SigningKeyError(f"What follows '{prefix}_' in a signing key is not base64.") from None
        return cls(_shared(raw) if prefix == "whsec" else _private(raw))

    def sign(self, message: bytes) -> str:
        """Return the signature with its scheme, ``v1,…`` or ``v1a,…``."""
        if isinstance(self._secret, Ed25519PrivateKey):
            return "v1a," + base64.b64encode(self._secret.sign(message)).decode()
        return "v1," + base64.b64encode(hmac.digest(self._secret, message, hashlib.sha256)).decode()


def headers(keys: Sequence[Key], delivery_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that identify and sign one attempt, made at `now`.

    They are ``webhook-id``, ``webhook-timestamp`` (Unix seconds), ``idempotency-key``, and with a key
    ``webhook-signature``. Raise ValueError if the id would make the signed text ambiguous, or `now` has no zone.
    """
    if not _ID.fullmatch(delivery_id):
        raise ValueError("A delivery's id consists of letters, digits, '-' and '_'.")
    if now.tzinfo is None:
        raise ValueError("The time of an attempt needs a zone.")
    timestamp = str(int(now.timestamp()))
    made = {"webhook-id": delivery_id, "webhook-timestamp": timestamp, "idempotency-key": delivery_id}
    message = b".".join((delivery_id.encode(), timestamp.encode(), body))
    if signatures := [key.sign(message) for key in keys]:
        made["webhook-signature"] = " ".join(signatures)
    return made


def _shared(raw: bytes) -> bytes:
    if not MIN_SECRET <= len(raw) <= MAX_SECRET:
        raise SigningKeyError(
            f"A shared signing secret has {MIN_SECRET} to {MAX_SECRET} bytes; this one has {len(raw)}."
        )
    return raw


def _private(raw: bytes) -> Ed25519PrivateKey:
    if len(raw) not in {_SEED, _SEED_AND_PUBLIC}:
        raise SigningKeyError(
            f"An Ed25519 private key has 32 bytes, or 64 with its public half; this one has {len(raw)}."
        )
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED])
    if raw[_SEED:] and key.public_key().public_bytes_raw() != raw[_SEED:]:
        raise SigningKeyError("The public half of an Ed25519 private key does not belong to its private half.")
    return key
