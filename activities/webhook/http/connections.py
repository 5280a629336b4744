"""Connections of the client library and their pools, set up for webhooks.

A *lane* is one pool for one combination of access and TLS settings. Pools are separate because an open connection is as
good as a permission: one to a private address, or with a private authority, must not serve other destinations.

A lane follows no redirects, uses no proxies, ``.netrc`` or cookies, does not decompress, and sends once. The library
would repeat idempotent methods if a kept-alive connection breaks. The middleware below prevents that, because only the
retry policy retries.

A connection parses the head of a response before its body, so that a broken body cannot lose the status. The library
passes each piece to its parser as a whole, and a fault loses everything in that piece: a ``200`` with a wrong
``Content-Length``, a ``204`` with a body, or a chunk without a size would be no answer, and a delivered message would
be repeated for days.

The library's exceptions are translated into the words of `activities.webhook.errors`. Their texts contain the URL, so
only error numbers and names of OpenSSL and the operating system are kept.
"""

from __future__ import annotations

import errno
import functools
import re
import ssl
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import StreamReader
from yarl import URL

from activities.webhook.errors import AttemptError, RefusedError
from activities.webhook.http.dial import GuardedResolver, Lookup, LookupFailedError, socket_factory
from activities.webhook.http.exchange import (
    CURRENT,
    ClientContext,
    Flight,
    Phase,
    Stamp,
    Tls,
    reached,
    stamp,
    tls_context,
)
from scenario.http.urls import Access

MAX_INTERIM: Final = 32  # maximum number of interim responses (1xx) before the final one

# An empty line after one that is not empty; RFC 9112 §2.2 lets a reader take a lone line feed for the end of a line.
_END: Final = re.compile(rb"[^\r\n]\r?\n\r?\n")
_LONGEST_END: Final = 5
_OK: Final = 200
_SWITCHING: Final = 101


class Connector(aiohttp.TCPConnector):
    """The library's connector with `HeadFirst` connections. It takes the same arguments."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        factory: functools.partial[ResponseHandler] = functools.partial(HeadFirst, loop=self._loop)
        self._factory = factory

    async def connect(self, *given: Any, **named: Any) -> Connection:
        connection = await super().connect(*given, **named)
        reached(Phase.SENDING)
        return connection

    async def _create_connection(self, *given: Any, **named: Any) -> ResponseHandler:
        reached(Phase.RESOLVING)
        return await super()._create_connection(*given, **named)


class HeadFirst(ResponseHandler):
    """One connection. Interim responses have heads, too; only the final one has the status."""

    _awaited = False  # true while the final response's head is expected
    _interim = 0  # number of interim responses so far
    _before = b""  # the last bytes of the previous piece, which may hold the beginning of a head's end

    def set_response_params(self, **params: Any) -> None:
        """Called by the library once per request."""
        self._awaited, self._interim, self._before = True, 0, b""
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by the library with each complete head."""
        if data[0].code >= _OK or data[0].code == _SWITCHING:
            self._awaited = False
        else:
            self._interim += 1
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with received bytes."""
        if data and self._idle:
            self._hang_up()
            return
        while self._awaited:
            joined = self._before + data
            end = _END.search(joined)
            if end is None:
                self._before = joined[1 - _LONGEST_END :]
                break
            cut = end.end() - len(self._before)
            head, data, self._before = data[:cut], data[cut:], b""
            if not self._parse(head) or not data:
                return
        self._parse(data)

    @property
    def _idle(self) -> bool:
        """True if no response is expected."""
        return not self._awaited and (self._payload is None or self._payload.is_eof())

    def _hang_up(self) -> None:
        """Close a connection that sent unexpected data.

        It is not an answer to the next request (RFC 9112 §9.2), for which the library would take it: a rejected message
        would count as delivered.
        """
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _parse(self, data: bytes) -> bool:
        """Pass some bytes to the library. Return True if more may follow."""
        failure = self._exception
        super().data_received(data)
        if self._interim > MAX_INTERIM and self._awaited and self._exception is failure:
            self.set_exception(HttpProcessingError(message="too many interim responses"))
            if self.transport is not None:
                self.transport.close()
        if self._exception is failure:
            return True
        if self._payload is not None and not self._payload.is_eof():
            # The parser has released it: otherwise the reader of the body would wait forever.
            self._payload.set_exception(aiohttp.ClientPayloadError("the body is broken"))
        return False


KEPT_HEADERS: Final = frozenset(
    {
        *("content-encoding", "content-length", "content-range", "content-type", "date", "etag"),
        *("request-id", "retry-after", "x-request-id"),
    }
)
"""Response headers that are kept; all others (cookies, ``Location``) are dropped."""

_MAX_HEADER: Final = 1024
_MAX_LANES: Final = 64


@dataclass(frozen=True, slots=True)
class _Key:
    access: Access
    tls: Tls
    files: Stamp


@dataclass(slots=True)
class _Lane:
    session: aiohttp.ClientSession
    busy: int = 0


class Lanes:
    """The lanes of a transport. `connector` has the arguments of aiohttp's connectors that are the same for all."""

    def __init__(self, lookup: Lookup, connect_timeout: float, **connector: Any) -> None:
        self._lookup, self._connect_timeout, self._connector = lookup, connect_timeout, connector
        self._closed = False
        self._lanes: OrderedDict[_Key, _Lane] = OrderedDict()
        self._contexts: dict[tuple[Tls, Stamp], ClientContext] = {}  # each takes 10 ms and a megabyte

    @asynccontextmanager
    async def session(self, access: Access, tls: Tls) -> AsyncGenerator[aiohttp.ClientSession]:
        """Yield the lane for one request and its response. Raise AttemptError if the TLS files cannot be used."""
        if self._closed:
            raise RuntimeError("the transport is closed")
        lane = self._lane(access, tls)
        lane.busy += 1
        try:
            await self._retire()
            yield lane.session
        finally:
            lane.busy -= 1

    async def close(self) -> None:
        self._closed = True
        while self._lanes:
            _, lane = self._lanes.popitem()
            await lane.session.close()

    def _lane(self, access: Access, tls: Tls) -> _Lane:
        try:
            key = _Key(access, tls, stamp(tls))
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = self._open(key)
        except OSError as error:
            name = type(error).__name__
        else:
            self._lanes.move_to_end(key)
            return lane
        raise AttemptError("tls_files_unusable", detail=name)

    def _open(self, key: _Key) -> _Lane:
        access, same = key.access, (key.tls, key.files)
        verify = self._contexts.get(same)
        if verify is None:
            verify = self._contexts[same] = tls_context(key.tls)
        connector = Connector(
            ssl=verify,
            resolver=GuardedResolver(self._lookup, access),
            socket_factory=socket_factory(access),
            **self._connector,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(sock_connect=self._connect_timeout),
            middlewares=(_send_once,),
        )
        return _Lane(session)

    async def _retire(self) -> None:
        """Close the lanes that were idle longest: their settings or certificates have changed."""
        if len(self._lanes) <= _MAX_LANES:
            return
        for key, lane in list(self._lanes.items()):
            # While one is being closed, somebody else may have closed another, or begun to use it.
            if not lane.busy and len(self._lanes) > _MAX_LANES and self._lanes.get(key) is lane:
                del self._lanes[key]
                await lane.session.close()
        used = {(key.tls, key.files) for key in self._lanes}
        self._contexts = {same: verify for same, verify in self._contexts.items() if same in used}


def kept_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    kept: dict[str, str] = {}
    for raw, value in answer.raw_headers:
        name = raw.decode("latin-1").lower()
        if name in KEPT_HEADERS:
            text = value[:_MAX_HEADER].decode("latin-1")
            kept[name] = f"{kept[name]}, {text}" if name in kept else text
    return kept


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send exactly our URL, once, and translate errors."""
    flight = CURRENT.get()
    exact = URL(flight.target.url, encoded=True)
    failure: AttemptError
    if not _same_place(request.url, flight) or not _same_place(exact, flight):
        failure = RefusedError("refused_url", detail="different parsers see different hosts in it")
    else:
        # So far the request knew only the origin. `encoded`, because the library would rewrite equivalent spellings
        # ("%7E" to "~"), and some receivers sign or compare the URL.
        request.url = exact
        try:
            return await handler(request)
        except (aiohttp.ClientError, OSError) as error:
            failure = translate(error, flight)
    # Raised here rather than above, so that the library's exception, which quotes the URL, is not a part of it.
    raise failure


def _same_place(url: URL, flight: Flight) -> bool:
    return (url.scheme, url.raw_host, url.port) == (flight.target.scheme, flight.target.host, flight.target.port)


_TOO_LATE: Final = {
    Phase.QUEUED: "pool_timeout",
    Phase.RESOLVING: "dns_timeout",
    Phase.CONNECTING: "connect_timeout",
    Phase.HANDSHAKE: "tls_handshake_timeout",
}
_CONNECT: Final = {
    errno.ECONNREFUSED: "connect_refused",
    errno.ECONNRESET: "connect_reset",
    errno.EPIPE: "connect_reset",
    errno.ECONNABORTED: "connect_reset",
    errno.ETIMEDOUT: "connect_timeout",
    errno.EHOSTUNREACH: "connect_unreachable",
    errno.ENETUNREACH: "connect_unreachable",
    errno.EADDRNOTAVAIL: "connect_unreachable",
    errno.EAFNOSUPPORT: "connect_unreachable",
}
_ALPN: Final = "no application protocol"  # RFC 7301 §3.2: of what we offer, HTTP/1.1, it speaks nothing
_WORDS: Final = re.compile(r".*\] (.*) \(_ssl\.c:.*", re.DOTALL)
# The peer went away in mid-handshake, as restarting load balancers do; not a matter of configuration.
_ABRUPT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def too_late(flight: Flight) -> AttemptError:
    """Return the error for an attempt that timed out before a response began."""
    return AttemptError(_TOO_LATE.get(flight.phase, "read_timeout"))


def translate(error: aiohttp.ClientError | OSError, flight: Flight) -> AttemptError:
    """Return the error for an exception that the client library raised before the response's headers were complete."""
    if flight.denied and flight.phase < Phase.SENDING:  # unless another address of the name took the request
        return RefusedError("refused_address")
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailedError(word="refused_address")):
            return RefusedError("refused_address")
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailedError(word=word, detail=detail)):
            return AttemptError(word, detail=detail)
        case aiohttp.ClientConnectorCertificateError(certificate_error=reason):
            return AttemptError("tls_verify_failed", detail=_verification(reason))
        case aiohttp.ClientConnectorError(os_error=ssl.SSLError() as reason):
            if isinstance(reason, _ABRUPT):
                return AttemptError("connect_reset", detail=reason.reason or "")
            said = _said(reason)
            word = "http2_only" if _ALPN in said.lower().replace("_", " ") else "tls_failed"
            return AttemptError(word, detail=said)
        case aiohttp.ClientConnectorError(os_error=reason):
            # asyncio gives no number where the peer hangs up in mid-handshake.
            number = reason.errno or (errno.ECONNRESET if isinstance(reason, ConnectionError) else 0)
            return AttemptError(_CONNECT.get(number, "connect_failed"), detail=errno.errorcode.get(number, ""))
        case aiohttp.InvalidURL():
            return RefusedError("refused_url", detail="the client library cannot read it")
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return too_late(flight)
        case aiohttp.ServerDisconnectedError():
            return AttemptError("disconnect_without_response")
        case aiohttp.ClientResponseError():
            large = any(isinstance(cause, LineTooLong) for cause in _causes(error))
            return AttemptError("response_header_too_large" if large else "malformed_response")
        case _:
            # TLS 1.3 lets a client send before the server has judged its certificate: the alert comes later.
            alert = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
            if alert is not None and "alert" in (said := _said(alert)).lower():
                return AttemptError("tls_rejected", detail=said)
            return AttemptError("connect_failed" if flight.phase < Phase.SENDING else "reset_before_response")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__
    return found


def _said(error: ssl.SSLError) -> str:
    """Return OpenSSL's name of a failure, or its own few words."""
    return error.reason or _WORDS.sub(r"\1", str(error))


def _verification(reason: Exception) -> str:
    # OpenSSL's sentence may go on with the name it was asked for: "..., certificate is not valid for 'x'".
    text = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else ""
    return text.partition(",")[0].partition(" for '")[0]
