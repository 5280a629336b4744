"""Keys of the HTTP API: ``sr_<id>_<secret>``. Who holds one may do what its scopes say.

The id tells keys apart, in lists and logs; the secret is 256 random bits, of which only the SHA-256 is kept: what is
that random cannot be guessed from its hash, so that a slow one would only cost time.
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

Scope = Literal["enter", "events", "read", "operate", "publish", "erase", "decode"]
"""What a key may be good for: let contacts in; tell events and changes; look; operate journeys; publish scenarios;
erase contacts; decode what is encrypted (`gateway.codec`)."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_TOKEN: Final = re.compile(r"sr_([a-z2-7]{8})_([0-9a-f]{64})", re.ASCII)
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the store has it.

    Attributes:
        id: What it is called; part of the key itself.
        digest: SHA-256 of its secret, in hex.
        scenarios: Names of the only scenarios that it is for; None: all.
        rate: Requests a second; None: as the gateway has it.
        note: What it is for, in its maker's words.
        expires_at: From when on it is no good; None: never.
        revoked_at: Since when it is no good, where somebody revoked it.
    """

    id: str
    digest: str
    scopes: Collection[Scope]
    scenarios: Collection[str] | None
    rate: float | None
    note: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it still is."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def fits(self, secret: str) -> bool:
        """Whether a secret is its own, in a time that tells nothing."""
        return hmac.compare_digest(digest_of(secret), self.digest)


def make_token() -> tuple[str, str, str]:
    """A new key: the key itself, which is shown once, its id, and the digest that is kept."""
    identifier = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = secrets.token_hex(32)
    return f"sr_{identifier}_{secret}", identifier, digest_of(secret)


def parse_token(token: str) -> tuple[str, str] | None:
    """Id and secret of a key; None where it has another form."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def names_key(operator: str) -> bool:
    """Return whether an operator's name could be taken for a key's, which only the gateway records."""
    name = " ".join(operator.split()).casefold()
    return f"{name} ".startswith("key ") or "(key " in name


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
