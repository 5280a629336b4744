"""The SMS provider of the setting SCENARIO_SMS."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from activities.sms.provider import ProviderBusy, Receipt, SmsProvider, TextMessage
from activities.sms.twilio import Twilio
from runtime.errors import SettingsError
from runtime.local import make_private
from runtime.public_links import PROVIDER_PATH
from runtime.settings import Settings


class LocalSms:
    """The local inbox: a folder, created with the first message."""

    name = "local"
    connections = 50

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    async def send(self, message: TextMessage) -> Receipt:
        """Write a message, ``{"id", "to", "text", "at"}``, atomically. Raise ProviderBusy if that fails."""
        try:
            name = await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise ProviderBusy(
                f"The local inbox cannot be written ({error.strerror}): check its folder", error="inbox_failed"
            ) from None
        return Receipt(reference=name)

    async def close(self, within: float) -> None:
        """Do nothing."""

    def _write(self, message: TextMessage) -> str:
        now = datetime.now(UTC)
        # The time first, so that names are in the order of sending; an attempt that is repeated gets its own file.
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{message.id}.json"
        content = {"id": message.id, "to": message.to, "text": message.body, "at": now.isoformat()}
        make_private(self._inbox)
        handle, path = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._inbox)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False, indent=2)
            Path(path).replace(self._inbox / name)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise
        return name


_FORM = "SCENARIO_SMS must look like twilio://sid:token@?from=+33… or be local:"


_SENDER: Final = re.compile(r"\+[1-9]\d{6,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}|MG[0-9a-f]{32}", re.ASCII)
"""A sender for Twilio: a number (E.164), a name or short code of at most eleven letters and digits, or a messaging
service's id.
"""


def provider_from(url: str | None, inbox: Path, statuses: str | None = None) -> SmsProvider | None:
    """Return the provider of SCENARIO_SMS, ``twilio://sid:token@?from=+33…`` or ``local:``, or None without it.

    It reports to the URL `statuses` what became of messages. Raise SettingsError, which does not quote the setting.
    """
    if not url:
        return None
    if url == "local:":
        return LocalSms(inbox)
    return Twilio(*_account(url), statuses=statuses)


def status_url(settings: Settings) -> str | None:
    """Return the URL for Twilio's status callbacks, or None if no gateway can receive them.

    Twilio refuses messages with a URL that is not public.
    """
    if settings.suppression_key is None or not (settings.callback_url or "").startswith("https://"):
        return None
    return f"{settings.callback_url}{PROVIDER_PATH}twilio"


def twilio_token(url: str | None) -> str | None:
    """Return the token by which the configured Twilio account signs, or None.

    Raise SettingsError like `provider_from`.
    """
    return _account(url)[1] if url and url != "local:" else None


def _account(url: str) -> tuple[str, str, str]:
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
