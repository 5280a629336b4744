"""Events that providers report about messages: their names, and the properties that conditions may use.

The gateway verifies and maps them (`gateway/providers/`), and sends them to the journey that sent the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scenario.source.findings import near

_OF_ALL: Final = ("delivery", "provider", "step")

PROVIDER_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email.delivered": _OF_ALL,
    "email.opened": _OF_ALL,
    "email.clicked": _OF_ALL,
    "email.bounced": (*_OF_ALL, "code", "type"),
    "email.complained": _OF_ALL,
    "email.unsubscribed": _OF_ALL,
    "sms.delivered": _OF_ALL,
    "sms.failed": (*_OF_ALL, "code"),
    "whatsapp.sent": _OF_ALL,
    "whatsapp.delivered": _OF_ALL,
    "whatsapp.read": _OF_ALL,
    "whatsapp.failed": (*_OF_ALL, "code"),
}
"""Properties by event. None of them identifies a contact.

- ``step``, ``delivery``: the step that sent the message, and its delivery id.
- ``provider``: the name of the provider.
- ``code``: the provider's or the mail server's code for the reason, such as ``550 5.1.1``; empty if there is none.
- ``type``: ``hard``, ``soft`` or ``blocked``: the address is invalid, is unreachable for now, or is not to blame.
"""
_SYNONYMS: Final = {
    "email.spam": "email.complained",
    "email.failed": "email.bounced",
    "email.read": "email.opened",
    "sms.undelivered": "sms.failed",
    "whatsapp.undelivered": "whatsapp.failed",
    "whatsapp.seen": "whatsapp.read",
}


def suggested_event(name: str) -> str | None:
    """Return the provider's event that a similar name means, or None."""
    channel, dot, what = name.partition(".")
    if not dot or name in PROVIDER_EVENTS:
        return None
    known = [one.removeprefix(f"{channel}.") for one in PROVIDER_EVENTS if one.startswith(f"{channel}.")]
    found = near(what, known)
    return _SYNONYMS.get(name) or (f"{channel}.{found}" if found else None)
