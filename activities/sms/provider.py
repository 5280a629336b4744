"""What a provider of text messages is, and which one the setting SCENARIO_SMS names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from runtime.errors import SettingsError

_FORM = "SCENARIO_SMS must look like twilio://sid:token@?from=+33… or be local:"


_SENDER: Final = re.compile(r"\+[1-9]\d{6,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}|MG[0-9a-f]{32}", re.ASCII)
"""Who may send, as Twilio has it: a number (E.164), a name or short code of eleven letters and digits at most, or a
messaging service's id."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text message.

    Attributes:
        id: The delivery id, the same on every attempt.
        to: The number, E.164.
        body: What it says.
        within: Seconds that the provider may take.
    """

    id: str
    to: str
    body: str
    within: float = 15.0


@dataclass(frozen=True)
class Receipt:
    """The provider has taken the message.

    Attributes:
        status: Its status code, if it has such.
        reference: Its own id of the message.
    """

    status: int | None = None
    reference: str = ""


class Provider(Protocol):
    """Sends text messages. One module a provider; nothing else knows how it is spoken to.

    Attributes:
        name: As failures and the log of deliveries name it.
        connections: How many messages may be under way at once. A worker takes as many SMS and no more, so that the
            others wait at Temporal and not within their time-out.
    """

    name: str
    connections: int

    async def send(self, message: Text) -> Receipt:
        """Hands one message over, once.

        Raises:
            ProviderError: See `activities.sms.errors`.
        """
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


def provider_from(url: str | None, inbox: Path) -> Provider | None:
    """The provider that the setting asks for; None where there is no setting.

    Args:
        url: SCENARIO_SMS: ``twilio://sid:token@?from=+33…`` or ``local:``.
        inbox: Folder of the local inbox.

    Raises:
        SettingsError: It cannot be read. The message does not quote it.
    """
    # Loaded when chosen: a worker needs one of them at most.
    if not url:
        return None
    if url == "local:":
        from activities.sms.local import Local

        return Local(inbox)
    try:
        parts = urlsplit(url)
        # A plus means itself here, not the blank that it is in a form.
        query = parse_qs(parts.query.replace("+", "%2B"), strict_parsing=True)
    except ValueError:
        raise SettingsError(_FORM) from None
    sender = query.pop("from", [])
    if parts.scheme != "twilio" or not parts.username or not parts.password or len(sender) != 1 or query:
        raise SettingsError(_FORM)
    if parts.hostname or parts.path not in ("", "/") or "#" in url or not _SENDER.fullmatch(sender[0].strip()):
        raise SettingsError(_FORM)
    from activities.sms.twilio import Twilio

    return Twilio(unquote(parts.username), unquote(parts.password), sender[0].strip())
