"""Whether an address may be written to: what was said about it, and what that stops."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from scenario.policies.purpose import MARKETING, Purpose

Source = Literal["custom", "unsub", "soft", "bounce", "fbl", "stop"]
"""Who or what asks not to write, in the platform's words: an operator, the contact, passing troubles that did not pass,
a bounce, a complaint that came by a feedback loop, a STOP in answer to a text message."""
UNSUBSCRIBED: Final = "unsub"
"""The one source that stops only marketing, and only that of its scope."""
SOFT: Final = "soft"

SOFT_BOUNCES: Final = 3
"""So many of them within `SOFT_SPAN` are taken for a lasting trouble."""
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
    """An address must not be written to.

    Attributes:
        channel: By what: ``email`` or ``sms``.
        address_hash: The address as an HMAC, see `runtime.derived_keys`; never itself.
        source: Who or what asks for it.
        suppressed_at: Since when.
        scope: The list that it is about, by its id or name; "" is all.
        evidence: What it rests on, such as a server's words; no address and no number.
    """

    channel: str
    address_hash: str
    source: Source
    suppressed_at: datetime
    scope: str = ""
    evidence: str = ""

    @property
    def words(self) -> str:
        """Why nothing is sent, for people: no address."""
        what = _SAID.get(self.source, "has been suppressed") + (f" from {self.scope}" if self.scope else "")
        return f"the address {what} ({self.source}, {self.suppressed_at:%Y-%m-%d})"


def stops(suppressions: Iterable[Suppression], purpose: Purpose, scopes: Collection[str] = ()) -> Suppression | None:
    """The suppression because of which a message must not go; None where it may.

    Args:
        suppressions: All of the address, on the message's channel.
        purpose: What the message's scenario is for.
        scopes: The lists that the message belongs to, by id or name; how they are capitalised makes no difference.

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
    """Whether so many soft bounces within `SOFT_SPAN` mean that the address is not to be written to any more."""
    return bounces >= SOFT_BOUNCES
