"""Classifies replies of mail servers: is the recipient's address at fault, or the sender (RFC 3463, RFC 5248)?

An address is suppressed only for its own errors. Anything that may concern the sender never counts: a blocked
sender (5.7.1, 4.7.x) would otherwise lose all contacts of a provider within a week.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from scenario.policies.suppression import SOFT

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
