"""The client library, set up so that it does what a webhook needs and nothing else.

A *lane* is one connection pool for one combination of access and TLS settings. Pools are apart because a kept-alive
connection is as good as a permission: one that was opened to a private address, or trusting a private authority, must
not serve a destination that may not do so.

In a lane: no redirects, no proxies, no ``.netrc``, no cookies, no decompression, no second sending. The library would
repeat idempotent methods by itself when a kept-alive connection breaks; the journey's retry policy is the only retry
there is, so the middleware below turns such errors into ours before the library sees them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from activities.webhook.errors import AttemptError, RefusedError, UnreachableError
from activities.webhook.http.dial import GuardedResolver, Lookup, socket_factory
from activities.webhook.http.faults import translate
from activities.webhook.http.flight import CURRENT, Flight, Phase, reached
from activities.webhook.http.tls import ClientContext, Stamp, context, stamp
from activities.webhook.http.tls_files import Tls
from activities.webhook.http.wire import Connector
from scenario.http.access import Access

KEPT_HEADERS: Final = frozenset(
    {"content-encoding", "content-length", "content-type", "date", "request-id", "retry-after", "x-request-id"}
)
"""Response headers worth keeping; all others (cookies, ``Location``) are dropped unread."""

_MAX_HEADER: Final = 1024
_MAX_LANES: Final = 64


@dataclass(frozen=True, slots=True)
class _Key:
    access: Access
    tls: Tls
    files: Stamp


@dataclass(slots=True)
class _Lane:
    transport: AiohttpTransport
    busy: int = 0


class Lanes(httpx.AsyncBaseTransport):
    """An httpx transport that sends each request through the lane of its ``access`` and ``tls`` extensions.

    Args:
        lookup: Resolves names.
        connect_timeout: Seconds for TCP and TLS together, for each address tried.
        keep_alive: Seconds an idle connection is kept. Many servers close theirs after 5 to 75 s.
        dns_ttl: Seconds a DNS answer is used for further connections.
        max_connections: Connections of a lane at the same time; 0 = no bound of its own.
    """

    def __init__(
        self, lookup: Lookup, *, connect_timeout: float, keep_alive: float, dns_ttl: int, max_connections: int
    ) -> None:
        self._lookup = lookup
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._dns_ttl = dns_ttl
        self._max_connections = max_connections
        self._lanes: OrderedDict[_Key, _Lane] = OrderedDict()
        self._contexts: dict[tuple[Tls, Stamp], ClientContext] = {}  # each takes 10 ms and a megabyte

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request and returns once the status and the headers are there.

        Raises:
            AttemptError: No response.
        """
        lane = self._lane(request.extensions["access"], request.extensions["tls"])
        request.extensions["timeout"] = {"connect": self._connect_timeout}
        lane.busy += 1
        try:
            await self._retire()
            answer = await lane.transport.handle_async_request(request)
        except BaseException:
            lane.busy -= 1
            raise
        headers = [
            (name, value[:_MAX_HEADER])
            for name, value in answer.headers.raw
            if name.lower().decode("latin-1") in KEPT_HEADERS
        ]
        assert isinstance(answer.stream, httpx.AsyncByteStream)  # noqa: S101 - an async transport has no other
        return httpx.Response(answer.status_code, headers=headers, stream=_Body(answer.stream, lane))

    async def aclose(self) -> None:
        """Closes all connections."""
        while self._lanes:
            _, lane = self._lanes.popitem()
            await lane.transport.aclose()

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
        raise UnreachableError("tls_files_unusable", detail=name)

    def _open(self, key: _Key) -> _Lane:
        access, same = key.access, (key.tls, key.files)
        verify = self._contexts.get(same)
        if verify is None:
            verify = self._contexts[same] = context(key.tls)
        connector = Connector(
            ssl=verify,
            resolver=GuardedResolver(self._lookup, access),
            socket_factory=socket_factory(access),
            ttl_dns_cache=self._dns_ttl,
            keepalive_timeout=self._keep_alive,
            limit=self._max_connections,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),
            middlewares=(_send_once,),
            trace_configs=[_progress()],
        )
        return _Lane(AiohttpTransport(verify=verify, trust_env=False, client=session))

    async def _retire(self) -> None:
        """Closes the lanes that were idle for longest: their settings were edited away, or a certificate renewed."""
        if len(self._lanes) <= _MAX_LANES:
            return
        for key, lane in list(self._lanes.items()):
            # While one is being closed, somebody else may have closed another, or begun to use it.
            if not lane.busy and len(self._lanes) > _MAX_LANES and self._lanes.get(key) is lane:
                del self._lanes[key]
                await lane.transport.aclose()
        used = {(key.tls, key.files) for key in self._lanes}
        self._contexts = {same: verify for same, verify in self._contexts.items() if same in used}


class _Body(httpx.AsyncByteStream):
    """A response's body that lets go of its lane when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, lane: _Lane) -> None:
        self._stream, self._lane, self._open = stream, lane, True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._open:
                self._open = False
                self._lane.busy -= 1


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Puts exactly our URL on the wire, once, and speaks our words where that fails."""
    flight = CURRENT.get()
    exact = URL(flight.target.url, encoded=True)
    failure: AttemptError
    if not _same_place(request.url, flight) or not _same_place(exact, flight):
        failure = RefusedError("refused_url", detail="different parsers see different hosts in it")
    else:
        # So far the request knew only the origin. `encoded`, because the library would rewrite what is equivalent
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


def _progress() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_resolving)
    trace.on_connection_create_end.append(_sending)
    trace.on_connection_reuseconn.append(_sending)
    return trace


async def _resolving(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    reached(Phase.RESOLVING)


async def _sending(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    reached(Phase.SENDING)
