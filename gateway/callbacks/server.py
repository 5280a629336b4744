"""The gateway's process: listens, serves `gateway.callbacks.app`, stops gracefully."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import chain

from starlette.applications import Starlette
from starlette.routing import Route
from temporalio.client import Client

from activities.sms.configured import twilio_token
from activities.suppressing import Suppressing
from activities.telling import Telling, address_seal
from activities.webhook.destinations.watch import DestinationsFile
from gateway.callbacks.app import Receiving
from gateway.callbacks.deliver import tell
from gateway.callbacks.unsubscribe import Unsubscriptions
from gateway.client import ScenarioClient
from gateway.inbound.mail import InboundMail
from gateway.inbound.twilio import InboundTexts
from runtime.callback import Callbacks
from runtime.connection import connect
from runtime.errors import SettingsError
from runtime.process.http_server import DRAIN, HttpServer
from runtime.return_path import ReturnPaths
from runtime.settings import Settings
from runtime.store import Store
from runtime.suppression import AddressHashes, suppression_keys
from runtime.telemetry.telemetry import temporal_runtime
from runtime.unsubscribing import Unsubscribing
from scenario.source.findings import listed

logger = logging.getLogger("gateway")


def application(callbacks: Callbacks, temporal: Client, more: Sequence[Route] = ()) -> Starlette:
    """The gateway of one namespace.

    Args:
        callbacks: Knows the tokens.
        temporal: To tell journeys.
        more: What else it serves: see `routes_of`.
    """
    return Receiving(callbacks, partial(tell, temporal), more=more).application


def routes_of(
    settings: Settings, temporal: Client, store: Store, destinations: DestinationsFile
) -> dict[str, list[Route]]:
    """What is served where suppressions are configured, by what it is for.

    Args:
        settings: Of the process.
        temporal: To tell journeys, and to have the platform told.
        store: Keeps suppressions.
        destinations: Among which the platform may be.

    Raises:
        SettingsError: A setting is missing that another one needs.
    """
    unsubscribing, hashes = Unsubscribing.configured(settings), AddressHashes.configured(settings)
    paths = ReturnPaths.configured(settings)
    if settings.inbound_key is not None and paths is None:
        raise SettingsError("SCENARIO_INBOUND_KEY needs SCENARIO_BOUNCE_ADDRESS: set it here, as for the workers")
    if unsubscribing is None or hashes is None or settings.callback_url is None:
        return {}
    telling = Telling(temporal, address_seal(suppression_keys(settings)), lambda: destinations.book)
    suppressing = Suppressing(store, hashes, telling)
    client = ScenarioClient(temporal, store)
    made = {"unsubscribing": Unsubscriptions(unsubscribing, suppressing, client.event).routes}
    if paths is not None and settings.inbound_key is not None:
        made["bounces"] = InboundMail(paths, suppressing, settings.inbound_key.get_secret_value().strip()).routes
    if token := twilio_token(settings.sms.get_secret_value() if settings.sms else None):
        made["answers to SMS"] = InboundTexts(settings.callback_url, token, suppressing, store, hashes).routes
    return made


async def serve(settings: Settings, host: str, port: int) -> None:
    """Runs the gateway until the process is asked to stop.

    Raises:
        SetupError: A setting is missing or wrong, the port is taken, or there is no Temporal server.
        StoreError: The store cannot be opened, which unsubscribing needs.
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
        more: dict[str, list[Route]] = {}
        if Unsubscribing.configured(settings) is not None:  # without, what is open to the world has no way to the store
            opened = Store.open(settings.store.get_secret_value(), migrate=False, patience=60.0)
            store = await stack.enter_async_context(opened)
            more = routes_of(settings, temporal, store, DestinationsFile(settings.destinations))
        listening.start(application(callbacks, temporal, list(chain.from_iterable(more.values()))))
        ready = True
        what = listed(["callbacks", *more], "and") if more else "callbacks; not configured: unsubscribing"
        logger.info("ready, listening on port %d for %s", listening.port, what)
        await stop.wait()
        logger.info("stopping: requests under way have %d s", DRAIN)
    logger.info("stopped")
