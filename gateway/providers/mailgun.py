"""Mailgun's webhooks, signed with HMAC-SHA256 over a timestamp and a token.

documentation.mailgun.com/docs/mailgun/user-manual/webhooks. The signature does not cover the event, so no token has
an effect twice, and none has one after a week.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from activities.email.message import CUSTOM
from gateway.providers.provider import Call, Forged, ProviderEvent, Unreadable, bounced, delivery_in, moment, text_at
from scenario.type_guards import mapping_or_empty

_NAMES: Final = {
    "delivered": "email.delivered",
    "opened": "email.opened",
    "clicked": "email.clicked",
    "failed": "email.bounced",
    "complained": "email.complained",
    "unsubscribed": "email.unsubscribed",
}
_HARD: Final = frozenset({"bounce", "suppress-bounce"})  # reasons of permanent failures that are about the address


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
        item = mapping_or_empty(data.get("event-data"))
        return list(_events(item, token, signed))


def _events(item: Mapping[str, Any], token: str, signed: datetime) -> Iterator[ProviderEvent]:
    name = _NAMES.get(text_at(item, "event"))
    fields: dict[str, Any] = {}
    if name == "email.bounced":
        if text_at(item, "severity") != "permanent":
            return  # it tries again
        reason = text_at(item, "reason")
        words = f"{text_at(item, 'delivery-status', 'code')} {text_at(item, 'delivery-status', 'message')}"
        fields = bounced(words, otherwise="hard" if reason in _HARD else "blocked", code=reason)
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
