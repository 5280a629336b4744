"""The real target of a webhook, and its permissions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from activities.webhook.destinations.destinations import Destination
from activities.webhook.destinations.reading import VARIABLE, DestinationsFile
from activities.webhook.http.exchange import Tls
from activities.webhook.limiter import Limits
from scenario.errors import NotConfigured
from scenario.http.urls import Access


class UnknownDestination(NotConfigured):
    """A scenario sends to a destination that this worker does not know."""


@dataclass(frozen=True, slots=True)
class Route:
    """The route to a receiver."""

    url: str = field(repr=False)  # absolute: a destination's base URL, the rendered URL, or a local replacement
    destination: str  # name of the receiver in failures, logs and Temporal's UI: its host, or the destination
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    named: Destination | None = None  # the destination, which adds headers and signatures, or None for a plain URL

    @property
    def server(self) -> dict[str, str | int]:
        """Host and port for spans; empty for a malformed URL."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or {"http": 80}.get(parts.scheme, 443)
        except ValueError:
            return {}
        return {"server.address": parts.hostname, "server.port": port} if parts.hostname else {}


class Routes(Protocol):
    """Finds the way to a receiver."""

    def find(self, url: str) -> Route: ...

    def named(self, name: str) -> Route:
        """Return the route to a destination, or raise UnknownDestination."""
        ...

    def granted(self, to: str | None) -> frozenset[str] | None:
        """Return the secrets that a step may send to a destination (None for a plain URL), or None for any."""
        ...


class Direct:
    """Routes of production: an unchanged URL, to public addresses only; a destination by `destinations.yaml`."""

    def __init__(self, destinations: DestinationsFile | None = None) -> None:
        self._destinations = destinations or DestinationsFile()

    def find(self, url: str) -> Route:
        return Route(url=url, destination=urlsplit(url).hostname or "", limits=self._destinations.book.limits)

    def named(self, name: str) -> Route:
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
        return self._destinations.book.listing.granted(to) if self._destinations.configured else None


class Diverted:
    """Routes to one local receiver, so that a trial run reaches no real receiver and needs no `destinations.yaml`.

    The path begins with the intended host, ``http://127.0.0.1:4000/hooks.example.com/wax/9f31``, or with the
    destination's name, ``http://127.0.0.1:4000/wax/messages``. For some paths, `refuses` returns an origin that refuses
    connections.
    """

    def __init__(self, base: str, refuses: Callable[[str], str | None] | None = None) -> None:
        self._base = base.rstrip("/")
        self._refuses = refuses

    def find(self, url: str) -> Route:
        parts = urlsplit(url)
        host, query = parts.hostname or "", f"?{parts.query}" if parts.query else ""
        return self._route(f"/{host}{parts.path or '/'}", query, host)

    def named(self, name: str) -> Route:
        return self._route(f"/{name}", "", name)

    def granted(self, to: str | None) -> frozenset[str] | None:
        """Any: nothing leaves this machine."""

    def _route(self, path: str, query: str, destination: str) -> Route:
        origin = (self._refuses and self._refuses(path)) or self._base
        access = Access(allow_private=True, allow_http=True, ports=(urlsplit(origin).port or 80,))
        return Route(url=f"{origin}{path}{query}", destination=destination, access=access)
