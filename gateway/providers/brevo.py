"""Brevo's transactional webhooks, with a secret as a bearer token or as the password of basic authentication.

developers.brevo.com/docs/transactional-webhooks and …/docs/username-and-password-authentication.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from gateway.inbound.secret import is_authorized
from gateway.providers.provider import Bounce, Call, Forged, ProviderEvent, bounced, delivery_in, moment, text_at

_NAMES: Final = {
    "delivered": "email.delivered",
    **dict.fromkeys(("opened", "unique_opened", "proxy_open", "unique_proxy_open"), "email.opened"),
    "click": "email.clicked",
    **dict.fromkeys(("hard_bounce", "soft_bounce", "blocked", "invalid_email", "error"), "email.bounced"),
    **dict.fromkeys(("spam", "complaint"), "email.complained"),
    **dict.fromkeys(("unsubscribed", "list_addition_unsubscribed"), "email.unsubscribed"),
}
_BOUNCES: Final[Mapping[str, Bounce]] = {"hard_bounce": "hard", "invalid_email": "hard", "soft_bounce": "soft"}


class Brevo:
    """Brevo."""

    name: ClassVar[str] = "brevo"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        if not is_authorized(call.headers.get("authorization", ""), self._secrets):
            raise Forged
        return [event for item in call.objects for event in _events(item)]


def _events(item: Mapping[str, Any]) -> Iterator[ProviderEvent]:
    kind = text_at(item, "event")
    if (name := _NAMES.get(kind)) is None:
        return
    fields: dict[str, Any] = {}
    if name == "email.bounced":
        fields = bounced(text_at(item, "reason"), otherwise=_BOUNCES.get(kind, "blocked"), code=kind)
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
