"""What one attempt sends and what comes back: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from activities.webhook.http.tls_files import Tls
from scenario.http.access import Access

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
        """Whether the whole body is there, unencoded, so that it can be read as JSON."""
        plain = self.headers.get("content-encoding", "identity").lower() == "identity"
        return plain and not self.truncated and self.body_error is None
