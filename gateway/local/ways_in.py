"""Callbacks, the API and the pages of the local servers, on one port, with a ready API key."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

from activities.dependencies import WorkerServices
from activities.webhook.destinations.reading import DestinationsFile
from gateway.api.authentication import Keys
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.callbacks.server import application, routes_of
from gateway.client import ScenarioClient
from gateway.codec import app as codec
from gateway.outbox import Outbox
from gateway.pages.sign_in import Door
from gateway.serving import OPEN, Front, Parts, parts_of
from gateway.trial_messages import Trials
from runtime.encryption.keyring import Keyring
from runtime.errors import LocalError
from runtime.local import write_private
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.api_access import SCOPES, ApiKey, make_token, parse_token

KEY: Final = "api.key"
"""Name of the file with the API key."""


@dataclass(frozen=True)
class WaysIn:
    """Addresses of the local gateway.

    Attributes:
        pages: A sign-in link that works until the server ends.
        api: The API's URL.
        key: An API key with all scopes.
        authors: Checks and previews, to be closed.
    """

    pages: str
    api: str
    key: str
    authors: Authoring


async def let_in(
    gateway: HttpServer,
    client: ScenarioClient,
    given: WorkerServices,
    settings: Settings,
    state: Path,
    *,
    destinations: DestinationsFile,
    temporal_ui: str,
    keyring: Keyring,
) -> WaysIn:
    """Serve the API and the pages.

    Args:
        gateway: The listening server.
        client: The client.
        given: The worker's services.
        settings: Settings of this process.
        state: Folder with the key.
        destinations: The destinations.
        temporal_ui: URL of Temporal's UI.
        keyring: The contacts' keys.

    Raises:
        LocalError: The key's file cannot be read or written.
        StoreError: The store cannot be used.
    """
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
    )
    if keyring.encrypts:
        parts[f"{codec.PREFIX}/"] = codec.application(keyring, Keys(given.store), [temporal_ui])
    if (callbacks := given.channels.callbacks) is not None:
        more = routes_of(settings, client.temporal, given.store, destinations)
        open_to_all = application(callbacks, client.temporal, list(chain.from_iterable(more.values())))
        parts.update(dict.fromkeys(OPEN, open_to_all))
    gateway.start(Front(parts))
    return WaysIn(f"{gateway.url}/open/{door.token}", f"{gateway.url}/v1", key, authors)


async def kept_api_key(path: Path, store: Store) -> str:
    """Return the folder's API key with all scopes, created if there is no valid one.

    Raises:
        LocalError: Its file cannot be read or written.
        StoreError: The store cannot be used.
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
