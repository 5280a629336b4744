"""Statuses of WhatsApp's Cloud API, signed with HMAC-SHA256 by the app's secret.

developers.facebook.com/documentation/business-messaging/whatsapp/webhooks: a message returns its
``biz_opaque_callback_data`` in its statuses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from gateway.limits import is_one_of
from gateway.providers.provider import Call, Forged, ProviderEvent, code_of, delivery_in, moment, text_at
from scenario.type_guards import list_or_empty, mapping_or_empty

_NAMES: Final = {status: f"whatsapp.{status}" for status in ("sent", "delivered", "read", "failed")}
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
        return [
            event
            for entry in list_or_empty(call.object.get("entry"))
            for change in list_or_empty(mapping_or_empty(entry).get("changes"))
            for status in list_or_empty(mapping_or_empty(mapping_or_empty(change).get("value")).get("statuses"))
            for event in _events(mapping_or_empty(status))
        ]


def _events(status: Mapping[str, Any]) -> Iterator[ProviderEvent]:
    kind = text_at(status, "status")
    if (name := _NAMES.get(kind)) is None:
        return
    errors = list_or_empty(status.get("errors"))
    yield ProviderEvent(
        name=name,
        delivery=delivery_in(status.get("biz_opaque_callback_data")),
        ids=(f"{text_at(status, 'id')}/{kind}",),
        at=moment(status.get("timestamp")),
        code=code_of(text_at(errors[0], "code")) if errors else "",
    )
