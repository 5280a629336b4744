"""Postmark's webhooks, with a secret as the password of basic authentication, or in a header.

postmarkapp.com/developer/webhooks/webhooks-overview.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from activities.email.message import CUSTOM
from gateway.inbound.secret import is_authorized
from gateway.providers.provider import Bounce, Call, Forged, ProviderEvent, bounced, delivery_in, moment, text_at
from scenario.type_guards import mapping_or_empty

_NAMES: Final = {
    "Delivery": "email.delivered",
    "Open": "email.opened",
    "Click": "email.clicked",
    "Bounce": "email.bounced",
    "SpamComplaint": "email.complained",
    "SubscriptionChange": "email.unsubscribed",
}
_BOUNCES: Final[Mapping[str, Bounce]] = {
    **dict.fromkeys(("HardBounce", "BadEmailAddress", "AddressChange"), "hard"),
    **dict.fromkeys(("SoftBounce", "DnsError", "Undeliverable"), "soft"),
    **dict.fromkeys(
        ("Blocked", "SpamNotification", "DMARCPolicy", "VirusNotification", "TemplateRenderingFailed"), "blocked"
    ),
    **dict.fromkeys(("ManuallyDeactivated", "SMTPApiError", "InboundError", "Unknown"), "blocked"),
}
"""Types of bounces. Others, such as automatic replies, are none."""
_TIMES: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")


class Postmark:
    """Postmark."""

    name: ClassVar[str] = "postmark"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        if not is_authorized(call.headers.get("authorization", ""), self._secrets):
            raise Forged
        item = call.object
        kind, name = text_at(item, "RecordType"), _NAMES.get(text_at(item, "RecordType"))
        fields: dict[str, Any] = {}
        if kind == "Bounce":
            if (otherwise := _BOUNCES.get(text_at(item, "Type"))) is None:
                return []
            fields = bounced(text_at(item, "Details"), otherwise=otherwise, code=text_at(item, "Type"))
        elif kind == "SubscriptionChange" and (
            item.get("SuppressSending") is not True or text_at(item, "SuppressionReason") != "ManualSuppression"
        ):
            return []  # bounces and complaints have events of their own
        if name is None:
            return []
        at = next((text_at(item, key) for key in _TIMES if text_at(item, key)), "")
        event = ProviderEvent(
            name=name,
            delivery=delivery_in(mapping_or_empty(item.get("Metadata")).get(CUSTOM)),
            # Only bounces have ids.
            ids=("/".join((kind, text_at(item, "MessageID"), text_at(item, "ID"), at)),),
            at=moment(at),
            address=text_at(item, "Email") or text_at(item, "Recipient"),
            **fields,
        )
        return [event]
