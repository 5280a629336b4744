"""Where a webhook is really sent to, and what that place is allowed to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from activities.webhook.destinations.destinations import Destination
from activities.webhook.destinations.watch import VARIABLE, DestinationsFile
from activities.webhook.http.exchange import Tls
from activities.webhook.throttle.limits import Limits
from scenario.errors import NotConfigured
from scenario.http.access import Access


class UnknownDestination(NotConfigured):
    """A scenario sends to a destination that this worker does not know."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a receiver.

    Attributes:
        url: Absolute. Of a named destination its base URL; else the rendered one, unless deliveries are led elsewhere.
        destination: What failures, logs and Temporal's UI call the receiver: its host, or a destination's name.
        access: Where the request may go.
        tls: Whom to trust and who we are.
        limits: How gently it is treated.
        named: The destination itself, whose headers and signature are added; None for a plain URL.
    """

    url: str = field(repr=False)
    destination: str
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    named: Destination | None = None

    @property
    def server(self) -> dict[str, str | int]:
        """Host and port as spans have them; empty for a URL that is none."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or {"http": 80}.get(parts.scheme, 443)
        except ValueError:
            return {}
        return {"server.address": parts.hostname, "server.port": port} if parts.hostname else {}


class Routes(Protocol):
    """Finds the way to a receiver."""

    def find(self, url: str) -> Route:
        """Return the way for a rendered URL."""
        ...

    def named(self, name: str) -> Route:
        """Return the way to a destination.

        Raises:
            UnknownDestination: There is none of this name.
        """
        ...

    def granted(self, to: str | None) -> frozenset[str] | None:
        """Return the names of the secrets that a step may name which sends there; None = any.

        Args:
            to: The destination that the step names; None = it has a plain URL.
        """
        ...


class Direct:
    """Where scenarios and `destinations.yaml` say: a URL as it is, to public addresses only; a name by the book."""

    def __init__(self, destinations: DestinationsFile | None = None) -> None:
        self._destinations = destinations or DestinationsFile()

    def find(self, url: str) -> Route:
        """Return the URL itself, treated as the book's default says."""
        return Route(url=url, destination=urlsplit(url).hostname or "", limits=self._destinations.book.limits)

    def named(self, name: str) -> Route:
        """Return the destination of this name, as it is now.

        Raises:
            UnknownDestination: There is none.
        """
        found = self._destinations.book.get(name)
        if found is None:
            missing = (
                f"the file that {VARIABLE} names has no destination '{name}': add it there, or correct the scenario"
                if self._destinations.configured
                else f"the webhook goes to destination '{name}', and {VARIABLE} is not set: "
                "set it to a destinations.yaml that has this destination"
            )
            raise UnknownDestination(missing)
        return Route(
            url=found.url, destination=name, access=found.access, tls=found.tls, limits=found.limits, named=found
        )

    def granted(self, to: str | None) -> frozenset[str] | None:
        """What the file of destinations grants; without one, nobody has said anything."""
        return self._destinations.book.listing.granted(to) if self._destinations.configured else None


class Diverted:
    """Leads every webhook to one local receiver, so that a trial run reaches nobody and needs no `destinations.yaml`.

    The path begins with the host that was meant, ``http://127.0.0.1:4000/hooks.example.com/wax/9f31``, or with the
    destination's name, ``http://127.0.0.1:4000/wax/messages``.

    Args:
        base: The receiver's origin, ``http://127.0.0.1:4000``.
        refuses: Gives the origin of something that refuses connections, for a path at the receiver that it does not
            take at present; else None.
    """

    def __init__(self, base: str, refuses: Callable[[str], str | None] | None = None) -> None:
        self._base = base.rstrip("/")
        self._refuses = refuses

    def find(self, url: str) -> Route:
        """Return the same path and query at the local receiver."""
        parts = urlsplit(url)
        host, query = parts.hostname or "", f"?{parts.query}" if parts.query else ""
        return self._route(f"/{host}{parts.path or '/'}", query, host)

    def named(self, name: str) -> Route:
        """Return a folder of this name at the local receiver, whatever the name."""
        return self._route(f"/{name}", "", name)

    def granted(self, to: str | None) -> frozenset[str] | None:
        """Any: nothing leaves this machine."""

    def _route(self, path: str, query: str, destination: str) -> Route:
        origin = (self._refuses and self._refuses(path)) or self._base
        access = Access(allow_private=True, allow_http=True, ports=(urlsplit(origin).port or 80,))
        return Route(url=f"{origin}{path}{query}", destination=destination, access=access)
