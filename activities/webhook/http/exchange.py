"""Request, response and progress of one attempt: plain data, the rules for URL and headers, and the TLS settings.

No header changes framing, impersonates us, or smuggles a second request. Names and values follow RFC 9110 §5.1 and
§5.5, stricter: ASCII only, no blank edges, 4 KB per value. The client library itself would send a second ``Host``,
``Transfer-Encoding: chunked`` beside ``Content-Length``, and DEL.

TLS contexts verify, and speak at least 1.2. Public authorities come from `certifi`: OpenSSL's default would follow
``SSL_CERT_FILE``, so that whoever sets a variable decides on trust.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import certifi

from activities.webhook.errors import RefusedError
from scenario.http import urls
from scenario.http.destinations import FRAMING, MAX_VALUE, denied_header
from scenario.http.urls import Access, Target


@dataclass(frozen=True, slots=True)
class Tls:
    """Trusted authorities and client certificate, as PEM files. Changed files are read again."""

    ca_file: str | None = None  # trusted authorities *instead of* the public ones, or None
    cert_file: str | None = None  # client certificate with its chain, or None
    key_file: str | None = None  # its private key; None if `cert_file` holds both


MAX_BODY: Final = 64 * 1024  # default maximum bytes of a response, as transferred; the connection is closed on more
MAX_RESULTS: Final = 4 * 1024 * 1024  # the same of a response with a result for each item of a batch


@dataclass(frozen=True, slots=True)
class Request:
    """The request of one attempt. Its ``repr`` shows no secret and no payload."""

    method: str  # ``POST``, ``PUT``, …
    url: str = field(repr=False)  # absolute, rendered; checked again here
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # without framing headers
    body: bytes = field(default=b"", repr=False)
    timeout: float = 15.0  # seconds for everything: DNS, connection, request, response
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)
    longest: int = MAX_BODY  # maximum bytes of the response's body


@dataclass(frozen=True, slots=True)
class Response:
    """The response of one attempt. The status is certain; the body may be incomplete."""

    status: int  # the final status; interim responses are skipped
    headers: Mapping[str, str]  # some headers (`KEPT_HEADERS` of `connections`) by lower-case names
    body: bytes = field(repr=False)  # at most `Request.longest` bytes, not decompressed
    truncated: bool = False  # True if there was more
    body_error: str | None = None  # ``body_timeout`` or ``body_broken`` if the body ended early, else None

    @property
    def complete(self) -> bool:
        """True if the whole body is there, without an encoding."""
        plain = self.headers.get("content-encoding", "identity").lower() == "identity"
        return plain and not self.truncated and self.body_error is None

    def json(self) -> Any:
        """Return the body as JSON, or None if it is incomplete or something else."""
        try:
            return json.loads(self.body) if self.complete else None
        except (ValueError, RecursionError):
            return None


def parse(url: str, access: Access) -> Target:
    """Return the URL as it will be sent, or raise RefusedError, which does not quote it."""
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
    """An attempt in progress."""

    target: Target
    phase: Phase = Phase.QUEUED
    denied: bool = False  # True if a forbidden address was rejected before dialling


CURRENT: ContextVar[Flight] = ContextVar("attempt")  # the attempt of the current task or callback


def reached(phase: Phase) -> None:
    """Record the current attempt's phase; it never goes back."""
    flight = CURRENT.get(None)
    if flight is not None:
        flight.phase = max(flight.phase, phase)


MAX_HEADERS: Final = 64  # maximum number of headers

_DEFAULTS: Final = {"accept": "*/*", "user-agent": "scenario-runner"}
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|", re.ASCII)


def flaw(name: str, value: str) -> str:
    """Return the fault of a header, without its value, or ``""``."""
    if not _NAME.fullmatch(name):
        return "a header's name is empty or holds a character that is not allowed"
    if len(value) > MAX_VALUE:
        return f"the value of '{name}' is longer than {MAX_VALUE} characters"
    if not _VALUE.fullmatch(value):
        return f"the value of '{name}' holds a line break, a control or non-ASCII character, or an outer space"
    return ""


def authored(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers of a scenario or destination. Raise RefusedError if one is malformed, repeated, or reserved."""
    for name in headers:
        if denied_header(name):
            raise RefusedError("request_header_illegal", detail=f"'{name}' is set by the sender itself")
    return sendable(headers)


def sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Check all headers of a request, ours included. Return them with lower-case names.

    Raise RefusedError if one is malformed, repeated or about framing, or if they are too many.
    """
    if len(headers) > MAX_HEADERS:
        raise RefusedError("request_header_illegal", detail=f"there are more than {MAX_HEADERS} headers")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if reason := flaw(name, value):
            raise RefusedError("request_header_illegal", detail=reason)
        lower = name.lower()
        if lower in FRAMING:
            raise RefusedError("request_header_illegal", detail=f"'{lower}' is set by the transport itself")
        if lower in checked:
            raise RefusedError("request_header_illegal", detail=f"'{lower}' is given twice")
        checked[lower] = value
    return checked


def sent_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request as sent, without ``host`` and ``content-length``; see `sendable`."""
    return _DEFAULTS | sendable(headers) | {"accept-encoding": "identity"}


Stamp = tuple[tuple[int, int, int], ...]  # identity of the files' contents: modification time, inode and size of each

_PROTOCOLS: Final = ["http/1.1"]
_NO_PASSWORD: Final = "none"  # noqa: S105
"""Prevents OpenSSL from asking for a password on the terminal."""


class ClientContext(ssl.SSLContext):
    """A context that records the start of a handshake, to tell it from a TCP port that does not answer."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        reached(Phase.HANDSHAKE)
        return super().wrap_bio(*args, **kwargs)


def stamp(tls: Tls) -> Stamp:
    """Return the identity of the files' contents, to notice a renewed certificate.

    Raise OSError if one is unreadable.
    """
    stats = [Path(name).stat() for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)


def tls_context(tls: Tls) -> ClientContext:
    """Return a context for TLS settings. It takes tens of milliseconds: keep it.

    Raise OSError if a file cannot be read, or (`ssl.SSLError`) has no certificate or the wrong key.
    """
    made = ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(_PROTOCOLS)
    made.load_verify_locations(cafile=tls.ca_file or certifi.where())
    if tls.cert_file:
        made.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    return made


def tls_problem(tls: Tls) -> str:
    """Return the fault of the files, in one sentence without a path, or ``""``. It is cheap."""
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_file:
            probe.load_verify_locations(cafile=tls.ca_file)
    except ssl.SSLError:
        return "the file of 'ca' holds no certificate in PEM"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return f"the file of 'ca' cannot be read: {_fault(error)}"
    try:
        if tls.cert_file:
            probe.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    except ssl.SSLError:
        return "'certificate' and 'key' must be a certificate and its own key in PEM, the key without a password"
    except (OSError, ValueError) as error:
        return f"the files of 'certificate' and 'key' cannot be read: {_fault(error)}"
    return ""


def _fault(error: OSError | ValueError) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or "there is no such file").lower()
