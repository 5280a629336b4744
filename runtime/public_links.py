"""Addresses that give strangers one right each: callback URLs, unsubscribe URLs and bounce addresses.

Each carries a token that proves the right, so nothing is stored. Tokens of URLs must never appear in a log, span, error
or history.

`{{ journey.callback_url }}` is ``<base>/callbacks/<token>``. Its holder can send events to that journey until the token
expires. The content of a token, which is about 110 characters long since it has to fit into a text message:

    expiry    5 bytes, Unix seconds
    root      16 bytes, the id of the journey's first run: a later journey may have the same workflow id
    delivery  16 bytes, the hash in the delivery's id
    journey   its workflow id in UTF-8

`{{ journey.unsubscribe_url }}` is ``<base>/u/<token>``, for a message's text and for one click (RFC 8058). The token
holds the recipient, the list and the contact. Its holder can unsubscribe that recipient. It never expires, since a
message may be read at any time.

``bounces+<token>@mail.example.com`` is the return path of one delivery (VERP), to which anyone can send a bounce. The
token identifies the delivery and proves, with the recipient's address that the bounce names, that this delivery was
sent to that address: it is the delivery's 128 bits and 80 bits of an HMAC over both. So no address is visible, and
only addresses that received a message can be suppressed. It is in Base32 in lower case (RFC 4648 §6), since some
servers change the case, and has 42 characters, so that the local part has at most 64 (RFC 5321 §4.5.3.1.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from runtime.derived_keys import ExpiredToken, SealedToken, derive_keys, suppression_keys
from runtime.errors import SettingsError
from runtime.settings import Settings, parse_key
from scenario.steps.registry import canonical_address

CALLBACK_LIFE: Final = timedelta(days=30)  # lifetime of a token, counted from the delivery's own time

_EXPIRY: Final = 5
_DELIVERY: Final = re.compile(r"msg_([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True)
class CallbackClaim:
    """The content of a callback token."""

    workflow_id: str
    root: str
    delivery_id: str
    expires: datetime  # end of its lifetime, UTC


class Callbacks:
    """Makes and verifies callback URLs, with the current key and then the previous ones."""

    def __init__(self, base_url: str, keys: Sequence[bytes]) -> None:
        self._base = base_url.rstrip("/")
        self._tokens = SealedToken(keys, "callback", "c1.")

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' callbacks, or None if they are not configured."""
        url, key = settings.callback_url, settings.callback_key
        if url is None and key is None:
            return None
        if url is None or key is None:
            missing = "SCENARIO_CALLBACK_URL" if url is None else "SCENARIO_CALLBACK_KEY"
            raise SettingsError(
                f"{missing} is missing: SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY are set together, or not at all"
            )
        keys = [parse_key(value) for value in (key, settings.callback_key_previous) if value is not None]
        return cls(url, keys)

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        """Return the URL of a delivery (``msg_…``) at its own time. Raise ValueError if an id is malformed."""
        found = _DELIVERY.fullmatch(delivery_id)
        if found is None or now.tzinfo is None or not workflow_id:
            raise ValueError("a callback address needs a journey's id, a delivery's id, and a time with a zone")
        expires = int((now + CALLBACK_LIFE).timestamp())
        ids = UUID(root).bytes + bytes.fromhex(found[1])
        token = self._tokens.seal(expires.to_bytes(_EXPIRY) + ids + workflow_id.encode())
        return f"{self._base}/callbacks/{token}"

    def verify(self, token: str, now: datetime) -> CallbackClaim:
        """Return the content of a token, or raise a `TokenError`."""
        content = self._tokens.open(token)
        expires = datetime.fromtimestamp(int.from_bytes(content[:_EXPIRY]), UTC)
        if now >= expires:
            raise ExpiredToken("the token has expired")
        root, delivery, journey = content[5:21], content[21:37], content[37:]
        return CallbackClaim(journey.decode(), str(UUID(bytes=root)), f"msg_{delivery.hex()}", expires)


PROVIDER_PATH: Final = "/inbound/events/"
"""Path at which providers report events, between the gateway's address and the provider's name."""
UNSUBSCRIBE_PATH: Final = "/u/"  # path of the URLs, between the gateway's address and the token


@dataclass(frozen=True)
class Subscriber:
    """A subscription that an unsubscribe URL ends."""

    channel: str  # ``email`` or ``sms``
    scope: str  # id or name of the list; "" for all marketing messages on the channel
    contact_id: str
    address: str = field(repr=False)


class Unsubscribing:
    """Makes and opens unsubscribe URLs; previous keys open those in messages already sent."""

    def __init__(self, base_url: str, keys: Sequence[bytes]) -> None:
        self._base = base_url.rstrip("/")
        self._tokens = SealedToken(keys, "unsubscribe token", "u1")

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' URLs, or None if SCENARIO_CALLBACK_URL or SCENARIO_SUPPRESSION_KEY is not set."""
        keys = suppression_keys(settings)
        return cls(settings.callback_url, keys) if keys and settings.callback_url is not None else None

    def url(self, subscriber: Subscriber) -> str:
        """Return the URL of a subscriber; always the same."""
        return f"{self._base}{UNSUBSCRIBE_PATH}{self._tokens.seal_fields(astuple(subscriber))}"

    def opened(self, token: str) -> Subscriber | None:
        """Return the subscriber of a token (the last segment of the URL), or None if it cannot be opened."""
        fields = self._tokens.open_fields(token)
        return None if fields is None else Subscriber(*fields)


_ID, _PROOF = 16, 10
_LENGTH: Final = 42
_CHANNEL: Final = "email"


class ReturnPaths:
    """Makes and verifies return paths, by adding tokens to an address: ``bounces@mail.example.com``."""

    def __init__(self, address: str, keys: Sequence[bytes]) -> None:
        self._local, _, self._domain = address.partition("@")
        self._keys = derive_keys(keys, "return path")
        token = rf"(?<![A-Za-z0-9_.+-]){re.escape(self._local)}\+([a-z2-7]{{{_LENGTH}}})@{re.escape(self._domain)}"
        self._form = re.compile(token.encode(), re.ASCII | re.IGNORECASE)

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Return the settings' return paths, or None if SCENARIO_BOUNCE_ADDRESS is not set."""
        if settings.bounce_address is None:
            return None
        if not (keys := suppression_keys(settings)):
            raise SettingsError("SCENARIO_BOUNCE_ADDRESS needs SCENARIO_SUPPRESSION_KEY, which is not set")
        return cls(settings.bounce_address, keys)

    def of(self, delivery_id: str, address: str) -> str:
        """Return the return path of a delivery (``msg_…``) to an address; always the same."""
        found = _DELIVERY.fullmatch(delivery_id)
        # The id of a test message has another form.
        identity = bytes.fromhex(found[1]) if found else hashlib.sha256(delivery_id.encode()).digest()[:_ID]
        raw = identity + self._proof(self._keys[0], identity, address)
        return f"{self._local}+{base64.b32encode(raw).rstrip(b'=').decode().lower()}@{self._domain}"

    def tokens(self, content: bytes) -> Iterator[str]:
        """Find possible tokens of return paths in a text."""
        for found in self._form.finditer(content):
            yield found[1].decode().lower()

    def proven(self, token: str, address: str) -> str | None:
        """Return the delivery of a token, or None if it was not made for a delivery to this address."""
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        identity, proof = raw[:_ID], raw[_ID:]
        for key in self._keys:
            if hmac.compare_digest(self._proof(key, identity, address), proof):
                return f"msg_{identity.hex()}"
        return None

    @staticmethod
    def _proof(key: bytes, identity: bytes, address: str) -> bytes:
        return hmac.digest(key, identity + canonical_address(_CHANNEL, address).encode(), hashlib.sha256)[:_PROOF]
