"""Amazon SES, by way of SNS: event publishing of a configuration set, or feedback notifications of an identity.

docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and …/notification-contents.html.

SNS signs its messages by certificate (docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html).
Everybody can have SNS sign a message of a topic of their own, so only the configured topics count. The URL of the
certificate is checked strictly before anything is dialled.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import load_pem_x509_certificate

from activities.email.message import CUSTOM
from gateway.providers.provider import (
    Bounce,
    Call,
    Forged,
    NotNow,
    ProviderEvent,
    Unreadable,
    bounced,
    delivery_in,
    moment,
    text_at,
)
from runtime.errors import SettingsError
from scenario.type_guards import is_mapping, list_or_empty, mapping_or_empty
from service.concurrency import RateLimit

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


class Ses:
    """Amazon SES, with the ARNs of SNS topics. `fetch` fetches certificates, and confirms subscriptions."""

    name: ClassVar[str] = "ses"

    def __init__(self, topics: Collection[str], fetch: Fetch) -> None:
        if not all(map(TOPIC.fullmatch, topics)):
            raise SettingsError(
                "SCENARIO_EVENTS_SES must be ARNs of SNS topics such as arn:aws:sns:eu-west-1:123456789012:mail, "
                "separated by commas"
            )
        self._messages = SignedMessages(topics, fetch)

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
    elif kind == "Subscription":
        wanted = mapping_or_empty(about.get("newTopicPreferences"))
        topics = [text_at(one, "subscriptionStatus") for one in list_or_empty(wanted.get("topicSubscriptionStatus"))]
        if wanted.get("unsubscribeAll") is not True and {*topics} != {"OptOut"}:
            return
    elif text_at(about, "complaintFeedbackType") == "not-spam":
        return
    yield ProviderEvent(
        name=name,
        delivery=delivery_in(*list_or_empty(mapping_or_empty(mail.get("tags")).get(CUSTOM)), *_message_ids(mail)),
        ids=(identifier,),
        at=moment(text_at(about, "timestamp")) or moment(published),
        address=address,
        **fields,
    )


def _message_ids(mail: Mapping[str, Any]) -> Iterator[str]:
    """Yield the Message-ID that we gave the message: `mail.messageId` is one of SES's own."""
    for header in list_or_empty(mail.get("headers")):
        if text_at(header, "name").lower() == "message-id":
            yield text_at(header, "value")
    yield text_at(mail, "commonHeaders", "messageId")


logger = logging.getLogger(__name__)
Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the body of a public URL's response with the status 200, or raises NotNow."""

TOPIC: Final = re.compile(r"arn:aws(?:-cn|-us-gov)?:sns:([a-z0-9-]{3,40}):[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)
"""ARN of a standard topic; its region."""
_CERTIFICATE: Final = re.compile(
    r"https://sns\.([a-z0-9-]{3,40})\.amazonaws\.com(?:\.cn)?/SimpleNotificationService-[0-9a-f]{1,128}\.pem", re.ASCII
)
_SIGNED: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SIGNED_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_HASHES: Final = {"1": SHA1, "2": SHA256}
_KEPT: Final = 16
_LIFE: Final = timedelta(days=1)
_FETCHES: Final = (20, 60.0)
"""Maximum number of certificates that are fetched per number of seconds. There is one per region at a time."""
_LONGEST_TOKEN: Final = 2_000


class Certificates:
    """Public keys of signing certificates, kept for a day, or longer if the certificate cannot be fetched again."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._keys: OrderedDict[str, tuple[RSAPublicKey, datetime, datetime]] = OrderedDict()  # fresh, and valid, until
        self._lock = asyncio.Lock()
        self._pace = RateLimit(*_FETCHES)

    async def key(self, url: str) -> RSAPublicKey:
        """Return the key of a certificate.

        Raise NotNow if it cannot be fetched, or Forged if it is no valid certificate.
        """
        async with self._lock:  # many messages may need a new one simultaneously: it is fetched once
            now = datetime.now(UTC)
            if (kept := self._keys.get(url)) is not None and now < kept[1]:
                return kept[0]
            try:
                certificate = load_pem_x509_certificate(await self._fetched(url))
                key = certificate.public_key()
            except NotNow:  # strangers can use up the fetches
                if kept is None or now >= kept[2]:
                    raise
                return kept[0]
            except ValueError:
                raise Forged from None
            is_valid = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
            if not isinstance(key, RSAPublicKey) or not is_valid:
                raise Forged
            end = certificate.not_valid_after_utc
            self._keys[url] = key, min(now + _LIFE, end), end
            self._keys.move_to_end(url)
            while len(self._keys) > _KEPT:
                self._keys.popitem(last=False)
            return key

    async def _fetched(self, url: str) -> bytes:
        if self._pace.take("certificates"):
            raise NotNow("too many certificates were asked for")
        return await self._fetch(url)


class SignedMessages:
    """Verifies SNS messages of some topics, named by their ARNs. `fetch` is that of `Ses`."""

    def __init__(self, topics: Collection[str], fetch: Fetch) -> None:
        self._topics, self._fetch = frozenset(topics), fetch
        self._certificates = Certificates(fetch)

    async def opened(self, data: Mapping[str, Any]) -> str | None:
        """Verify a message, and return the text of a notification, or None for a message of another type.

        A subscription to a configured topic is confirmed. Raise Forged if SNS has not signed it, or it belongs to
        another topic; NotNow if the certificate cannot be fetched, or the confirmation fails.
        """
        kind, topic, url = (text_at(data, name) for name in ("Type", "TopicArn", "SigningCertURL"))
        place, named = _CERTIFICATE.fullmatch(url), TOPIC.fullmatch(topic)
        if topic not in self._topics or place is None or named is None or place[1] != named[1]:
            raise Forged
        names = _SIGNED if kind == "Notification" else _SIGNED_CONFIRMATION
        signed = "".join(f"{name}\n{text}\n" for name in names if (text := text_at(data, name)))
        await self._verify(url, text_at(data, "SignatureVersion"), text_at(data, "Signature"), signed.encode())
        if kind == "UnsubscribeConfirmation":
            logger.warning("an SNS topic of SCENARIO_EVENTS_SES no longer reports here: subscribe it again")
        if kind == "SubscriptionConfirmation":
            await self._confirm(topic, text_at(data, "Token"), url.removeprefix("https://").partition("/")[0])
        return text_at(data, "Message") if kind == "Notification" else None

    async def _verify(self, url: str, version: str, signature: str, signed: bytes) -> None:
        algorithm = _HASHES.get(version)
        try:
            given = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raise Forged from None
        if algorithm is None:
            raise Forged
        key = await self._certificates.key(url)
        try:
            key.verify(given, signed, PKCS1v15(), algorithm())  # version 1 has SHA-1
        except InvalidSignature:
            raise Forged from None

    async def _confirm(self, topic: str, token: str, host: str) -> None:
        """Confirm a subscription at the host that signed for it: the URL in the message is not used."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            raise Forged
        query = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": token})
        await self._fetch(f"https://{host}/?{query}")
        logger.info("the subscription to an SNS topic of SCENARIO_EVENTS_SES is confirmed")
