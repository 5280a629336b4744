"""The session of a person, which a key begins.

The cookie holds a random token, and the store only its digest: a copy of the store does not allow signing in. A
session ends after `LASTS`, if the person signs out, and if its key is revoked or expires.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.authentication import Keys
from runtime.api_keys import ApiKey, digest_of

LASTS: Final = timedelta(hours=12)  # lifetime of a session


@dataclass(frozen=True)
class Session:
    """A valid session."""

    key: ApiKey
    value: str  # the random token in the cookie

    @property
    def token(self) -> str:
        """The token that the forms of a page carry; a form on another site cannot know it.

        It differs in each answer: a constant secret in a compressed page could be guessed from the page's length by
        whoever chooses parts of its address (BREACH).
        """
        mask = secrets.token_bytes(len(self._secret))
        return mask.hex() + _xor(mask, self._secret).hex()

    def owns(self, token: str) -> bool:
        """Return True if a form's token is of this session, compared in constant time."""
        try:
            given = bytes.fromhex(token)
        except ValueError:
            return False
        size = len(self._secret)
        return len(given) == 2 * size and hmac.compare_digest(_xor(given[:size], given[size:]), self._secret)

    @property
    def _secret(self) -> bytes:
        return hmac.digest(self.value.encode(), b"form", "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


async def begin(keys: Keys, key: ApiKey, now: datetime) -> Session:
    """Begin a session for a verified key. Raise StoreError if the store cannot be reached."""
    session = Session(key, secrets.token_urlsafe())
    await keys.store.begin_session(digest_of(session.value), key.id, now, now + LASTS)
    return session


async def session_of(request: Request, keys: Keys) -> Session | None:
    """Return the valid session of a request, or None. Raise StoreError if the store cannot be reached."""
    value = request.cookies.get(_name(request))
    if value is None:
        return None
    identifier = await keys.store.key_of_session(digest_of(value), datetime.now(UTC))
    key = await keys.named(identifier) if identifier is not None else None
    return Session(key, value) if key is not None else None


async def end(request: Request, keys: Keys) -> None:
    """End the session of a request, for every copy of its cookie. Raise StoreError if the store cannot be reached."""
    await keys.store.end_session(digest_of(request.cookies.get(_name(request), "")))


def keep(request: Request, response: Response, session: Session) -> None:
    age = int(LASTS.total_seconds())
    response.set_cookie(_name(request), session.value, max_age=age, **_attributes(request))


def forget(request: Request, response: Response) -> None:
    response.delete_cookie(_name(request), **_attributes(request))


def is_from_here(request: Request) -> bool:
    """Return True if a form was sent by a page of this site, according to the browser.

    New browsers send Fetch Metadata, older ones the origin. A client that sends neither is not a browser, and has no
    other person's cookie.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _attributes(request: Request) -> dict[str, Any]:
    return {"path": "/", "secure": _is_secure(request), "httponly": True, "samesite": "strict"}


def _is_secure(request: Request) -> bool:
    """Return True if the browser used https, here or at a proxy in front.

    A client can lie about this, but no site can make another person's browser lie: that needs a CORS preflight. A liar
    gets a cookie that their own browser does not send.
    """
    in_front = request.headers.get("x-forwarded-proto", "").partition(",")[0]  # the outermost proxy is named first
    return "https" in (request.url.scheme, in_front.strip().lower())


def _name(request: Request) -> str:
    """Return the cookie's name. With the prefix, only this host can set it, over https (RFC 6265bis)."""
    return "__Host-session" if _is_secure(request) else "session"
