"""Shared secrets that callers show in ``Authorization``: as a bearer token, or as any user's password."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable


def is_authorized(authorization: str, secrets: Iterable[str]) -> bool:
    """Return True if an ``Authorization`` header shows one of the secrets. Takes the same time for all wrong ones."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII, or not UTF-8
            return False
    elif scheme.lower() != "bearer":
        return False
    return is_one_of(value, secrets)


def is_one_of(value: str, secrets: Iterable[str]) -> bool:
    given = hashlib.sha256(value.encode(errors="replace")).digest()
    # All are compared, whichever is found.
    return any(hmac.compare_digest(given, hashlib.sha256(one.encode()).digest()) for one in secrets)
