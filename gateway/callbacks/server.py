"""The gateway's process: listens, serves `gateway.callbacks.app`, stops gracefully."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette
from temporalio.client import Client

from gateway.callbacks.app import Receiving
from gateway.callbacks.deliver import tell
from gateway.callbacks.guard import REQUESTS, Guard, Guarded
from runtime.callback import Callbacks
from runtime.connection import connect
from runtime.errors import LocalError, SettingsError
from runtime.process.ports import HOST, refusal
from runtime.settings import Settings
from runtime.telemetry.telemetry import temporal_runtime

logger = logging.getLogger("gateway")

DRAIN: Final = 15
"""Seconds that requests under way may take when the process stops: more than a request's patience."""

_HEAD: Final = 16 * 1024  # bytes of a request's line and headers


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are the process's business: this server may be one of several things in it."""
        yield


class Server:
    """An ASGI application served over HTTP, as an asynchronous context manager.

    TLS is the business of the proxy in front. No access log is written: paths hold tokens.

    Args:
        port: 0 takes a free one, see `port`.
        host: The address to listen on.

    Raises:
        LocalError: It cannot be listened on.
    """

    def __init__(self, port: int = 0, host: str = HOST) -> None:
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._server: _Server | None = None
        self._guard: Guard | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, as this machine reaches it."""
        return f"http://{HOST}:{self.port}"

    def start(self, application: Starlette, *, requests: int = REQUESTS) -> None:
        """Begins to serve; connections that came before have waited.

        Args:
            application: Answers the requests.
            requests: How many of them may be under way at once.
        """
        self._guard = Guard(application, requests=requests)
        config = uvicorn.Config(
            self._guard,
            http=Guarded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN,
            h11_max_incomplete_event_size=_HEAD,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None and self._task is not None:
            # Told before it has started, it would leave its sockets open.
            while not (self._server.started or self._task.done()):  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            self._server.should_exit = True
            await self._task
        if self._guard is not None:
            self._guard.malformed.tell()
        self._socket.close()


def application(callbacks: Callbacks, temporal: Client) -> Starlette:
    """The gateway of one namespace."""
    return Receiving(callbacks, partial(tell, temporal)).application


async def serve(settings: Settings, host: str, port: int) -> None:
    """Runs the gateway until the process is asked to stop.

    Raises:
        SetupError: A setting is missing or wrong, the port is taken, or there is no Temporal server.
    """
    callbacks = Callbacks.configured(settings)
    if callbacks is None:
        raise SettingsError(
            "callbacks are not configured: set SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY here, as for the workers"
        )
    stop = asyncio.Event()
    task = asyncio.current_task()
    ready = False

    def ask_to_stop() -> None:
        stop.set()
        if task is not None and not ready:  # it may still wait for a server
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop)
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(Server(port, host))
        temporal = await connect(role="gateway", patience=60.0, runtime=temporal_runtime())
        listening.start(application(callbacks, temporal))
        ready = True
        logger.info("ready, listening on port %d", listening.port)
        await stop.wait()
        logger.info("stopping: requests under way have %d s", DRAIN)
    logger.info("stopped")


def _listen(host: str, port: int) -> socket.socket:
    try:
        (family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.create_server((host, port), family=family, backlog=512)
    except socket.gaierror:
        raise LocalError(f"{host} is not an address to listen on: choose 127.0.0.1, or 0.0.0.0 for all") from None
    except OverflowError:
        raise LocalError(f"{port} is not a port: choose one from 1024 to 65535 for the gateway") from None
    except OSError as error:
        raise refusal(error, port, "the gateway") from None
    listening.setblocking(False)
    return listening
