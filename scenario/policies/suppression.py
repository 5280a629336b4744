"""Suppressed addresses: reasons, the messages that they stop, and replies of mail servers that suppress one.

An address is suppressed only for its own errors (RFC 3463, RFC 5248). Anything that may concern the sender never
counts: a blocked sender (5.7.1, 4.7.x) would otherwise lose all contacts of a provider within a week.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

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
    imported: bool = False
    """True if it was read from a file, which the journal names in its place."""

    @property
    def words(self) -> str:
        """The reason for people, without the address."""
        what = _SAID.get(self.source, "has been suppressed") + (f" from {self.scope}" if self.scope else "")
        return f"the address {what} ({self.source}, {self.suppressed_at:%Y-%m-%d})"


def stops(suppressions: Iterable[Suppression], purpose: Purpose, scopes: Collection[str] = ()) -> Suppression | None:
    """Return the suppression that stops a message, or None: of several the one that stops most, then the oldest.

    `scopes` are the message's lists by id or name, in any case.
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


BOUNCE: Final = "bounce"
STOP: Final = "stop"

_ENHANCED: Final = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)", re.ASCII)
_DEAD: Final = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
"""Statuses of class 5: no mailbox, no domain, no address, moved, a domain without mail (RFC 7505), a closed mailbox."""
_PASSING: Final = frozenset({"2.0", "2.2", "4.1", "4.4", "4.7"})
"""Statuses of either class: a mailbox in trouble or full, an unreachable host, an expired message.

Exchange also uses 5.4.1 for mailboxes that do not exist.
"""
_PASSING_FOR_NOW: Final = frozenset({"1.1", "2.1"})
"""Further statuses of class 4."""
_MAILBOX: Final = frozenset({550, 551, 553})
_UNKNOWN: Final = re.compile(
    r"user unknown|unknown (?:user|recipient|mailbox)|no such (?:user|recipient|mailbox|address|person)"
    r"|(?:user|mailbox|recipient|address|account)(?: \S{1,320})? (?:not found|does(?: not|n't) exist)|no mailbox",
    re.IGNORECASE,
)
"""Texts of servers without enhanced statuses that mean 5.1.1."""


class AddressVerdict(NamedTuple):
    """A receiver's verdict on an address."""

    source: Literal["bounce", "soft", "stop"]
    """``bounce``: invalid. ``soft``: temporarily unreachable, after all attempts. ``stop``: opted out."""
    evidence: str
    """Codes only: a server's words often contain the address."""


def against(code: int | None, words: str) -> AddressVerdict | None:
    """Return the verdict of a reply (RFC 5321 §4.2) on the address, or None if it has none or may concern the sender.

    The reply's text begins with an enhanced status if the server supports them.
    """
    found = _ENHANCED.search(words)
    evidence = " ".join(filter(None, [str(code or ""), found[0] if found else ""]))
    if found is None:
        return AddressVerdict(BOUNCE, evidence) if code in _MAILBOX and _UNKNOWN.search(words) else None
    permanent, detail = found[1] == "5", f"{int(found[2])}.{int(found[3])}"
    if permanent and detail in _DEAD:
        return AddressVerdict(BOUNCE, evidence)
    if detail in _PASSING or (not permanent and detail in _PASSING_FOR_NOW):
        return AddressVerdict(SOFT, evidence)
    return None
