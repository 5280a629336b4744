"""Providers of text messages: Twilio, also with answers to messages, and WhatsApp's Cloud API.

- Twilio: ``POST /inbound/twilio`` takes answers, of which STOP and START have an effect. The URL for statuses is sent
  along with each message: twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks. Twilio signs
  requests (twilio.com/docs/usage/security): HMAC-SHA1 over URL and parameters, with the account's token.
- WhatsApp (developers.facebook.com/documentation/business-messaging/whatsapp/webhooks) signs by HMAC-SHA256 with the
  app's secret. A message returns its ``biz_opaque_callback_data`` in its statuses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.service import RPCError

from activities.sms.twilio import DELIVERY, address_verdict
from activities.suppressions import Suppressor
from gateway.providers.provider import Call, Forged, ProviderEvent, code_of, delivery_in, moment, text_at
from gateway.public_calls import RefusedCall, is_one_of, read_body, refusal, shortly
from runtime.derived_keys import AddressHashes
from runtime.store import Store, StoreError
from scenario.errors import BadRecipient
from scenario.policies.suppression import STOP
from scenario.type_guards import list_or_empty, mapping_or_empty

logger = logging.getLogger(__name__)
PATH: Final = "/inbound/twilio"
MAX_BODY: Final = 64 * 1024  # maximum bytes of a body
PATIENCE: Final = 10.0  # seconds for it to arrive
_CHANNEL: Final = "sms"
_STOP: Final = frozenset(
    {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "ARRET", "ARRÊT"}
)
_START: Final = frozenset({"START", "UNSTOP", "YES"})  # Twilio's own words for stopping and starting, and French ones
_NOTHING: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'  # TwiML that sends no answer


class InboundTexts:
    """The route. Signatures include the gateway's public URL, given without the path."""

    def __init__(self, url: str, token: str, suppressor: Suppressor, store: Store, hashes: AddressHashes) -> None:
        self._url, self._token = f"{url.rstrip('/')}{PATH}", token.encode()
        self._suppressor, self._store, self._hashes = suppressor, store, hashes

    @property
    def routes(self) -> list[Route]:
        return [Route(PATH, self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        try:
            body = await read_body(request, MAX_BODY, patience=PATIENCE, names=("the message", "a message"))
            form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200)
        except (RefusedCall, ValueError):
            return refusal(400, "this is not a message from Twilio")
        if not is_signed(self._token, self._url, form, request.headers.get("x-twilio-signature", "")):
            return refusal(403, "the signature is not that of SCENARIO_SMS's account")
        said = dict(form)
        word = (said.get("OptOutType") or said.get("Body", "")).strip().upper()
        try:
            if word in _STOP:
                number = said.get("From", "")
                found = await self._suppressor.suppress(_CHANNEL, number, STOP, "an answer to a text message")
                await self._suppressor.notify(found, number)
                logger.info("a number has answered STOP")
            elif word in _START:
                hashes = self._hashes.of(_CHANNEL, said.get("From", ""))
                gone = await self._store.unsuppress(_CHANNEL, hashes, source=STOP)
                logger.info("a number has answered START: %d suppressions are taken back", len(gone))
        except BadRecipient:
            logger.info("a short code or a name has answered, not a number")
        except (StoreError, RPCError) as error:
            logger.warning("an answer to a text message cannot be taken now: %s", shortly(error))
            return refusal(503, "the answer cannot be taken now")
        return Response(_NOTHING, media_type="text/xml")


def is_signed(token: bytes, url: str, form: list[tuple[str, str]], signature: str) -> bool:
    what = url + "".join(f"{name}{value}" for name, value in sorted(set(form)))
    made = base64.b64encode(hmac.digest(token, what.encode(), hashlib.sha1))
    return hmac.compare_digest(made, signature.encode())


_OF_TWILIO: Final = {"delivered": "sms.delivered", "undelivered": "sms.failed", "failed": "sms.failed"}


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
        if (name := _OF_TWILIO.get(status)) is None:
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


_OF_WHATSAPP: Final = {status: f"whatsapp.{status}" for status in ("sent", "delivered", "read", "failed")}
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


class WhatsApp:
    """WhatsApp's Cloud API. `verify_token` is that of the request by which Meta verifies the URL."""

    name: ClassVar[str] = "whatsapp"

    def __init__(self, secrets: Sequence[str], verify_token: str) -> None:
        self._secrets, self._token = [secret.encode() for secret in secrets], verify_token

    def answer(self, query: Mapping[str, str]) -> str:
        """Return the challenge of a verification request, or raise Forged."""
        challenge = query.get("hub.challenge", "")
        is_asked = query.get("hub.mode") == "subscribe" and _CHALLENGE.fullmatch(challenge) is not None
        if not is_one_of(query.get("hub.verify_token", ""), [self._token]) or not is_asked:
            raise Forged
        return challenge

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        given = call.headers.get("x-hub-signature-256", "").removeprefix("sha256=").encode()
        made = [hmac.digest(secret, call.body, hashlib.sha256).hex().encode() for secret in self._secrets]
        if not any(hmac.compare_digest(given, one) for one in made):
            raise Forged
        found: list[ProviderEvent] = []
        for entry in list_or_empty(call.object.get("entry")):
            for change in list_or_empty(mapping_or_empty(entry).get("changes")):
                value = mapping_or_empty(mapping_or_empty(change).get("value"))
                for status in list_or_empty(value.get("statuses")):
                    found += self._events(mapping_or_empty(status))
        return found

    def _events(self, status: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        kind = text_at(status, "status")
        if (name := _OF_WHATSAPP.get(kind)) is None:
            return
        errors = list_or_empty(status.get("errors"))
        yield ProviderEvent(
            name=name,
            delivery=delivery_in(status.get("biz_opaque_callback_data")),
            ids=(f"{text_at(status, 'id')}/{kind}",),
            at=moment(status.get("timestamp")),
            code=code_of(text_at(errors[0], "code")) if errors else "",
        )
