"""Amazon SES, by way of SNS: event publishing of a configuration set, or feedback notifications of an identity.

docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and …/notification-contents.html.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from typing_extensions import override

from activities.email.provider_tag import CUSTOM
from gateway.providers.provider import (
    Bounce,
    Call,
    Provider,
    ProviderEvent,
    Unreadable,
    bounced,
    delivery_in,
    moment,
    text_at,
)
from gateway.providers.sns import TOPIC, Fetch, SignedMessages
from runtime.errors import SettingsError
from scenario.type_guards import is_mapping, list_or_empty, mapping_or_empty

_NAMES: Final = {
    "Delivery": "email.delivered",
    "Open": "email.opened",
    "Click": "email.clicked",
    "Bounce": "email.bounced",
    "Complaint": "email.complained",
    "Subscription": "email.unsubscribed",
}
_BOUNCES: Final[Mapping[tuple[str, str], Bounce]] = {
    **{("Permanent", sub): "hard" for sub in ("General", "NoEmail", "Suppressed", "OnAccountSuppressionList")},
    ("Transient", "MailboxFull"): "soft",
}
"""Bounces that are about the address, by type and subtype. Automatic replies are Transient and General."""


class Ses(Provider):
    """Amazon SES.

    Args:
        topics: ARNs of SNS topics.
        fetch: Fetches certificates, and confirms subscriptions.
    """

    name: ClassVar[str] = "ses"

    def __init__(self, topics: Collection[str], fetch: Fetch) -> None:
        if not all(map(TOPIC.fullmatch, topics)):
            raise SettingsError(
                "SCENARIO_EVENTS_SES must be ARNs of SNS topics such as arn:aws:sns:eu-west-1:123456789012:mail, "
                "separated by commas"
            )
        self._messages = SignedMessages(topics, fetch)

    @override
    async def read(self, call: Call) -> Sequence[ProviderEvent]:
        message = await self._messages.opened(call.object)
        if message is None:
            return []
        try:
            data = json.loads(message)
        except (ValueError, RecursionError):
            return []  # SES confirms in words that it may publish to a topic
        if not is_mapping(data):
            raise Unreadable("the message is not a JSON object")
        return list(_events(data, text_at(call.object, "MessageId"), text_at(call.object, "Timestamp")))


def _events(data: Mapping[str, Any], identifier: str, published: str) -> Iterator[ProviderEvent]:
    kind = text_at(data, "eventType") or text_at(data, "notificationType")
    if (name := _NAMES.get(kind)) is None:
        return
    about, mail = mapping_or_empty(data.get(kind.lower())), mapping_or_empty(data.get("mail"))
    address, fields = next(iter(map(text_at, list_or_empty(mail.get("destination")))), ""), dict[str, Any]()
    if kind == "Bounce":
        # Each of our messages has one recipient.
        recipient = next(iter(list_or_empty(about.get("bouncedRecipients"))), None)
        address = text_at(recipient, "emailAddress") or address
        classified = text_at(about, "bounceType"), text_at(about, "bounceSubType")
        words = f"{text_at(recipient, 'diagnosticCode')} {text_at(recipient, 'status')}"
        fields = bounced(words, otherwise=_BOUNCES.get(classified, "blocked"), code=" ".join(classified))
    elif text_at(about, "complaintFeedbackType") == "not-spam" or (
        kind == "Subscription" and not _opted_out(mapping_or_empty(about.get("newTopicPreferences")))
    ):
        return
    yield ProviderEvent(
        name=name,
        delivery=delivery_in(*_custom(mail), *_message_ids(mail)),
        ids=(identifier,),
        at=moment(text_at(about, "timestamp")) or moment(published),
        address=address,
        **fields,
    )


def _opted_out(preferences: Mapping[str, Any]) -> bool:
    topics = [text_at(one, "subscriptionStatus") for one in list_or_empty(preferences.get("topicSubscriptionStatus"))]
    return preferences.get("unsubscribeAll") is True or bool(topics and all(one == "OptOut" for one in topics))


def _custom(mail: Mapping[str, Any]) -> list[Any]:
    return list_or_empty(mapping_or_empty(mail.get("tags")).get(CUSTOM))


def _message_ids(mail: Mapping[str, Any]) -> Iterator[str]:
    """Yield the Message-ID that we gave the message: `mail.messageId` is one of SES's own."""
    for header in list_or_empty(mail.get("headers")):
        if text_at(header, "name").lower() == "message-id":
            yield text_at(header, "value")
    yield text_at(mail, "commonHeaders", "messageId")
