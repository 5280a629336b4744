"""What a mail server's reply says about the address that a mail went to, rather than about us (RFC 3463, RFC 5248).

An address is suppressed for what is about *it*. What may be about the sender never counts, not even as a passing
trouble: a sender that is blocked somewhere (5.7.1, 4.7.x) would otherwise lose all its contacts there within a week.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from scenario.policies.suppression import SOFT

BOUNCE: Final = "bounce"
STOP: Final = "stop"

_ENHANCED: Final = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)", re.ASCII)
_DEAD: Final = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
"""Of class 5: no such mailbox, no such domain, no address at all, moved away, a domain that takes no mail (RFC 7505),
a mailbox that is closed."""
_PASSING: Final = frozenset({"2.0", "2.2", "4.1", "4.4", "4.7"})
"""Of either class: trouble with the mailbox, a full one, a host that does not answer or that no route leads to, a mail
that was tried until its time was over. Exchange says 5.4.1 of mailboxes that do not exist, too."""
_PASSING_FOR_NOW: Final = frozenset({"1.1", "2.1"})
"""Of class 4, besides."""
_MAILBOX: Final = frozenset({550, 551, 553})
_UNKNOWN: Final = re.compile(
    r"user unknown|unknown (?:user|recipient|mailbox)|no such (?:user|recipient|mailbox|address|person)"
    r"|(?:user|mailbox|recipient|address|account)(?: \S{1,320})? (?:not found|does(?: not|n't) exist)|no mailbox",
    re.IGNORECASE,
)
"""How servers without enhanced statuses say 5.1.1."""


class AddressVerdict(NamedTuple):
    """What a receiver says against an address.

    Attributes:
        source: ``bounce``: it is no good. ``soft``: a passing trouble, once it has outlasted all attempts. ``stop``:
            its owner wants nothing.
        evidence: What that rests on, in codes: a server's words often hold the address.
    """

    source: Literal["bounce", "soft", "stop"]
    evidence: str


def against(code: int | None, words: str) -> AddressVerdict | None:
    """What a reply says against the address; None where it says nothing, or may be about us.

    Args:
        code: The reply code (RFC 5321 §4.2), if there is one.
        words: The reply's text, which begins with an enhanced status where the server knows them.
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
