"""Request, response and progress of one attempt: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from activities.webhook.errors import RefusedError
from scenario.http import urls
from scenario.http.addresses import Access
from scenario.http.urls import Target


@dataclass(frozen=True, slots=True)
class Tls:
    """Trusted authorities and client certificate, as PEM files. Changed files are read again.

    Attributes:
        ca_file: Trusted authorities *instead of* the public ones, or None.
        cert_file: Client certificate with its chain, or None.
        key_file: Its private key; None if `cert_file` holds both.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


MAX_BODY: Final = 64 * 1024
"""Maximum bytes of a response, as transferred; the connection is closed on more."""


@dataclass(frozen=True, slots=True)
class Request:
    """The request of one attempt. Its ``repr`` shows no secret and no payload.

    Attributes:
        method: ``POST``, ``PUT``, …
        url: Absolute, rendered; checked again here.
        headers: All but framing headers, which the transport sets.
        body: The exact bytes.
        timeout: Seconds for everything: DNS, connection, request, response.
        access: The destination's access.
        tls: Trusted authorities and client certificate.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 15.0
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class Response:
    """The response of one attempt. The status is certain; the body may be incomplete.

    Attributes:
        status: The final status; interim responses are skipped.
        headers: Some headers (`lanes.KEPT_HEADERS`) by lower-case names.
        body: At most `MAX_BODY` bytes, not decompressed.
        truncated: True if there was more than `MAX_BODY`.
        body_error: ``body_timeout`` or ``body_broken`` if the body ended early, else None.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    truncated: bool = False
    body_error: str | None = None

    @property
    def complete(self) -> bool:
        """True if the whole body is there, without an encoding."""
        plain = self.headers.get("content-encoding", "identity").lower() == "identity"
        return plain and not self.truncated and self.body_error is None


def parse(url: str, access: Access) -> Target:
    """Return the URL as it will be sent.

    Args:
        url: Absolute, rendered.
        access: The destination's access.

    Raises:
        RefusedError: ``refused_url`` or ``refused_address``. The message does not quote the URL.
    """
    try:
        return urls.parse(url, access)
    except urls.UrlError as error:
        refused = error
    if refused.is_address:
        raise RefusedError("refused_address")
    raise RefusedError("refused_url", detail=refused.reason)


class Phase(IntEnum):
    """The phase of an attempt, in order. From `SENDING` on, the receiver may have seen it."""

    QUEUED = 0
    RESOLVING = 1
    CONNECTING = 2
    HANDSHAKE = 3
    SENDING = 4


@dataclass(slots=True)
class Flight:
    """One attempt in progress.

    Attributes:
        target: Its target.
        phase: Its phase.
        denied: True if a forbidden address was rejected before dialling.
    """

    target: Target
    phase: Phase = Phase.QUEUED
    denied: bool = False


CURRENT: ContextVar[Flight] = ContextVar("attempt")
"""The attempt of the current task or callback."""


def reached(phase: Phase) -> None:
    """Record the current attempt's phase; it never goes back."""
    flight = CURRENT.get(None)
    if flight is not None:
        flight.phase = max(flight.phase, phase)
