"""The header by which a provider of e-mail returns our delivery id with its events; see `gateway/providers/`.

Most providers replace the Message-ID, or leave it out of some events. Each removes its own header, and the others would
deliver it, so the mail server's name decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from activities.email.message import Envelope

CUSTOM: Final = "scenario_delivery"
"""Name of the custom value."""
_HEADERS: Final[tuple[tuple[str, str, Callable[[str], str]], ...]] = (
    ("amazonaws.com", "X-SES-MESSAGE-TAGS", f"{CUSTOM}={{}}".format),
    ("sendgrid.net", "X-SMTPAPI", lambda delivery: json.dumps({"unique_args": {CUSTOM: delivery}})),
    ("mailgun.org", "X-Mailgun-Variables", lambda delivery: json.dumps({CUSTOM: delivery})),
    ("postmarkapp.com", f"X-PM-Metadata-{CUSTOM}", str),
    ("brevo.com", "X-Mailin-custom", lambda delivery: json.dumps({CUSTOM: delivery})),
    ("sendinblue.com", "X-Mailin-custom", lambda delivery: json.dumps({CUSTOM: delivery})),
)
"""Domain of the mail server, name of the header, and its value for a delivery id."""


def tagged(envelope: Envelope, host: str, delivery_id: str) -> Envelope:
    """Return the message with the header that its mail server's provider reads, if it is one of those."""
    for domain, name, value in _HEADERS:
        if f".{host.lower()}".endswith(f".{domain}"):
            header = f"{name}: {value(delivery_id)}\r\n".encode()
            return replace(envelope, message=header + envelope.message)
    return envelope
