"""An ASGI application served over HTTP within a process that does other things too."""

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
"""Seconds that requests under way may take when the server stops: more than any of them is given to be answered."""
_HIGHEST: Final = 65_535


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are the process's business: this server may be one of several things in it."""
        yield


class HttpServer:
    """An ASGI application served over HTTP, as an asynchronous context manager.

    TLS is the business of a proxy in front. No access log is written: paths may hold tokens.

    Args:
        port: 0 takes a free one, see `port`.
        purpose: What it is for, to complete "choose another port for …".

    Raises:
        LocalError: The port cannot be listened on.
    """

    def __init__(self, port: int = 0, host: str = HOST, *, purpose: str = "this server") -> None:
        self._socket = _listen(host, port, purpose)
        self.port = int(self._socket.getsockname()[1])
        self._server: _Server | None = None
        self._guard: HttpGuard | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, as this machine reaches it."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.server_state.connections) if self._server is not None else 0

    def start(self, application: ASGIApp, *, requests: int = 500, patience: float = 10.0, drain: int = DRAIN) -> None:
        """Begins to serve; connections that came before have waited.

        Args:
            requests: How many of them may be under way at once.
            patience: Seconds that a connection may wait for a request, and this for its line and headers to arrive. A
                client that is behind with reading what it is answered has six times as long to catch up.
            drain: Seconds that requests under way may take when the server stops.
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
        """Stops listening, and lets requests under way come to their end. Done again, it does nothing."""
        if self._server is not None and self._task is not None:
            # Told before it has started, it would leave its sockets open.
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
    if not 0 <= port <= _HIGHEST:  # else a socket would be left open
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
