"""The gateway's process: listens, serves `gateway.callbacks.app`, stops gracefully."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from functools import partial

from starlette.applications import Starlette
from temporalio.client import Client

from gateway.callbacks.app import Receiving
from gateway.callbacks.deliver import tell
from runtime.callback import Callbacks
from runtime.connection import connect
from runtime.errors import SettingsError
from runtime.process.http_server import DRAIN, HttpServer
from runtime.settings import Settings
from runtime.telemetry.telemetry import temporal_runtime

logger = logging.getLogger("gateway")


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
        listening = await stack.enter_async_context(HttpServer(port, host, purpose="the gateway"))
        temporal = await connect(role="gateway", patience=60.0, runtime=temporal_runtime())
        listening.start(application(callbacks, temporal))
        ready = True
        logger.info("ready, listening on port %d", listening.port)
        await stop.wait()
        logger.info("stopping: requests under way have %d s", DRAIN)
    logger.info("stopped")
