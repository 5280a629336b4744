"""One HTTP request and its response, as plain data, and how far the request has got."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from activities.webhook.errors import RefusedError
from scenario.http import urls
from scenario.http.access import Access
from scenario.http.urls import Target


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates to trust and our own client certificate, as PEM files. They are read again when they change.

    Attributes:
        ca_file: Trust these authorities *instead of* the public ones; None = the public ones.
        cert_file: Our client certificate with its chain, or None.
        key_file: Its private key, or None if `cert_file` holds both.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


MAX_BODY: Final = 64 * 1024
"""Bytes of a response that are read, as they come over the wire; the connection is closed on more."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one attempt sends. Its ``repr`` shows no secret and no payload.

    Attributes:
        method: ``POST``, ``PUT``, …
        url: Absolute, rendered; judged again here.
        headers: All but those about framing, which the transport sets itself.
        body: The exact bytes.
        timeout: Seconds for everything: DNS, connection, request, response.
        access: Where it may go.
        tls: Whom to trust and who we are.
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
    """What came back. The status is certain; the body is what could be had of it.

    Attributes:
        status: Of the final response; interim ones are skipped.
        headers: Lower-case names; the few of `lanes.KEPT_HEADERS`.
        body: At most `MAX_BODY` bytes, raw: not decompressed, whatever ``content-encoding`` says.
        truncated: There was more than `MAX_BODY`.
        body_error: ``body_timeout`` or ``body_broken`` where the body ended early, else None.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    truncated: bool = False
    body_error: str | None = None

    @property
    def complete(self) -> bool:
        """True if the whole body is there, unencoded, so that it can be read as JSON."""
        plain = self.headers.get("content-encoding", "identity").lower() == "identity"
        return plain and not self.truncated and self.body_error is None


def parse(url: str, access: Access) -> Target:
    """Return the URL as it will be sent.

    Args:
        url: Absolute, as configured and rendered.
        access: What the destination may reach.

    Raises:
        RefusedError: ``refused_url`` or ``refused_address``, with a reason that does not quote the URL.
    """
    try:
        return urls.parse(url, access)
    except urls.UrlError as error:
        refused = error
    if refused.is_address:
        raise RefusedError("refused_address")
    raise RefusedError("refused_url", detail=refused.reason)


class Phase(IntEnum):
    """Where an attempt is, in order. From `SENDING` on, the receiver may have seen it."""

    QUEUED = 0
    RESOLVING = 1
    CONNECTING = 2
    HANDSHAKE = 3
    SENDING = 4


@dataclass(slots=True)
class Flight:
    """One attempt in progress.

    Attributes:
        target: Where it goes.
        phase: How far it has come.
        denied: An address was refused when it was about to be dialled.
    """

    target: Target
    phase: Phase = Phase.QUEUED
    denied: bool = False


CURRENT: ContextVar[Flight] = ContextVar("attempt")
"""The attempt that the running task or callback works for."""


def reached(phase: Phase) -> None:
    """Record that the current attempt has come this far; never backwards."""
    flight = CURRENT.get(None)
    if flight is not None:
        flight.phase = max(flight.phase, phase)
