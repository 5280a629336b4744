"""Services that activities need, opened before the workers run and closed after them."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from temporalio.client import Client

from activities.attempt_log import Log
from activities.channel import WorkerContext
from activities.channels import Channels, channels_of
from activities.content import Content
from activities.email.server import parse_server
from activities.gate import Gate
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.route import Direct, Routes
from activities.webhook.throttle.limiter import Limiter
from runtime.certificates import Certificates, measuring_certificates, temporal_certificates
from runtime.process.shutdown import Deadline
from runtime.secrets import Secrets
from runtime.settings import Settings
from runtime.store import AttemptWriter, Store
from runtime.watched_file import PoliciesFile

INBOX: Final = Path(".scenario/inbox")
"""Default folder of the SMS provider ``local:``."""
CLOSING: Final = 6.0
"""Seconds that closing everything may take."""
# In the order in which things are closed: what each has at most, and what of the time is kept for those after it.
_CHANNELS: Final = 2.0
_AFTER_CHANNELS: Final = 5.0
_LOG: Final = 10.0
_AFTER_LOG: Final = 3.0


@dataclass(frozen=True)
class Services:
    """Services of a worker.

    Attributes:
        store: Versions, journeys, attempts.
        writer: Records attempts.
        content: Published versions.
        transport: Sends webhooks.
        channels: Connections of other channels, and makers of links.
        secrets: Secrets of webhooks.
        zone: The platform's time zone.
        routes: URLs of webhooks.
        destinations: The destinations.
        policies: The rules for all scenarios.
    """

    store: Store
    writer: Log
    content: Content
    transport: Transport
    channels: Channels
    secrets: Secrets
    zone: str
    routes: Routes
    destinations: DestinationsFile
    policies: PoliciesFile = field(default_factory=PoliciesFile)

    def worker_context(self, gate: Gate, limiter: Limiter) -> WorkerContext:
        return WorkerContext(
            content=self.content,
            log=self.writer,
            gate=gate,
            callbacks=self.channels.callbacks,
            unsubscribing=self.channels.unsubscribing,
            return_paths=self.channels.return_paths,
            transport=self.transport,
            routes=self.routes,
            secrets=self.secrets.snapshot,
            limiter=limiter,
        )


@asynccontextmanager
async def services(
    settings: Settings,
    *,
    store: Store | None = None,
    inbox: Path | None = None,
    routes: Routes | None = None,
    destinations: DestinationsFile | None = None,
    policies: PoliciesFile | None = None,
    channels: Channels | None = None,
    deadline: Deadline | None = None,
    patience: float = 0.0,
) -> AsyncGenerator[Services]:
    """Open the services, and close them at the end.

    Args:
        settings: The process's settings.
        store: An open store, which stays open.
        inbox: Folder for messages of the SMS provider ``local:``.
        routes: URLs of webhooks that replace those of scenarios and `destinations.yaml`.
        destinations: The destinations, if they are already read.
        policies: The policies, if they are already read.
        channels: The channels, if they are already configured.
        deadline: End of the process.
        patience: Seconds to wait for a store that cannot be reached.

    Raises:
        SettingsError: A channel's setting, `destinations.yaml` or `policies.yaml` is wrong.
        StoreError: The store cannot be opened.
    """
    destinations = destinations or DestinationsFile(settings.destinations if routes is None else None)
    channels = channels or channels_of(settings, inbox or INBOX)
    ending = deadline or Deadline(math.inf)
    async with AsyncExitStack() as stack:
        if store is None:
            store = await stack.enter_async_context(Store.open(settings.store.get_secret_value(), patience=patience))
        writer = AttemptWriter(store)
        stack.push_async_callback(lambda: writer.close(ending.left(_LOG, keep=_AFTER_LOG)))
        transport = await stack.enter_async_context(Transport())
        stack.push_async_callback(lambda: channels.close(ending.left(_CHANNELS, keep=_AFTER_CHANNELS)))
        yield Services(
            store=store,
            writer=writer,
            content=Content(store),
            transport=transport,
            channels=channels,
            secrets=Secrets(settings),
            zone=settings.platform_timezone,
            routes=routes or Direct(destinations),
            destinations=destinations,
            policies=policies or PoliciesFile(settings.policies),
        )


def measured_certificates(
    client: Client, settings: Settings, destinations: DestinationsFile
) -> AbstractContextManager[None]:
    """Measure the seconds left of all certificates of a worker."""
    return measuring_certificates(
        lambda: {**temporal_certificates(client), **certificates_of(settings, destinations.book)}
    )


def certificates_of(settings: Settings, book: Destinations) -> Certificates:
    """Return the paths of the certificates for destinations and the mail server."""
    found: dict[tuple[str, str | None], bytes | str] = {}
    for name, destination in book.destinations.items():
        for use, path in (("client", destination.tls.cert_file), ("ca", destination.tls.ca_file)):
            if path:
                found[use, name] = path
    ca = parse_server(settings.smtp.get_secret_value()).ca if settings.smtp is not None else None
    return found | ({("smtp_ca", None): ca} if ca else {})
