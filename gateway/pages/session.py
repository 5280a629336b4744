"""The session of a person: begun by showing a key, kept in a cookie, and nowhere else.

The cookie's value is ``<key id>.<expiry>.<HMAC>``, keyed with what is kept of the key's secret. So nothing is stored,
every process of the gateway takes it, and it ends when the key is revoked or expires. Signing out deletes the cookie;
revoking the key ends all its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypedDict
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.authentication import Keys
from runtime.api_key import ApiKey

LASTS: Final = timedelta(hours=12)
"""How long a session does."""


@dataclass(frozen=True)
class Session:
    """A session that is good.

    Attributes:
        key: The key that began it.
        value: The cookie's.
    """

    key: ApiKey
    value: str

    @property
    def token(self) -> str:
        """What every form of this session carries; a form on another site cannot know it."""
        return _sign(self.key, f"form.{self.value}")

    def owns(self, token: str) -> bool:
        """Whether a token is this session's, compared in constant time."""
        return hmac.compare_digest(token.encode(), self.token.encode())


def begin(key: ApiKey, now: datetime) -> Session:
    """A session for who has shown a key."""
    ends = int((now + LASTS).timestamp())
    said = f"{key.id}.{ends}"
    return Session(key, f"{said}.{_sign(key, f'session.{said}')}")


async def session_of(request: Request, keys: Keys) -> Session | None:
    """The session that a request is of; None where there is none that is good.

    Raises:
        StoreError: The store cannot be asked.
    """
    value = request.cookies.get(_name(request), "")
    said, _, signature = value.rpartition(".")
    identifier, _, ends = said.partition(".")
    if not ends.isascii() or not ends.isdigit() or len(value) > _LONGEST:
        return None
    key = await keys.named(identifier)
    if key is None or int(ends) <= datetime.now(UTC).timestamp():
        return None
    good = hmac.compare_digest(signature.encode(), _sign(key, f"session.{said}").encode())
    return Session(key, value) if good else None


def keep(request: Request, response: Response, session: Session) -> None:
    """Lets the browser keep a session."""
    age = int(LASTS.total_seconds())
    response.set_cookie(_name(request), session.value, max_age=age, **_attributes(request))


def forget(request: Request, response: Response) -> None:
    """Lets the browser forget its session."""
    response.delete_cookie(_name(request), **_attributes(request))


def is_from_here(request: Request) -> bool:
    """Whether a form was sent by a page of this site, as far as the browser says.

    Browsers say so themselves (Fetch Metadata), older ones only where a request comes from. What says neither is no
    browser, and has nobody's cookie.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


_LONGEST: Final = 200


class _Attributes(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def _sign(key: ApiKey, text: str) -> str:
    return hmac.new(key.digest.encode(), text.encode(), hashlib.sha256).hexdigest()


def _attributes(request: Request) -> _Attributes:
    return {"path": "/", "secure": _is_secure(request), "httponly": True, "samesite": "strict"}


def _is_secure(request: Request) -> bool:
    """Whether the browser came by https, here or at a proxy in front.

    Anybody can say so who sends a request, and no site can let another's browser say so: it would have to ask first.
    Who lies gets a cookie that his own browser does not send.
    """
    return request.url.scheme == "https" or _said_in_front(request) == "https"


def _said_in_front(request: Request) -> str:
    """How the browser came to the outermost proxy, which is named first."""
    return request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()


def _name(request: Request) -> str:
    """The cookie's. With the prefix no other host, nor anybody on the way to one, can set it (RFC 6265bis)."""
    return "__Host-session" if _is_secure(request) else "session"
