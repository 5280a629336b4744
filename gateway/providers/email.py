"""Providers of e-mail: Brevo, Mailgun, Postmark and SendGrid. Amazon SES, which needs certificates, is `ses`.

- Brevo (developers.brevo.com/docs/transactional-webhooks and …/docs/username-and-password-authentication): a secret as
  a bearer token, or as the password of basic authentication.
- Mailgun (documentation.mailgun.com/docs/mailgun/user-manual/webhooks): HMAC-SHA256 over a timestamp and a token. The
  signature does not cover the event, so no token has an effect twice, and none has one after a week.
- Postmark (postmarkapp.com/developer/webhooks/webhooks-overview): a secret as Brevo's.
- SendGrid (twilio.com/docs/sendgrid/for-developers/tracking-events/event and
  …/getting-started-event-webhook-security-features): ECDSA over P-256 and SHA-256. The signature covers the timestamp
  in the header and the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from activities.email.message import CUSTOM
from gateway.providers.provider import (
    Bounce,
    Call,
    Forged,
    ProviderEvent,
    Unreadable,
    bounced,
    delivery_in,
    moment,
    text_at,
)
from gateway.public_calls import is_authorized
from runtime.errors import SettingsError
from scenario.type_guards import mapping_or_empty

_OF_BREVO: Final = {
    "delivered": "email.delivered",
    **dict.fromkeys(("opened", "unique_opened", "proxy_open", "unique_proxy_open"), "email.opened"),
    "click": "email.clicked",
    **dict.fromkeys(("hard_bounce", "soft_bounce", "blocked", "invalid_email", "error"), "email.bounced"),
    **dict.fromkeys(("spam", "complaint"), "email.complained"),
    **dict.fromkeys(("unsubscribed", "list_addition_unsubscribed"), "email.unsubscribed"),
}
_BREVO_BOUNCES: Final[Mapping[str, Bounce]] = {"hard_bounce": "hard", "invalid_email": "hard", "soft_bounce": "soft"}
_OF_MAILGUN: Final = {
    "delivered": "email.delivered",
    "opened": "email.opened",
    "clicked": "email.clicked",
    "failed": "email.bounced",
    "complained": "email.complained",
    "unsubscribed": "email.unsubscribed",
}
_MAILGUN_HARD: Final = frozenset({"bounce", "suppress-bounce"})
"""Reasons of permanent failures that are about the address."""
_OF_POSTMARK: Final = {
    "Delivery": "email.delivered",
    "Open": "email.opened",
    "Click": "email.clicked",
    "Bounce": "email.bounced",
    "SpamComplaint": "email.complained",
    "SubscriptionChange": "email.unsubscribed",
}
_POSTMARK_BOUNCES: Final[Mapping[str, Bounce]] = {
    **dict.fromkeys(("HardBounce", "BadEmailAddress", "AddressChange"), "hard"),
    **dict.fromkeys(("SoftBounce", "DnsError", "Undeliverable"), "soft"),
    **dict.fromkeys(
        ("Blocked", "SpamNotification", "DMARCPolicy", "VirusNotification", "TemplateRenderingFailed"), "blocked"
    ),
    **dict.fromkeys(("ManuallyDeactivated", "SMTPApiError", "InboundError", "Unknown"), "blocked"),
}
"""Types of bounces. Others, such as automatic replies, are none."""
_POSTMARK_TIMES: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")
_OF_SENDGRID: Final = {
    "delivered": "email.delivered",
    "open": "email.opened",
    "click": "email.clicked",
    **dict.fromkeys(("bounce", "dropped"), "email.bounced"),
    "spamreport": "email.complained",
    **dict.fromkeys(("unsubscribe", "group_unsubscribe"), "email.unsubscribed"),
}
_SENDGRID_HARD: Final = frozenset({"bounced address", "invalid"})
"""Reasons of dropped messages that are about the address, in lower case."""


class Brevo:
    """Brevo, with secrets."""

    name: ClassVar[str] = "brevo"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        if not is_authorized(call.headers.get("authorization", ""), self._secrets):
            raise Forged
        return [event for item in call.objects for event in self._events(item)]

    def _events(self, item: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        kind = text_at(item, "event")
        if (name := _OF_BREVO.get(kind)) is None:
            return
        fields: dict[str, Any] = {}
        if name == "email.bounced":
            fields = bounced(text_at(item, "reason"), otherwise=_BREVO_BOUNCES.get(kind, "blocked"), code=kind)
        at = text_at(item, "ts_epoch") or text_at(item, "ts_event")
        yield ProviderEvent(
            name=name,
            delivery=delivery_in(item.get("X-Mailin-custom"), item.get("message-id")),
            # `id` is that of the webhook.
            ids=("/".join((kind, text_at(item, "message-id"), at)),),
            at=moment(at),
            address=text_at(item, "email"),
            **fields,
        )


class Mailgun:
    """Mailgun, with HTTP webhook signing keys."""

    name: ClassVar[str] = "mailgun"

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        data = call.object
        stamp, token = text_at(data, "signature", "timestamp"), text_at(data, "signature", "token")
        given = text_at(data, "signature", "signature").encode()
        made = [hmac.digest(key, (stamp + token).encode(), hashlib.sha256).hex().encode() for key in self._keys]
        if not (stamp and token) or not any(hmac.compare_digest(given, one) for one in made):
            raise Forged
        signed = moment(stamp)
        if signed is None:
            raise Unreadable("its signature has no time")
        return list(self._events(mapping_or_empty(data.get("event-data")), token, signed))

    def _events(self, item: Mapping[str, Any], token: str, signed: datetime) -> Iterator[ProviderEvent]:
        name, fields = _OF_MAILGUN.get(text_at(item, "event")), dict[str, Any]()
        if name == "email.bounced":
            if text_at(item, "severity") != "permanent":
                return  # it tries again
            reason = text_at(item, "reason")
            words = f"{text_at(item, 'delivery-status', 'code')} {text_at(item, 'delivery-status', 'message')}"
            fields = bounced(words, otherwise="hard" if reason in _MAILGUN_HARD else "blocked", code=reason)
        if name is None:
            return
        custom = mapping_or_empty(item.get("user-variables")).get(CUSTOM)
        headers = mapping_or_empty(mapping_or_empty(item.get("message")).get("headers"))
        yield ProviderEvent(
            name=name,
            delivery=delivery_in(custom, headers.get("message-id")),
            ids=tuple(filter(None, (token, text_at(item, "id")))),
            # Its own time is not signed.
            at=min(signed, moment(item.get("timestamp")) or signed),
            address=text_at(item, "recipient"),
            **fields,
        )


class Postmark:
    """Postmark, with secrets."""

    name: ClassVar[str] = "postmark"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        if not is_authorized(call.headers.get("authorization", ""), self._secrets):
            raise Forged
        return list(self._events(call.object))

    def _events(self, item: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        kind = text_at(item, "RecordType")
        name, fields = _OF_POSTMARK.get(kind), dict[str, Any]()
        if kind == "Bounce":
            if (otherwise := _POSTMARK_BOUNCES.get(text_at(item, "Type"))) is None:
                return
            fields = bounced(text_at(item, "Details"), otherwise=otherwise, code=text_at(item, "Type"))
        elif kind == "SubscriptionChange" and (
            item.get("SuppressSending") is not True or text_at(item, "SuppressionReason") != "ManualSuppression"
        ):
            return  # bounces and complaints have events of their own
        if name is None:
            return
        at = next((text_at(item, key) for key in _POSTMARK_TIMES if text_at(item, key)), "")
        yield ProviderEvent(
            name=name,
            delivery=delivery_in(mapping_or_empty(item.get("Metadata")).get(CUSTOM)),
            # Only bounces have ids.
            ids=("/".join((kind, text_at(item, "MessageID"), text_at(item, "ID"), at)),),
            at=moment(at),
            address=text_at(item, "Email") or text_at(item, "Recipient"),
            **fields,
        )


class SendGrid:
    """SendGrid, with verification keys as its settings show them: DER in base64."""

    name: ClassVar[str] = "sendgrid"

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_public_key(key) for key in keys]

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        stamp = call.headers.get("x-twilio-email-event-webhook-timestamp", "")
        self._verify(call.headers.get("x-twilio-email-event-webhook-signature", ""), stamp.encode() + call.body)
        return [event for item in call.objects for event in self._events(item)]

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

    def _events(self, item: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        kind = text_at(item, "event")
        if (name := _OF_SENDGRID.get(kind)) is None:
            return
        reason, fields = text_at(item, "reason"), dict[str, Any]()
        if kind == "bounce":
            otherwise = "blocked" if item.get("type") == "blocked" else "hard"
            words = f"{reason} {text_at(item, 'status')}"
            fields = bounced(words, otherwise=otherwise, code=text_at(item, "bounce_classification"))
        elif kind == "dropped":
            fields = bounced("", otherwise="hard" if reason.lower() in _SENDGRID_HARD else "blocked", code=reason)
        unnamed = "/".join(text_at(item, key) for key in ("sg_message_id", "event", "timestamp", "email"))
        yield ProviderEvent(
            name=name,
            delivery=delivery_in(item.get(CUSTOM), item.get("smtp-id")),
            ids=(text_at(item, "sg_event_id") or unnamed,),
            at=moment(item.get("timestamp")),
            address=text_at(item, "email"),
            **fields,
        )


def _public_key(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise SettingsError("SCENARIO_EVENTS_SENDGRID must be the verification key that SendGrid's settings show")
    return key
