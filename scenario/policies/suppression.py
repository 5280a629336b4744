"""Suppressed addresses: reasons, and the messages that they stop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from scenario.words import MARKETING, Purpose

Source = Literal["custom", "unsub", "soft", "bounce", "fbl", "stop"]
"""The reason in the platform's words.

An operator, an unsubscription, repeated soft bounces, a bounce, a complaint from a feedback loop, a STOP message.
"""
UNSUBSCRIBED: Final = "unsub"
"""The one source that stops only marketing, of its scope."""
SOFT: Final = "soft"

SOFT_BOUNCES: Final = 3
"""Number of soft bounces within `SOFT_SPAN` that suppress an address."""
SOFT_SPAN: Final = timedelta(days=7)

_SAID: Final[Mapping[Source, str]] = {
    "custom": "has been suppressed",
    "unsub": "has unsubscribed",
    "soft": "has bounced again and again",
    "bounce": "has bounced",
    "fbl": "has complained of spam",
    "stop": "has answered STOP",
}


@dataclass(frozen=True, slots=True)
class Suppression:
    """A suppressed address."""

    channel: str
    address_hash: str
    """An HMAC of the address, see `runtime.derived_keys`."""
    source: Source
    suppressed_at: datetime
    scope: str = ""
    """A list's id or name; empty for all."""
    evidence: str = ""
    """Evidence such as a status, without addresses and numbers."""

    @property
    def words(self) -> str:
        """The reason for people, without the address."""
        what = _SAID.get(self.source, "has been suppressed") + (f" from {self.scope}" if self.scope else "")
        return f"the address {what} ({self.source}, {self.suppressed_at:%Y-%m-%d})"


def stops(suppressions: Iterable[Suppression], purpose: Purpose, scopes: Collection[str] = ()) -> Suppression | None:
    """Return the suppression that stops a message, or None.

    Args:
        suppressions: All suppressions of the address on the message's channel.
        purpose: The purpose of the message's scenario.
        scopes: The message's lists by id or name, in any case.

    Returns:
        Of several the one that stops most, then the oldest.
    """
    wanted = {scope.casefold() for scope in scopes}

    def concerns(found: Suppression) -> bool:
        if found.source != UNSUBSCRIBED:
            return True
        return purpose == MARKETING and (not found.scope or found.scope.casefold() in wanted)

    return min(
        filter(concerns, suppressions),
        key=lambda found: (found.source == UNSUBSCRIBED, found.scope != "", found.suppressed_at, found.source),
        default=None,
    )


def lasting(bounces: int) -> bool:
    """Return True if a number of soft bounces within `SOFT_SPAN` suppresses the address."""
    return bounces >= SOFT_BOUNCES
