"""Keys of the HTTP API. The store is not imported, since child processes of the gateway load this module, too.

A key is ``sr_<id>_<secret>``. The id identifies it in lists and logs. The secret is 256 random bits, of which only the
SHA-256 is stored: such a secret cannot be guessed from its hash, so a slow hash is not needed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Scope = Literal["enter", "events", "providers", "read", "content", "operate", "publish", "erase", "decode"]
"""Permissions of a key: enter contacts, send events, send events with names of providers that the settings trust,
read, see what was sent, operate journeys, publish scenarios, erase contacts, decode payloads (`gateway.codec`).
"""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_TOKEN: Final = re.compile(r"sr_([a-z2-7]{8})_([0-9a-f]{64})", re.ASCII)
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored."""

    id: str
    digest: str  # SHA-256 of its secret, in hex
    scopes: Collection[Scope]
    scenarios: Collection[str] | None  # names of the scenarios it is restricted to, or None for all
    rate: float | None  # requests a second; None for the gateway's default
    note: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Return True if the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def fits(self, secret: str) -> bool:
        """Compare a secret with the key's, in constant time."""
        return hmac.compare_digest(digest_of(secret), self.digest)


def make_token() -> tuple[str, str, str]:
    """Return a new key (which is shown once), its id and its digest."""
    identifier = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = secrets.token_hex(32)
    return f"sr_{identifier}_{secret}", identifier, digest_of(secret)


def parse_token(token: str) -> tuple[str, str] | None:
    """Return the id and secret of a key, or None if it is malformed."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def names_key(operator: str) -> bool:
    """Return True if an operator's name could be mistaken for a key, which only the gateway records."""
    name = " ".join(operator.split()).casefold()
    return f"{name} ".startswith("key ") or "(key " in name


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
