"""Everything that journeys need, on this machine alone: Temporal's dev server, inbox, receiver, gateway, worker.

Nothing that is sent here leaves the machine: e-mails and SMS end in the inbox, every webhook at the local receiver.
"""

from __future__ import annotations

import asyncio
import base64
import secrets as random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from activities.email.senders import ANY
from activities.webhook.route import Diverted
from gateway.callbacks.server import application
from gateway.client import ScenarioClient
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.folder import make_folder
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.process.http_server import HttpServer
from runtime.secrets import Secrets
from runtime.settings import Settings
from worker import Services, running, services, workers

SENDER = "Scenario Runner <scenario-runner@example.com>"


@dataclass(frozen=True)
class LocalStack:
    """The local servers, up and running.

    Attributes:
        client: To enter contacts and look at journeys.
        server: Temporal.
        inbox: Where e-mails and SMS end.
        receiver: Where webhooks end.
        gateway: Where callbacks are received, at addresses that are good until it stops.
        services: What the worker works with.
    """

    client: ScenarioClient
    server: DevServer
    inbox: Inbox
    receiver: Receiver
    gateway: HttpServer
    services: Services


@asynccontextmanager
async def local(
    state: Path,
    *,
    port: int = 0,
    ui_port: int = 0,
    fail: Mapping[str, Sequence[int]] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> AsyncGenerator[LocalStack]:
    """Starts everything, and ends it.

    Args:
        state: Folder of databases, inbox and what the receiver got.
        port: Of Temporal; 0 takes a free one.
        ui_port: Of Temporal's UI; 0 takes a free one.
        fail: Path at the receiver → statuses that it answers first.
        secrets: Instead of the environment's.

    Raises:
        SetupError: Something cannot be started; the sentence says what to do.
        StoreError: The store cannot be opened.
    """
    state = await asyncio.to_thread(_folder, state)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(DevServer(state, port=port, ui_port=ui_port))
        inbox = await stack.enter_async_context(Inbox(state / "inbox"))
        receiver = await stack.enter_async_context(Receiver(folder=state / "received", fail=fail))
        gateway = await stack.enter_async_context(HttpServer(purpose="the gateway"))
        temporal = await connect(server.address, role="local")
        await search_attributes.ensure(temporal)
        settings = Settings(
            store=SecretStr(f"sqlite+aiosqlite:///{state / 'store.db'}"),
            smtp=SecretStr(inbox.url),
            mail_from=SENDER,
            mail_from_allowed=ANY,
            sms=SecretStr("local:"),
            callback_url=gateway.url,
            callback_key=SecretStr(base64.b64encode(random.token_bytes()).decode()),
        )
        routes = Diverted(receiver.url)
        opened = await stack.enter_async_context(services(settings, inbox=inbox.folder, routes=routes))
        if secrets is not None:
            environ = {f"SCENARIO_SECRET_{name}": value for name, value in secrets.items()}
            opened = replace(opened, secrets=Secrets(settings, environ))
        await stack.enter_async_context(running(workers(temporal, opened)))
        if opened.channels.callbacks is not None:
            gateway.start(application(opened.channels.callbacks, temporal))
        client = ScenarioClient(temporal, opened.store, settings.platform_timezone)
        yield LocalStack(client, server, inbox, receiver, gateway, opened)


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
