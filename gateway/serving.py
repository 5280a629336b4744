"""The gateway's process: parts over HTTP on one port.

| part | paths | for |
|---|---|---|
| callbacks | ``/callbacks/ /u/ /inbound/`` | receivers and contacts: public |
| api | ``/v1/`` | engines, with a key |
| codec | ``/codec/`` | Temporal's UI and command line, with a key |
| pages | all others | people, with a key |

Each process also answers ``/healthz`` and ``/readyz``. It serves only the requested parts, so that public parts can
be separate.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain
from threading import Thread
from typing import Final

from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from temporalio.client import Client

from activities.journal.journal import keeping_journal
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from gateway import codec
from gateway.api import app as api
from gateway.api.authentication import Keys
from gateway.api.limits import MOST_UPLOADED
from gateway.asgi import Measured
from gateway.callbacks.app import application as callbacks_application
from gateway.callbacks.app import routes_of
from gateway.pages import app as pages
from gateway.pages.app import Door
from gateway.pages.rendering import compile_largest
from gateway.providers.app import expects_events
from runtime.connection import connect
from runtime.encryption.codec import check_keys, keyring_of, recording_keys
from runtime.encryption.converter import encrypt_client
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import SettingsError
from runtime.identity import StoreIdentity, guarding_identity
from runtime.platform_dates import agree_on_dates
from runtime.process.health import (
    Check,
    ClockCheck,
    measuring_certificates,
    measuring_keys,
    measuring_readiness,
    readiness,
    temporal_certificates,
    watching,
)
from runtime.process.http_server import ALIVE, DRAIN, READY, HttpServer
from runtime.process.namespace import NamespaceCheck, watching_namespace
from runtime.process.workers import Workers, tune_garbage_collection
from runtime.public_links import Callbacks, Unsubscribing
from runtime.settings import Settings, parse_list
from runtime.store import Store
from runtime.telemetry.telemetry import Telemetry
from runtime.temporal_faults import bound_calls
from scenario.source.findings import listed
from service.authoring_process import Authoring, Setup
from service.client import ScenarioClient
from service.operations.background import running_operations
from service.sending import Outbox

logger = logging.getLogger("gateway")

OPEN: Final = ("/callbacks/", "/u/", "/inbound/")  # prefixes of public paths


@dataclass(frozen=True)
class Parts:
    """The parts that a process serves."""

    api: bool = False
    pages: bool = False
    callbacks: bool = False
    codec: bool = False


class Front:
    """Several ASGI applications as one, by path prefix, ``/`` for all other paths, with conditions of readiness."""

    def __init__(self, parts: Mapping[str, ASGIApp], checks: Mapping[str, Check] | None = None) -> None:
        self._parts = dict(sorted(parts.items(), key=lambda item: -len(item[0])))
        self._checks = checks or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        application: ASGIApp
        if path == ALIVE:
            application = JSONResponse({"alive": True})
        elif path == READY:
            application = readiness(self._checks)
        else:
            nothing = JSONResponse({"error": "there is nothing here"}, 404)
            application = next((part for start, part in self._parts.items() if path.startswith(start)), nothing)
        await application(scope, receive, send)


def parts_of(
    client: ScenarioClient,
    store: Store,
    wanted: Parts,
    authors: Authoring | None = None,
    *,
    outbox: Outbox | None = None,
    book: DestinationsFile | None = None,
    temporal_ui: str | None = None,
    door: Door | None = None,
    origins: Sequence[str] = (),
    uploaded: int = MOST_UPLOADED,
) -> dict[str, ASGIApp]:
    """Return the applications for engines and people.

    Args:
        door: The local sign-in link, or None.
        origins: Origins of web pages whose scripts may use the API.
        uploaded: Maximum bytes of an uploaded file.
    """
    keys = Keys(store)
    made: dict[str, ASGIApp] = {}
    if wanted.api:
        made[f"{api.PREFIX}/"] = api.bounded(api.application(client, keys, authors, origins=origins), uploaded)
    if wanted.pages:
        site = pages.application(client, keys, authors, outbox=outbox, book=book, temporal_ui=temporal_ui, door=door)
        made["/"] = pages.bounded(site, uploaded)
        Thread(target=compile_largest, name="templates", daemon=True).start()
    return made


async def serve(
    settings: Settings,
    host: str,
    port: int,
    wanted: Parts,
    telemetry: Telemetry | None = None,
    *,
    change_dates: bool = False,
) -> None:
    """Run the gateway until the process is asked to stop.

    With `change_dates`, SCENARIO_PLATFORM_DATES may differ from that of the processes before.

    Raises:
        SetupError: A setting is missing or wrong, the port is taken, or there is no Temporal server.
        StoreError: The store cannot be opened, which all parts but callbacks need.
        WorkerFailed: Background operations cannot be carried out.
    """
    callbacks = Callbacks.configured(settings) if wanted.callbacks else None
    if wanted.callbacks and callbacks is None:
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
        if wanted.codec and not KeyWrapping.configured(settings):
            raise SettingsError("there is nothing to decode: set SCENARIO_ENCRYPTION_KEYS here, as for the workers")
        checks: dict[str, Check] = {"gateway": lambda: ready and not stop.is_set()}
        stack.enter_context(measuring_readiness(checks))
        stack.enter_context(measuring_keys(settings))
        runtime = await (telemetry or Telemetry(None)).runtime(stack)
        connected = await connect(role="gateway", patience=60.0, runtime=runtime)
        stack.enter_context(measuring_certificates(lambda: temporal_certificates(connected)))
        namespace = NamespaceCheck(connected)
        temporal = bound_calls(connected, noticed=lambda fault: namespace.suspect() if fault.lacks_attributes else None)
        checks["temporal"] = (await stack.enter_async_context(watching_namespace(namespace))).is_well
        served = _Served()
        # Without these, public routes have no access to the store.
        is_public = wanted.callbacks and (Unsubscribing.configured(settings) or expects_events(settings))
        if wanted.api or wanted.pages or is_public or KeyWrapping.configured(settings):
            store, keyring = await _open_store(
                settings, connected, checks, ask_to_stop, stack, change_dates=change_dates
            )
            temporal = encrypt_client(temporal, keyring)
            await _serve_store(served, settings, temporal, store, keyring, wanted, stack)
        if callbacks is not None:
            routes = list(chain.from_iterable(served.routes.values()))
            served.parts.update(dict.fromkeys(OPEN, Measured(callbacks_application(callbacks, temporal, routes))))
            served.what += ["callbacks", *served.routes]
        listening.start(Front(served.parts, checks))
        stack.push_async_callback(listening.stop)  # before what its requests need is closed
        tune_garbage_collection()
        ready = True
        unset = "" if callbacks is None or "unsubscribing" in served.routes else "; not configured: unsubscribing"
        logger.info("ready, listening on port %d for %s%s", listening.port, listed(served.what, "and"), unset)
        await (served.crew.until(stop) if served.crew is not None else stop.wait())
        logger.info("stopping: requests in progress have %d s", DRAIN)
    logger.info("stopped")


@dataclass
class _Served:
    parts: dict[str, ASGIApp] = field(default_factory=dict[str, ASGIApp])
    what: list[str] = field(default_factory=list[str])  # the names of the parts, for the log
    routes: dict[str, list[Route]] = field(default_factory=dict[str, list[Route]])
    """Routes of suppressions that are open to the world, by purpose."""
    crew: Workers | None = None  # the workers of operations on many journeys


async def _open_store(
    settings: Settings,
    temporal: Client,
    checks: dict[str, Check],
    ask_to_stop: Callable[[], None],
    stack: AsyncExitStack,
    *,
    change_dates: bool,
) -> tuple[Store, Keyring]:
    opened = Store.open(settings.store.get_secret_value(), migrate=False, patience=60.0)
    store = await stack.enter_async_context(opened)
    identity = StoreIdentity(temporal, store)
    await identity.verify()
    await agree_on_dates(settings, store, change=change_dates)
    await stack.enter_async_context(guarding_identity(identity, store, ask_to_stop, rotates=False))
    checks["store"] = (await stack.enter_async_context(watching(store))).is_well
    checks["clock"] = (await stack.enter_async_context(ClockCheck({"store": store}).watching())).is_well
    keyring = keyring_of(settings, store)
    await check_keys(keyring, store)
    await stack.enter_async_context(keeping_journal(settings, temporal, store, writes=False))
    await stack.enter_async_context(recording_keys(keyring, store, "gateway"))
    return store, keyring


async def _serve_store(
    served: _Served,
    settings: Settings,
    temporal: Client,
    store: Store,
    keyring: Keyring,
    wanted: Parts,
    stack: AsyncExitStack,
) -> None:
    client = ScenarioClient(
        *(temporal, store, settings.platform, settings.destinations, settings.policies),
        parse_list(settings.trusted_events),
    )
    book, authors = DestinationsFile(settings.destinations), Authoring(Setup.of(settings))
    if wanted.codec:
        origins = parse_list(settings.codec_origins)
        served.parts[f"{codec.PREFIX}/"] = codec.application(keyring, Keys(store), origins)
        served.what.append("the codec")
    stack.push_async_callback(authors.close)
    served.parts |= parts_of(
        *(client, store, wanted, authors),
        outbox=await stack.enter_async_context(Outbox.configured(settings, book, store)) if wanted.pages else None,
        book=book,
        temporal_ui=settings.temporal_ui,
        origins=parse_list(settings.api_origins),
        uploaded=settings.audience_megabytes * 2**20,
    )
    if wanted.api or wanted.pages:
        authors.prepare()
        served.crew = await stack.enter_async_context(
            running_operations(client.services.operations, client.services.campaigns)
        )
    served.what += [name for name, asked in (("the API", wanted.api), ("pages", wanted.pages)) if asked]
    if wanted.callbacks:
        transport = await stack.enter_async_context(Transport())
        served.routes = routes_of(settings, temporal, store, book, transport)
