"""Requests to the APIs of platforms, and the interface of those that suppressed addresses are reported to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from scenario.extensions import SUPPRESSION_PRESETS, load_extensions

JSON: Final = "application/json"


class PlatformRequest(NamedTuple):
    """A request; `path` follows the destination's URL."""

    method: str
    path: str
    body: bytes
    content_type: str = JSON


def with_own_headers(own: Mapping[str, str], content_type: str = JSON) -> dict[str, str]:
    """Return the headers of a request: a destination's own, and those that JSON needs."""
    taken = {name.lower() for name in own}
    needed = {"content-type": content_type, "accept": JSON}
    return {name: value for name, value in needed.items() if name not in taken} | dict(own)


class Rejection(NamedTuple):
    """A response that does not accept an address."""

    duplicate: bool  # True if the platform had the address already
    codes: tuple[str, ...]  # the platform's error codes. Never its messages, which quote addresses.


class SuppressionPreset(Protocol):
    """The requests and responses of one platform's API."""

    def path(self, channel: str) -> str:
        """Return the path of the request, relative to the destination's URL."""
        ...

    def body(self, address: str) -> bytes: ...

    def rejection(self, content: Any, address: str) -> Rejection | None:
        """Return the rejection in a response's JSON, or None if it accepts the address or does not mention it."""
        ...


def installed_presets() -> Mapping[str, SuppressionPreset]:
    """Return the installed presets, by their names in `destinations.yaml`."""
    return load_extensions(SUPPRESSION_PRESETS)
