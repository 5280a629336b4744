"""Everything that journeys need, on this machine alone: Temporal's dev server, inbox, receiver, gateway, worker.

Unless told otherwise, nothing that is sent leaves the machine: e-mails and SMS end in the inbox, every webhook at the
local receiver, and secrets are stand-ins.
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
from activities.channels import channels_of
from activities.dependencies import INBOX
from activities.retention_schedule import keep_schedule
from activities.webhook.destinations.watch import DestinationsFile
from activities.webhook.route import Diverted
from activities.webhook.throttle.rate_sync import pacing
from gateway.client import ScenarioClient
from gateway.local.stand_ins import StandIns
from gateway.local.ways_in import WaysIn, let_in
from gateway.operations.background import running_operations
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import encrypt_client
from runtime.encryption.opening import check_keys, keyring_of
from runtime.errors import LocalError
from runtime.identity.identity import StoreIdentity
from runtime.local.answers import NAME
from runtime.local.devserver import DevServer
from runtime.local.folder import make_folder, write_private
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from runtime.store import Store
from worker import Services, running_workers, services, workers

_KEY = "suppression.key"


@dataclass(frozen=True)
class LocalStack:
    """The local servers, up and running.

    Attributes:
        client: To enter contacts and look at journeys.
        server: Temporal.
        inbox: Where e-mails and SMS end.
        receiver: Where webhooks end.
        gateway: Where callbacks are received, at addresses that are good until it stops.
        ways_in: Where people and engines come in, by the same server.
        services: What the worker works with.
    """

    client: ScenarioClient
    server: DevServer
    inbox: Inbox
    receiver: Receiver
    gateway: HttpServer
    ways_in: WaysIn
    services: Services


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
    """Starts everything, and ends it.

    Args:
        state: Folder of databases, inbox and what the receiver got.
        port: Of Temporal; 0 takes a free one.
        ui_port: Of Temporal's UI; 0 takes a free one.
        gateway_port: Of the API, the pages and callbacks; 0 takes a free one.
        fail: Place at the receiver → statuses that it answers first.
        send: Send messages to where they are meant for, as the environment sets the channels, with its secrets.
        resume: Whether journeys that are under way may go on to do so.
        log: Makes of the log of attempts the one that the worker is given.

    Raises:
        SetupError: Something cannot be started; the sentence says what to do.
        StoreError: The store cannot be opened.
    """
    state = await asyncio.to_thread(_folder, state)
    store = SecretStr(f"sqlite+aiosqlite:///{state / 'store.db'}")
    # What is wrong with the environment is said before a server is started.
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
        await stack.enter_async_context(running_operations(client))
        ways_in = await let_in(
            gateway, client, opened, settings, state, destinations=destinations, temporal_ui=server.ui_url, keyring=keys
        )
        stack.push_async_callback(ways_in.authors.close)
        stack.push_async_callback(gateway.stop)  # before what its requests need is closed
        yield LocalStack(client, server, inbox, receiver, gateway, ways_in, opened)


async def _refuse_others(temporal: Client, state: Path) -> None:
    """Makes sure that nobody is written to who came in when nothing was sent.

    Raises:
        LocalError: Journeys are under way.
    """
    under_way = await temporal.count_workflows(search_attributes.RUNNING)
    if under_way.count:
        raise LocalError(
            f"journeys are under way in {state} ({under_way.count}), and would send for real: let them by --resume, "
            "or begin in another folder with --state"
        )


def _settled(environment: Settings, inbox: Inbox, gateway: HttpServer, state: Path, *, send: bool) -> Settings:
    """The environment's settings, with what is here in the place of what leads elsewhere, or nowhere."""
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
    """The key that the folder's suppressions were made with, made anew where there is none yet.

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
    """Waits for Ctrl-C, and takes it as the end that was meant: what follows, and its exit status, is as without it.

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
