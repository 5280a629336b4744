"""Where a rendered URL is really sent to, and what that place is allowed to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from activities.webhook.access import Access, Tls


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a receiver.

    Attributes:
        url: Absolute; the rendered one, unless the deliveries are led elsewhere.
        destination: What failures, logs and Temporal's UI call the receiver: its host, or a destination's name.
        access: Where the request may go.
        tls: Whom to trust and who we are.
    """

    url: str
    destination: str
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)


class Routes(Protocol):
    """Finds the way to a receiver."""

    def find(self, url: str) -> Route:
        """The way for a rendered URL."""
        ...


class Direct:
    """The plain case: the URL as it is, HTTPS to public addresses only."""

    def find(self, url: str) -> Route:
        """The URL itself."""
        return Route(url=url, destination=urlsplit(url).hostname or "")


class Diverted:
    """Leads every webhook to one local receiver, so that a trial run reaches nobody.

    The path begins with the host that was meant: ``http://127.0.0.1:4000/hooks.example.com/wax/9f31``.

    Args:
        base: The receiver's origin, ``http://127.0.0.1:4000``.
    """

    def __init__(self, base: str) -> None:
        port = urlsplit(base).port or 80
        self._base = base.rstrip("/")
        self._access = Access(allow_private=True, allow_http=True, ports=(port,))

    def find(self, url: str) -> Route:
        """The same path and query at the local receiver."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return Route(
            url=f"{self._base}/{parts.hostname or ''}{parts.path or '/'}{query}",
            destination=parts.hostname or "",
            access=self._access,
        )
