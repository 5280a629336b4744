"""The services of a process that sends: its channels, transport, store and files, opened and closed in order.

The channels judge their settings when the process starts. `runtime.settings` passes these settings unchanged.
"""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from temporalio.client import Client

from activities import redaction
from activities.attempt import Log
from activities.audience.sync import MembershipBook
from activities.channel import WorkerContext, adapters
from activities.channel_registry import CHANNELS, webhook_queues
from activities.content import Content
from activities.email.settings import parse_server
from activities.gate import PolicyGate
from activities.interface import JOURNEYS
from activities.outgoing.file import OutgoingFile
from activities.outgoing.sender import DestinationPauses, OutgoingSender
from activities.passages import PassageWriter
from activities.suppressions import address_seal
from activities.webhook.batches import Batches
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter
from activities.webhook.platform import PlatformCalls
from activities.webhook.route import Direct, Routes
from runtime.derived_keys import AddressHashes, SealedToken, suppression_keys
from runtime.errors import SettingsError
from runtime.process.health import Certificates, measuring_certificates, temporal_certificates
from runtime.process.shutdown import Deadline, background_task
from runtime.public_links import Callbacks, ReturnPaths, Unsubscribing
from runtime.secrets import Secrets
from runtime.settings import Settings
from runtime.store import AttemptWriter, Store
from runtime.watched_file import PoliciesFile
from scenario.entry.values import PlatformDates

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


@dataclass(frozen=True)
class Channels:
    """Connections of channels, and makers of links and return paths."""

    connections: Mapping[str, Any] = field(default_factory=dict[str, Any])  # by channel; only configured ones
    callbacks: Callbacks | None = None  # makes `journey.callback_url`, if configured
    unsubscribing: Unsubscribing | None = None  # makes `journey.unsubscribe_url`, if configured
    hashes: AddressHashes | None = None  # hashes addresses for suppressions, if configured
    seal: SealedToken | None = None  # seals addresses in reports to the platform. Configured together with `hashes`.
    return_paths: ReturnPaths | None = None  # return paths of e-mails. If None, bounces go to the sender.

    def connection(self, channel: str) -> Any:
        return self.connections.get(channel)

    async def close(self, within: float) -> None:
        """Close all connections, waiting at most `within` seconds for each server."""
        for connection in reversed(list(self.connections.values())):
            await connection.close(within)

    @property
    def sentence(self) -> str:
        """A log line that lists the configured parts, without addresses and secrets."""
        words: dict[str, bool] = {}
        for name, channel in adapters().items():
            if CHANNELS[name].queue == JOURNEYS:  # it only writes to the store
                continue
            connection = self.connection(name)
            words[channel.label(connection)] = connection is not None or not channel.setting
        words |= {
            "callbacks": self.callbacks is not None,
            "suppressions": self.hashes is not None,
            "bounces": self.return_paths is not None,
            "unsubscribing": self.unsubscribing is not None,
        }
        there = ", ".join(word for word, configured in words.items() if configured)
        missing = ", ".join(word for word, configured in words.items() if not configured)
        return f"configured: {there}" + (f"; not configured: {missing}" if missing else "")


def channels_of(settings: Settings, inbox: Path) -> Channels:
    """Return the configured channels, not connected. Raise SettingsError, which names variables and shows no value."""
    wrong: list[str] = []

    def judged(made: Callable[[], Made | None]) -> Made | None:
        try:
            return made()
        except SettingsError as error:
            wrong.append(str(error))
            return None

    made = {name: judged(partial(channel.connect, settings, inbox)) for name, channel in adapters().items()}
    keys = suppression_keys(settings)
    found = Channels(
        connections={name: connection for name, connection in made.items() if connection is not None},
        callbacks=judged(lambda: Callbacks.configured(settings)),
        unsubscribing=Unsubscribing.configured(settings),
        hashes=AddressHashes.configured(settings),
        seal=address_seal(keys) if keys else None,
        return_paths=judged(lambda: ReturnPaths.configured(settings)),
    )
    if wrong:
        raise SettingsError("; ".join(wrong))
    return found


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
class WorkerServices:
    """Services of a worker."""

    store: Store  # versions, journeys, attempts
    writer: Log
    content: Content
    transport: Transport
    channels: Channels  # connections of other channels, and makers of links
    secrets: Secrets
    platform: PlatformDates
    refuses_plain: bool  # True if entries in plain text are refused
    routes: Routes
    destinations: DestinationsFile
    passages: PassageWriter
    policies: PoliciesFile
    outgoing: OutgoingFile
    limiter: Limiter
    calls: PlatformCalls
    queue_shards: int  # for new deliveries of webhooks
    webhook_queues: Sequence[str]  # the queues to serve: an earlier number may have been higher

    def worker_context(self, gate: PolicyGate) -> WorkerContext:
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
            limiter=self.limiter,
            calls=self.calls,
            memberships=MembershipBook(self.store),
            batches=Batches(self.store, self.content),
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
    outgoing: OutgoingFile | None = None,
    channels: Channels | None = None,
    deadline: Deadline | None = None,
) -> AsyncGenerator[WorkerServices]:
    """Open the services, and close them at the end. Raise SettingsError if a setting or a file is wrong.

    Arguments are open, read or configured already. A store that is passed in stays open.

    Args:
        inbox: Folder for messages of the SMS provider ``local:``.
        routes: URLs of webhooks that replace those of scenarios and `destinations.yaml`.
    """
    destinations = destinations or DestinationsFile(settings.destinations if routes is None else None)
    channels = channels or channels_of(settings, inbox or INBOX)
    events = outgoing or OutgoingFile(settings.outgoing)
    ending = deadline or Deadline(math.inf)
    async with AsyncExitStack() as stack:
        if store is None:
            store = await stack.enter_async_context(Store.open(settings.store.get_secret_value()))
        await store.want_events(events.content.wanted)
        pauses = DestinationPauses(store)
        stack.push_async_callback(pauses.close)
        writer = AttemptWriter(store, lambda: events.content.reports_deliveries)
        stack.push_async_callback(lambda: writer.close(ending.left(_LOG, keep=_AFTER_LOG)))
        passages = await stack.enter_async_context(PassageWriter(store))
        transport = await stack.enter_async_context(Transport())
        stack.push_async_callback(lambda: channels.close(ending.left(_CHANNELS, keep=_AFTER_CHANNELS)))
        secrets = Secrets(settings)
        limiter = Limiter(seed=f"{socket.gethostname()}/{os.getpid()}", changed=pauses)
        yield WorkerServices(
            store=store,
            writer=writer,
            content=Content(store),
            transport=transport,
            channels=channels,
            secrets=secrets,
            platform=settings.platform,
            refuses_plain=settings.plain_entries == "refuse",
            routes=routes or Direct(destinations),
            destinations=destinations,
            passages=passages,
            policies=policies or PoliciesFile(settings.policies),
            outgoing=events,
            limiter=limiter,
            calls=PlatformCalls(transport, secrets.snapshot, limiter),
            queue_shards=settings.queue_shards,
            webhook_queues=webhook_queues(await store.raise_queue_shards(settings.queue_shards)),
        )


@asynccontextmanager
async def sending_events(given: WorkerServices, may_send: Callable[[], bool] = lambda: True) -> AsyncGenerator[None]:
    """Send events while that is allowed, until the context ends."""
    sender = OutgoingSender(given.store, given.outgoing, given.calls, given.routes, may_send)
    async with background_task(sender.run(), "outgoing-events"):
        yield


def warn_of_short(secrets: Secrets) -> None:
    """Log the secrets that are too short to be masked reliably in responses."""
    with suppress(SettingsError):  # deliveries report an unreadable folder
        if names := redaction.short(secrets.snapshot()):
            logger.warning(
                "the secrets %s are shorter than %d characters, so responses mask them only "
                "as whole words: use longer ones",
                ", ".join(names),
                redaction.SHORT,
            )


def measured_certificates(
    client: Client, settings: Settings, destinations: DestinationsFile
) -> AbstractContextManager[None]:
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
