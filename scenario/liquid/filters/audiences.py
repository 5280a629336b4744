"""Filters for the members of audiences at advertising platforms: normalised as each platform does, then hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final, Literal

from scenario.liquid.engine.filter_call import FilterValueError
from scenario.liquid.engine.values import to_text
from scenario.liquid.filters.texts import phone_e164

Platform = Literal["google", "meta"]
_PLATFORMS: Final = ("google", "meta")
_ADDRESS: Final = re.compile(r"([^\s@]+)@([^\s@]+\.[^\s@]+)")
_GMAIL: Final = ("gmail.com", "googlemail.com")


def audience_email(value: object, platform: object) -> str | None:
    """Return the SHA-256 of an e-mail address as a platform normalises it, in hex; nil if it is not an address.

    Google ignores dots and what follows a plus sign in addresses of its own mail service (its Data Manager API, "Format
    user data"). Meta does not.
    """
    google = _read_platform("audience_email", platform) == "google"
    found = _ADDRESS.fullmatch(str(to_text(value)).strip().lower())
    if found is None:
        return None
    user, domain = found.groups()
    if google and domain in _GMAIL:
        user = user.partition("+")[0].replace(".", "")
    return _digest(f"{user}@{domain}") if user else None


def audience_phone(value: object, platform: object, region: object = None) -> str | None:
    """Return the SHA-256 of a phone number as a platform normalises it, in hex; nil if it is not a possible number.

    Google hashes E.164 with its plus sign, Meta the digits alone. For the region see `phone_e164`.
    """
    meta = _read_platform("audience_phone", platform) == "meta"
    number = phone_e164(value, region)
    return None if number is None else _digest(number.removeprefix("+") if meta else number)


def _read_platform(name: str, value: object) -> Platform:
    for known in _PLATFORMS:
        if to_text(value) == known:
            return known
    raise FilterValueError(f"'{name}' takes a platform: 'google' or 'meta'")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FILTERS: Final[dict[str, Callable[..., Any]]] = {"audience_email": audience_email, "audience_phone": audience_phone}
