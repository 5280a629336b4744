"""The local servers: Temporal's dev server, inbox, receiver, gateway, worker.

By default, messages stay on the machine: e-mails and SMS go to the inbox, webhooks to the local receiver, and secrets
are stand-ins.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from temporalio.client import Client

from activities.attempt import Log
from activities.audience.sync import starting_audience_syncs
from activities.channel import adapters
from activities.dependencies import INBOX, WorkerServices, channels_of, sending_events
from activities.journal.journal import Journal, delivering_journal
from activities.retention import keep_schedule
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Diverted
from activities.webhook.server_rates import pacing
from gateway import codec
from gateway.api.authentication import Keys
from gateway.callbacks.app import application, routes_of
from gateway.pages.app import Door
from gateway.serving import OPEN, Front, Parts, parts_of
from runtime import search_attributes
from runtime.api_keys import SCOPES, ApiKey, make_token, parse_token
from runtime.connection import connect
from runtime.encryption.codec import check_keys, keyring_of
from runtime.encryption.converter import encrypt_client
from runtime.encryption.keyring import Keyring
from runtime.errors import LocalError
from runtime.identity import StoreIdentity
from runtime.local import make_folder, write_private
from runtime.local.devserver import DevServer
from runtime.local.receiver import NAME, Inbox, Receiver
from runtime.platform_dates import agree_on_dates
from runtime.process.http_server import HttpServer
from runtime.secrets import Secrets
from runtime.settings import Settings, parse_list
from runtime.store import Store
from service.authoring_process import Authoring, Setup
from service.client import ScenarioClient
from service.operations.background import running_operations
from service.sending import Outbox, Trials
from worker import running_workers, services, workers

_KEY = "suppression.key"


@dataclass(frozen=True)
class LocalStack:
    """The running local servers."""

    client: ScenarioClient
    server: DevServer
    inbox: Inbox  # receives e-mails and SMS
    receiver: Receiver
    gateway: HttpServer
    access: LocalAccess  # the API and the pages, on the same port
    services: WorkerServices


@asynccontextmanager
async def local(
    state: Path,
    *,
    port: int = 0,
    ui_port: int = 0,
    gateway_port: int = 0,
    fail: Mapping[str, Sequence[int]] | None = None,
    send: bool = False,
    resume: bool = True,
    log: Callable[[Log], Log] = lambda log: log,
) -> AsyncGenerator[LocalStack]:
    """Start everything, and stop it at the end. `log` wraps the log of attempts.

    The folder `state` has databases, inbox and received webhooks. `fail` has the receiver's first statuses, by place.
    With `send`, messages are sent for real, with the environment's channels and secrets; with `resume`, also those of
    running journeys. Raise SetupError if something cannot be started, or StoreError if the store cannot be opened.
    """
    await asyncio.to_thread(make_folder, state)
    state = await asyncio.to_thread(state.resolve)
    store = SecretStr(f"sqlite+aiosqlite:///{state / 'store.db'}")
    # Report mistakes of the environment before a server starts.
    environment = Settings(store=store)
    destinations = DestinationsFile(environment.destinations if send else None)
    if send:
        channels_of(environment, INBOX)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(HttpServer(gateway_port, purpose="the API and the pages"))
        server = await stack.enter_async_context(DevServer(state, port=port, ui_port=ui_port))
        inbox = await stack.enter_async_context(Inbox(state / "inbox"))
        receiver = await stack.enter_async_context(Receiver(folder=state / "received", fail=fail, told=state / NAME))
        opened_store = await stack.enter_async_context(Store.open(store.get_secret_value()))
        keys = keyring_of(environment, opened_store)
        await check_keys(keys, opened_store)
        connected = await connect(server.address, role="local")
        journal = opened_store.journal = Journal.configured(environment, connected, opened_store)
        await StoreIdentity(connected, opened_store).settle()
        await journal.begin_anew()
        await stack.enter_async_context(delivering_journal(journal))
        await agree_on_dates(environment, opened_store, change=True)
        temporal, working = encrypt_client(connected, keys), encrypt_client(connected, keys, worker=True)
        await search_attributes.ensure(temporal)
        if send and not resume:
            await _refuse_others(temporal, state)
        settings = _settled(environment, inbox, gateway, state, send=send)
        opened = await stack.enter_async_context(
            services(
                settings,
                store=opened_store,
                inbox=inbox.folder,
                routes=None if send else Diverted(receiver.url, receiver.refuses),
                destinations=destinations,
            )
        )
        if send:
            await stack.enter_async_context(pacing(temporal, destinations, opened_store, opened.webhook_queues))
        else:
            opened = replace(opened, secrets=StandIns())
        opened = replace(opened, writer=log(opened.writer))
        await keep_schedule(working, settings.retention)
        await stack.enter_async_context(running_workers(await workers(working, opened)))
        await stack.enter_async_context(starting_audience_syncs(working, opened_store))
        await stack.enter_async_context(sending_events(opened))
        client = ScenarioClient(
            *(temporal, opened.store, settings.platform),
            *(settings.destinations if send else None, settings.policies, parse_list(settings.trusted_events)),
        )
        await stack.enter_async_context(running_operations(client.services.operations, client.services.campaigns))
        access = await serve_gateway(
            gateway, client, opened, settings, state, destinations=destinations, temporal_ui=server.ui_url, keyring=keys
        )
        stack.push_async_callback(access.authors.close)
        stack.push_async_callback(gateway.stop)  # before the resources of its requests are closed
        yield LocalStack(client, server, inbox, receiver, gateway, access, opened)


async def _refuse_others(temporal: Client, state: Path) -> None:
    """Refuse to send if contacts entered when nothing was sent. Raise LocalError if journeys are running."""
    under_way = await temporal.count_workflows(search_attributes.RUNNING)
    if under_way.count:
        raise LocalError(
            f"journeys are running in {state} ({under_way.count}), and would send for real: let them by --resume, "
            "or begin in another folder with --state"
        )


def _settled(environment: Settings, inbox: Inbox, gateway: HttpServer, state: Path, *, send: bool) -> Settings:
    here: dict[str, Any] = {"store": environment.store}
    if not send:
        for channel in adapters().values():
            here.update(channel.local_settings(inbox))
    if not send or environment.suppression_key is None:
        here.update(suppression_key=SecretStr(kept_key(state / _KEY)), suppression_key_previous=None)
    if not send or environment.callback_url is None:
        key = SecretStr(base64.b64encode(secrets.token_bytes()).decode())
        here.update(callback_url=gateway.url, callback_key=key)
    return Settings(**here)


def kept_key(path: Path) -> str:
    """Return the folder's suppression key, created if there is none. Raise LocalError if its file cannot be used."""
    try:
        if not path.exists():
            write_private(path, base64.b64encode(secrets.token_bytes()))
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise LocalError(f"{path} cannot be read or written: check its permissions") from None


async def until_interrupted() -> None:
    """Wait for Ctrl-C and treat it as the normal end.

    `asyncio.run` turns the first Ctrl-C into a cancellation of its task, and the second into `KeyboardInterrupt`.
    """
    task = asyncio.current_task()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if task is not None:
            task.uncancel()


class StandIns(Secrets):
    """Has a stand-in for every name, and records the requested names."""

    def __init__(self) -> None:
        super().__init__(Settings(secrets_dir=None))
        self._made = _Made()

    def _variables(self) -> dict[str, str]:
        return self._made


class _Made(dict[str, str]):
    def __missing__(self, name: str) -> str:
        self[name] = value = f"stand-in-{name}"
        return value


KEY: Final = "api.key"  # name of the file with the API key


@dataclass(frozen=True)
class LocalAccess:
    """Addresses of the local gateway."""

    pages: str  # a sign-in link that works until the server ends
    api: str
    key: str
    authors: Authoring  # checks and previews, to be closed


async def serve_gateway(
    gateway: HttpServer,
    client: ScenarioClient,
    given: WorkerServices,
    settings: Settings,
    state: Path,
    *,
    destinations: DestinationsFile,
    temporal_ui: str,
    keyring: Keyring,
) -> LocalAccess:
    """Serve the API and the pages. Raise LocalError or StoreError if the key's file or the store cannot be used."""
    key = await kept_api_key(state / KEY, given.store)
    identifier, _ = parse_token(key) or ("", "")
    door = Door(secrets.token_urlsafe(24), identifier)
    setup, book = Setup.of(settings), destinations if destinations.configured else None
    authors = Authoring(setup)
    parts = parts_of(
        *(client, given.store, Parts(api=True, pages=True), authors),
        # Test messages go where all others go: nowhere but here, unless this sends for real.
        outbox=Outbox(
            *(setup, given.channels, given.routes, given.secrets, book),
            Trials(store=given.store, hashes=given.channels.hashes, recipients=settings.test_recipients),
        ),
        book=destinations,
        temporal_ui=temporal_ui,
        door=door,
        uploaded=settings.audience_megabytes * 2**20,
    )
    if keyring.encrypts:
        parts[f"{codec.PREFIX}/"] = codec.application(keyring, Keys(given.store), [temporal_ui])
    if (callbacks := given.channels.callbacks) is not None:
        more = routes_of(settings, client.temporal, given.store, destinations, given.transport)
        open_to_all = application(callbacks, client.temporal, list(chain.from_iterable(more.values())))
        parts.update(dict.fromkeys(OPEN, open_to_all))
    gateway.start(Front(parts))
    return LocalAccess(f"{gateway.url}/open/{door.token}", f"{gateway.url}/v1", key, authors)


async def kept_api_key(path: Path, store: Store) -> str:
    """Return the folder's API key with all scopes, created if there is no valid one.

    Raise LocalError or StoreError if its file or the store cannot be used.
    """
    now = datetime.now(UTC)
    try:
        kept = await asyncio.to_thread(lambda: path.read_text("ascii").strip() if path.exists() else "")
        if parsed := parse_token(kept):
            known = await store.key(parsed[0])
            if known is not None and known.fits(parsed[1]) and known.is_good(now):
                return kept
        token, identifier, digest = make_token()
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, None, "local servers", now, "scenario dev"))
        await asyncio.to_thread(write_private, path, f"{token}\n".encode())
    except (OSError, UnicodeDecodeError):
        raise LocalError(f"{path} cannot be read or written: check its permissions") from None
    return token
