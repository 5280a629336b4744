"""The local servers: Temporal's dev server, inbox, receiver, gateway, worker.

By default, messages stay on the machine: e-mails and SMS go to the inbox, webhooks to the local receiver, and secrets
are stand-ins.
"""

from __future__ import annotations

import asyncio
import base64
import secrets as random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client

from activities.attempt_log import Log
from activities.channel import adapters
from activities.dependencies import INBOX, WorkerServices, channels_of
from activities.retention import keep_schedule
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Diverted
from activities.webhook.throttle.server_rates import pacing
from gateway.client import ScenarioClient
from gateway.local.stand_ins import StandIns
from gateway.local.ways_in import WaysIn, let_in
from gateway.operations.background import running_operations
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import encrypt_client
from runtime.encryption.opening import check_keys, keyring_of
from runtime.errors import LocalError
from runtime.identity import StoreIdentity
from runtime.local import make_folder, write_private
from runtime.local.devserver import DevServer
from runtime.local.inbox import Inbox
from runtime.local.receiver import NAME, Receiver
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from runtime.store import Store
from worker import running_workers, services, workers

_KEY = "suppression.key"


@dataclass(frozen=True)
class LocalStack:
    """The running local servers.

    Attributes:
        client: A client.
        server: Temporal.
        inbox: Receives e-mails and SMS.
        receiver: Receives webhooks.
        gateway: Receives callbacks.
        ways_in: The API and the pages, on the same port.
        services: The worker's services.
    """

    client: ScenarioClient
    server: DevServer
    inbox: Inbox
    receiver: Receiver
    gateway: HttpServer
    ways_in: WaysIn
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
    """Start everything, and stop it at the end.

    Args:
        state: Folder of databases, inbox and received webhooks.
        port: Port of Temporal; 0 for a free one.
        ui_port: Port of Temporal's UI; 0 for a free one.
        gateway_port: Port of the API, the pages and callbacks; 0 for a free one.
        fail: First statuses of the receiver, by place.
        send: Send for real, with the environment's channels and secrets.
        resume: Let running journeys send, too.
        log: Wraps the log of attempts.

    Raises:
        SetupError: Something cannot be started.
        StoreError: The store cannot be opened.
    """
    state = await asyncio.to_thread(_folder, state)
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
        await StoreIdentity(connected, opened_store).settle()
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
            await stack.enter_async_context(pacing(temporal, destinations))
        else:
            opened = replace(opened, secrets=StandIns())
        opened = replace(opened, writer=log(opened.writer))
        await keep_schedule(working, settings.retention)
        await stack.enter_async_context(running_workers(await workers(working, opened)))
        client = ScenarioClient(
            *(temporal, opened.store, settings.platform_timezone),
            *(settings.destinations if send else None, settings.policies),
        )
        await stack.enter_async_context(running_operations(client.services.operations))
        ways_in = await let_in(
            gateway, client, opened, settings, state, destinations=destinations, temporal_ui=server.ui_url, keyring=keys
        )
        stack.push_async_callback(ways_in.authors.close)
        stack.push_async_callback(gateway.stop)  # before what its requests need is closed
        yield LocalStack(client, server, inbox, receiver, gateway, ways_in, opened)


async def _refuse_others(temporal: Client, state: Path) -> None:
    """Refuse to send if contacts entered when nothing was sent.

    Raises:
        LocalError: Journeys are running.
    """
    under_way = await temporal.count_workflows(search_attributes.RUNNING)
    if under_way.count:
        raise LocalError(
            f"journeys are running in {state} ({under_way.count}), and would send for real: let them by --resume, "
            "or begin in another folder with --state"
        )


def _settled(environment: Settings, inbox: Inbox, gateway: HttpServer, state: Path, *, send: bool) -> Settings:
    """Return the environment's settings with local replacements."""
    here: dict[str, Any] = {"store": environment.store}
    if not send:
        for channel in adapters().values():
            here.update(channel.local_settings(inbox))
    if not send or environment.suppression_key is None:
        here.update(suppression_key=SecretStr(kept_key(state / _KEY)), suppression_key_previous=None)
    if not send or environment.callback_url is None:
        key = SecretStr(base64.b64encode(random.token_bytes()).decode())
        here.update(callback_url=gateway.url, callback_key=key)
    return Settings(**here)


def kept_key(path: Path) -> str:
    """Return the folder's suppression key, created if there is none.

    Raises:
        LocalError: It cannot be read or written.
    """
    try:
        if not path.exists():
            write_private(path, base64.b64encode(random.token_bytes()))
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


def _folder(state: Path) -> Path:
    make_folder(state)
    return state.resolve()
