"""Twilio's status callbacks of text messages, whose URL is sent along with each message.

twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks and …/docs/usage/security.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from activities.sms.twilio import DELIVERY, address_verdict
from gateway.inbound.twilio import is_signed
from gateway.providers.provider import Call, Forged, ProviderEvent, code_of, delivery_in

_NAMES: Final = {"delivered": "sms.delivered", "undelivered": "sms.failed", "failed": "sms.failed"}


class TwilioStatus:
    """Twilio, with the account's token."""

    name: ClassVar[str] = "twilio"

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        try:
            form = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=200)
        except ValueError:
            raise Forged from None
        if not is_signed(self._token, call.url, form, call.headers.get("x-twilio-signature", "")):
            raise Forged
        said = dict(form)
        status = said.get("MessageStatus", "")
        if (name := _NAMES.get(status)) is None:
            return []
        failed, code = name == "sms.failed", said.get("ErrorCode", "")
        event = ProviderEvent(
            name=name,
            delivery=delivery_in(*parse_qs(urlsplit(call.url).query).get(DELIVERY, ())),
            ids=(f"{said.get('MessageSid', '')}/{status}",),
            address=said.get("To", ""),
            code=code_of(code) if failed else "",
            against=address_verdict(int(code)) if failed and code.isascii() and code.isdecimal() else None,
        )
        return [event]
