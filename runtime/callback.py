"""Signed, expiring addresses by which a receiver tells one journey that something happened.

``{{ journey.callback_url }}`` is ``<base>/callbacks/<token>``. The token names one delivery of one journey, and who
holds it can do one thing: give that journey an event, until it expires. Nothing has to be stored to know it again.

A token is URL-safe base64 (RFC 4648 §5, without padding) of

    version   1 byte, 1
    expiry    5 bytes, Unix seconds
    root      16 bytes, the id of the journey's first run: a later journey of the same workflow id is another one
    delivery  16 bytes, the hash in the delivery's id
    journey   its workflow id in UTF-8
    mac       16 bytes: the left half of HMAC-SHA256 (RFC 2104 §5) over a label and all of the above

which is some 110 characters: it has to fit into a text message. It is a pure function of the delivery, so that every
attempt sends the same bytes.

Whoever sees an address can use it. It is in no log, span, error or history; keep it so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from runtime.errors import SettingsError
from runtime.settings import LEAST_KEY, Settings, callback_key

LIFE: Final = timedelta(days=30)
"""How long an address works, from the delivery's own time on."""

_LABEL: Final = b"scenario-runner callback\0"  # a key that also signs something else never gives a token
_VERSION: Final = b"\x01"
_EXPIRY, _ID, _MAC = 5, 16, 16
_HEAD: Final = len(_VERSION) + _EXPIRY + 2 * _ID
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{72,1024}", re.ASCII)
_DELIVERY: Final = re.compile(r"msg_([0-9a-f]{32})", re.ASCII)


class TokenError(Exception):
    """A token that opens nothing. No message quotes it.

    TokenError
    ├── MalformedToken  nothing that was ever given out looks like this
    ├── ForgedToken     signed with none of the keys
    └── ExpiredToken    it was good once
    """


class MalformedToken(TokenError):
    """Nothing that was ever given out looks like this."""


class ForgedToken(TokenError):
    """No key of ours signed it, or one that is no longer accepted."""


class ExpiredToken(TokenError):
    """It was good once."""


@dataclass(frozen=True)
class Claim:
    """What a good token says.

    Attributes:
        workflow_id: The journey.
        root: Its first run's id.
        delivery_id: The delivery that carried the address.
        expires: When it ceases to work, in UTC.
    """

    workflow_id: str
    root: str
    delivery_id: str
    expires: datetime


class Callbacks:
    """Gives out addresses, and knows them again.

    Args:
        base_url: What the gateway's own paths are appended to, as receivers reach it.
        keys: The key that signs, then those that are still accepted; at least 32 random bytes each.
        life: How long an address works.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, base_url: str, keys: Sequence[bytes], life: timedelta = LIFE) -> None:
        if not keys or any(len(key) < LEAST_KEY for key in keys):
            raise ValueError(f"callbacks need a key, of at least {LEAST_KEY} bytes")
        self._base = base_url.rstrip("/")
        self._keys = tuple(keys)
        self._life = life

    @classmethod
    def configured(cls, settings: Settings) -> Self | None:
        """Those of the settings; None where nothing is set.

        Raises:
            SettingsError: Only one of address and key is set.
        """
        url, key = settings.callback_url, settings.callback_key
        if url is None and key is None:
            return None
        if url is None or key is None:
            missing = "SCENARIO_CALLBACK_URL" if url is None else "SCENARIO_CALLBACK_KEY"
            raise SettingsError(
                f"{missing} is missing: SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY are set together, or not at all"
            )
        keys = [callback_key(value) for value in (key, settings.callback_key_previous) if value is not None]
        return cls(url, keys)

    def __repr__(self) -> str:
        return f"Callbacks({len(self._keys)} keys)"

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        """The address that a delivery carries.

        Args:
            workflow_id: The journey's.
            root: The id of its first run, a UUID.
            delivery_id: ``msg_…``.
            now: The delivery's own time, with a zone; not the attempt's.

        Raises:
            ValueError: One of the ids is none.
        """
        found = _DELIVERY.fullmatch(delivery_id)
        if found is None or now.tzinfo is None or not workflow_id:
            raise ValueError("a callback address needs a journey's id, a delivery's id, and a time with a zone")
        expires = int((now + self._life).timestamp())
        ids = UUID(root).bytes + bytes.fromhex(found[1])
        body = _VERSION + expires.to_bytes(_EXPIRY) + ids + workflow_id.encode()
        return f"{self._base}/callbacks/{_encode(body + _mac(self._keys[0], body))}"

    def verify(self, token: str, now: datetime) -> Claim:
        """What a token says.

        Args:
            token: The address's last segment.
            now: With a zone.

        Raises:
            MalformedToken: It is none.
            ForgedToken: It is not ours.
            ExpiredToken: It is too old.
        """
        raw = _decode(token)
        body, mac = raw[:-_MAC], raw[-_MAC:]
        # Every key is tried, whichever fits: how long it takes says nothing.
        matches = [hmac.compare_digest(mac, _mac(key, body)) for key in self._keys]
        if not any(matches):
            raise ForgedToken("the token is not signed with one of our keys")
        expires = datetime.fromtimestamp(int.from_bytes(body[1 : 1 + _EXPIRY]), UTC)
        if now >= expires:
            raise ExpiredToken("the token has expired")
        ids = body[1 + _EXPIRY : _HEAD]
        return Claim(body[_HEAD:].decode(), str(UUID(bytes=ids[:_ID])), f"msg_{ids[_ID:].hex()}", expires)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _LABEL + body, hashlib.sha256)[:_MAC]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    if not _TOKEN.fullmatch(token) or len(token) % 4 == 1:
        raise MalformedToken("this is not a token")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    # Unused bits of the last character make a second spelling of the same bytes: only one was given out.
    if _encode(raw) != token or len(raw) <= _HEAD + _MAC or raw[:1] != _VERSION:
        raise MalformedToken("this is not a token")
    return raw
