"""The provider of text messages that the setting SCENARIO_SMS names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from activities.sms.local import LocalSms
from activities.sms.provider import Provider
from activities.sms.twilio import Twilio
from runtime.errors import SettingsError

_FORM = "SCENARIO_SMS must look like twilio://sid:token@?from=+33… or be local:"


_SENDER: Final = re.compile(r"\+[1-9]\d{6,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}|MG[0-9a-f]{32}", re.ASCII)
"""Who may send, as Twilio has it: a number (E.164), a name or short code of eleven letters and digits at most, or a
messaging service's id."""


def provider_from(url: str | None, inbox: Path) -> Provider | None:
    """The provider that the setting asks for; None where there is no setting.

    Args:
        url: SCENARIO_SMS: ``twilio://sid:token@?from=+33…`` or ``local:``.
        inbox: Folder of the local inbox.

    Raises:
        SettingsError: It cannot be read. The message does not quote it.
    """
    if not url:
        return None
    if url == "local:":
        return LocalSms(inbox)
    return Twilio(*_account(url))


def twilio_token(url: str | None) -> str | None:
    """The secret of the account of Twilio's that the setting names, by which Twilio signs; None where it names none.

    Raises:
        SettingsError: It cannot be read. The message does not quote it.
    """
    return _account(url)[1] if url and url != "local:" else None


def _account(url: str) -> tuple[str, str, str]:
    """Id, token and sender."""
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
    return unquote(parts.username), unquote(parts.password), sender[0].strip()
