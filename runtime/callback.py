"""Sealed, expiring URLs with which a receiver sends an event to one journey.

``{{ journey.callback_url }}`` is ``<base>/callbacks/<token>``. Its holder can send events to that journey until the
token expires, and do nothing else. Nothing is stored. Tokens must never appear in a log, span, error or history.

The content of a token, which is about 110 characters long since it has to fit into a text message:

    expiry    5 bytes, Unix seconds
    root      16 bytes, the id of the journey's first run: a later journey may have the same workflow id
    delivery  16 bytes, the hash in the delivery's id
    journey   its workflow id in UTF-8
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from runtime.errors import SettingsError
from runtime.sealed_token import ExpiredToken, SealedToken
from runtime.settings import Settings, parse_key

LIFE: Final = timedelta(days=30)
"""Lifetime of a token, counted from the delivery's own time."""

_EXPIRY: Final = 5
_DELIVERY: Final = re.compile(r"msg_([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True)
class CallbackClaim:
    """The content of a callback token.

    Attributes:
        expires: End of its lifetime, UTC.
    """

    workflow_id: str
    root: str
    delivery_id: str
    expires: datetime


class Callbacks:
    """Makes and verifies callback URLs.

    Args:
        keys: The current key, then the previous ones; at least 32 random bytes each.

    Raises:
        ValueError: There is no key, or one is too short.
    """

    def __init__(self, base_url: str, keys: Sequence[bytes], life: timedelta = LIFE) -> None:
        self._base, self._life = base_url.rstrip("/"), life
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
        """Return the URL of a delivery.

        Args:
            delivery_id: ``msg_…``.
            now: The delivery's own time, with a zone; not the attempt's.

        Raises:
            ValueError: An id is malformed.
        """
        found = _DELIVERY.fullmatch(delivery_id)
        if found is None or now.tzinfo is None or not workflow_id:
            raise ValueError("a callback address needs a journey's id, a delivery's id, and a time with a zone")
        expires = int((now + self._life).timestamp())
        ids = UUID(root).bytes + bytes.fromhex(found[1])
        token = self._tokens.seal(expires.to_bytes(_EXPIRY) + ids + workflow_id.encode())
        return f"{self._base}/callbacks/{token}"

    def verify(self, token: str, now: datetime) -> CallbackClaim:
        """Return the content of a token.

        Raises:
            MalformedToken: The text does not have the form of a token.
            ForgedToken: The token was not made with any of the keys.
        """
        content = self._tokens.open(token)
        expires = datetime.fromtimestamp(int.from_bytes(content[:_EXPIRY]), UTC)
        if now >= expires:
            raise ExpiredToken("the token has expired")
        root, delivery, journey = content[5:21], content[21:37], content[37:]
        return CallbackClaim(journey.decode(), str(UUID(bytes=root)), f"msg_{delivery.hex()}", expires)
