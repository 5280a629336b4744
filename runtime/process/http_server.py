"""An ASGI application served over HTTP within a process, so that no client can lock out others or fill the log.

- Connections without a complete request are closed after a while, or sooner if others need their slots.
- Connections to clients that do not read their responses are closed.
- Beyond the limit of concurrent requests, the next is answered 503. ``/healthz`` and ``/readyz`` are exempt, since an
  orchestrator would restart a busy process.
- A request with two kinds of length is rejected: a proxy may have used the other one, and would see one request where
  there are two (RFC 9112 §6.3 and §11.2).
- Malformed requests are counted, and the count is logged at intervals.
- A request in progress when the server must stop is answered 503.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, cast

import h11
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.errors import LocalError
from runtime.process import HOST, port_error

logger = logging.getLogger(__name__)

SPARE: Final = 32  # connections beyond the limit of requests: for ``/healthz``, and to send 503
EVERY: Final = 60.0  # seconds between log lines about malformed requests
HEAD: Final = 16 * 1024  # maximum number of bytes of a request's line and headers

ALIVE: Final = "/healthz"
READY: Final = "/readyz"
_AGAIN: Final = "5"  # seconds
_STALLED: Final = 6  # times the patience with a request
_TWO_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
_CLOSE: Final = {"connection": "close"}

# uvicorn warns about clients' mistakes: each costs the client nothing, and us a line.
_quiet: Final = logging.getLogger("uvicorn.error").getChild("guarded")
_quiet.setLevel(logging.ERROR)


class MalformedCounter:
    """Counts malformed requests, and logs the count: a client can send thousands per second."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._count = 0
        self._due: asyncio.TimerHandle | None = None

    def add(self) -> None:
        self._count += 1
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._every, self.tell)

    def tell(self) -> None:
        """Log the number since the last line, if any."""
        if self._due is not None:
            self._due.cancel()
            logger.warning("%d malformed requests were refused within %.0f s", self._count, self._every)
        self._due, self._count = None, 0


class HttpGuard:
    """An ASGI application around another.

    A request's line and headers have `patience` seconds to arrive. A client has six times as long to read a response
    that exceeds the buffers.
    """

    def __init__(self, application: ASGIApp, *, requests: int, patience: float) -> None:
        self.malformed = MalformedCounter()
        self.patience = patience
        self.connections = requests + SPARE
        self._application, self._requests = application, requests
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _TWO_LENGTHS.issubset(name for name, _ in scope["headers"]):
            self.malformed.add()
            await _refused(400, "give content-length or transfer-encoding, not both", _CLOSE)(scope, receive, send)
        elif _size(scope) > HEAD:  # h11 bounds one that arrives in parts, and uvicorn reads 256 KB
            await _refused(431, f"line and headers of a request may have {HEAD} bytes", _CLOSE)(scope, receive, send)
        elif self._under_way >= self._requests and scope["path"] not in (ALIVE, READY):
            await _try_again("too many requests are in progress")(scope, receive, send)
        else:
            self._under_way += 1
            try:
                await self._application(scope, receive, send)
            except asyncio.CancelledError:  # the server's grace period is over
                with suppress(RuntimeError):  # the response has started: its connection is closed
                    await _try_again("this server is stopping")(scope, receive, send)
            finally:
                self._under_way -= 1


class GuardedProtocol(H11Protocol):
    """A connection to an `HttpGuard`.

    uvicorn would wait forever for a request, so some hundred idle connections could lock out all other clients.
    """

    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _since = 0.0
    _dropped = False

    @property
    def _guard(self) -> HttpGuard:
        guard = self.config.app
        if not isinstance(guard, HttpGuard):
            raise TypeError(guard)
        return guard

    @property
    def waits(self) -> bool:
        # Before the first request, uvicorn has no cycle, contrary to its annotation.
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.logger = _quiet
        self._await_request()
        self._make_room()

    def on_response_complete(self) -> None:
        self._await_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._guard.patience * _STALLED, self._drop)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._guard.malformed.add()
        cycle: Any = self.cycle
        if cycle is not None:  # it follows the head of a request, whose handler sees a disconnect
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _await_request(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._since = self.loop.time()
        self._late = self.loop.call_later(self._guard.patience, self._give_up)

    def _give_up(self) -> None:
        # A close would wait for the client to read the rest of the response.
        if (self.waits or self.transport.is_closing()) and not self.flow.write_paused:
            self._drop()
        else:
            self._late = self.loop.call_later(self._guard.patience, self._give_up)

    def _make_room(self) -> None:
        others = [other for other in cast("set[GuardedProtocol]", self.connections) if not other._dropped]
        if len(others) > self._guard.connections:
            idle = [other for other in others if other is not self and (other.waits or other.transport.is_closing())]
            if idle:
                min(idle, key=lambda other: other._since)._drop()

    def _drop(self) -> None:
        self._dropped = True
        self.transport.abort()


def _size(scope: Scope) -> int:
    line = len(scope["raw_path"]) + len(scope["query_string"])
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _try_again(why: str) -> JSONResponse:
    return _refused(503, f"{why}: try again", {"retry-after": _AGAIN, **_CLOSE})


def _refused(status: int, sentence: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)


DRAIN: Final = 15  # seconds for requests in progress when the server stops; longer than any request's timeout
_HIGHEST: Final = 65_535


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """The process handles signals."""
        yield


class HttpServer:
    """An ASGI application served over HTTP, as an asynchronous context manager.

    TLS is left to a proxy. There is no access log, since paths may contain tokens.
    """

    def __init__(self, port: int = 0, host: str = HOST, *, purpose: str = "this server") -> None:
        self._socket = _listen(host, port, purpose)
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}"  # URL of the server on this machine
        self._server: _Server | None = None
        self._guard: HttpGuard | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._server.server_state.connections) if self._server is not None else 0

    def start(self, application: ASGIApp, *, requests: int = 500, patience: float = 10.0, drain: int = DRAIN) -> None:
        """Start to serve. Earlier connections have waited. Requests in progress have `drain` seconds at the stop."""
        self._guard = HttpGuard(application, requests=requests, patience=patience)
        config = uvicorn.Config(
            self._guard,
            http=GuardedProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(patience),
            timeout_graceful_shutdown=drain,
            h11_max_incomplete_event_size=HEAD,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Stop listening, and let requests in progress finish. Idempotent."""
        if self._server is not None and self._task is not None:
            # If it were stopped before it has started, it would leave its sockets open.
            while not (self._server.started or self._task.done()):  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            self._server.should_exit = True
            await self._task
        if self._guard is not None:
            self._guard.malformed.tell()
        self._socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _listen(host: str, port: int, purpose: str) -> socket.socket:
    if not 0 <= port <= _HIGHEST:  # otherwise a socket would stay open
        raise LocalError(f"{port} is not a port: choose one from 1024 to 65535 for {purpose}")
    try:
        (family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.create_server((host, port), family=family, backlog=512)
    except socket.gaierror:
        raise LocalError(f"{host} is not an address to listen on: choose 127.0.0.1, or 0.0.0.0 for all") from None
    except OSError as error:
        raise port_error(error, port, purpose) from None
    listening.setblocking(False)
    return listening
