"""SendGrid's Event Webhook, signed with ECDSA over P-256 and SHA-256.

twilio.com/docs/sendgrid/for-developers/tracking-events/event and …/getting-started-event-webhook-security-features. The
signature covers the timestamp in the header and the body.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from activities.email.message import CUSTOM
from gateway.providers.provider import Call, Forged, ProviderEvent, bounced, delivery_in, moment, text_at
from runtime.errors import SettingsError

_NAMES: Final = {
    "delivered": "email.delivered",
    "open": "email.opened",
    "click": "email.clicked",
    "bounce": "email.bounced",
    "dropped": "email.bounced",
    "spamreport": "email.complained",
    "unsubscribe": "email.unsubscribed",
    "group_unsubscribe": "email.unsubscribed",
}
_INVALID: Final = frozenset({"bounced address", "invalid"})
"""Reasons of dropped messages that are about the address, in lower case."""


class SendGrid:
    """SendGrid, with verification keys as its settings show them: DER in base64."""

    name: ClassVar[str] = "sendgrid"

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_public_key(key) for key in keys]

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        stamp = call.headers.get("x-twilio-email-event-webhook-timestamp", "")
        self._verify(call.headers.get("x-twilio-email-event-webhook-signature", ""), stamp.encode() + call.body)
        return [event for item in call.objects for event in _events(item)]

    def _verify(self, signature: str, signed: bytes) -> None:
        try:
            given = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raise Forged from None
        for key in self._keys:
            try:
                key.verify(given, signed, ECDSA(SHA256()))
            except InvalidSignature:
                continue
            return
        raise Forged


def _public_key(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise SettingsError("SCENARIO_EVENTS_SENDGRID must be the verification key that SendGrid's settings show")
    return key


def _events(item: Mapping[str, Any]) -> Iterator[ProviderEvent]:
    kind = text_at(item, "event")
    if (name := _NAMES.get(kind)) is None:
        return
    fields: dict[str, Any] = {}
    if kind == "bounce":
        otherwise = "blocked" if item.get("type") == "blocked" else "hard"
        words = f"{text_at(item, 'reason')} {text_at(item, 'status')}"
        fields = bounced(words, otherwise=otherwise, code=text_at(item, "bounce_classification"))
    elif kind == "dropped":
        reason = text_at(item, "reason")
        fields = bounced("", otherwise="hard" if reason.lower() in _INVALID else "blocked", code=reason)
    yield ProviderEvent(
        name=name,
        delivery=delivery_in(item.get(CUSTOM), item.get("smtp-id")),
        ids=(text_at(item, "sg_event_id") or _unnamed(item),),
        at=moment(item.get("timestamp")),
        address=text_at(item, "email"),
        **fields,
    )


def _unnamed(item: Mapping[str, Any]) -> str:
    return "/".join(text_at(item, key) for key in ("sg_message_id", "event", "timestamp", "email"))
