"""An ASGI application served over HTTP within a process."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from runtime.errors import LocalError
from runtime.process.http_guard import HEAD, GuardedProtocol, HttpGuard
from runtime.process.ports import HOST, port_error

DRAIN: Final = 15
"""Seconds for requests in progress when the server stops; longer than any request's timeout."""
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
        self._server: _Server | None = None
        self._guard: HttpGuard | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """URL of the server on this machine."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._server.server_state.connections) if self._server is not None else 0

    def start(self, application: ASGIApp, *, requests: int = 500, patience: float = 10.0, drain: int = DRAIN) -> None:
        """Start to serve. Earlier connections have waited.

        Args:
            patience: Seconds a connection may wait for a request, and for its line and headers to arrive. A client has
                six times as long to read a response.
            drain: Seconds for requests in progress when the server stops.
        """
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
