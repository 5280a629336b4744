"""The ways in of the local servers: callbacks, the API and the pages, on one port, with a key that is simply there."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

from activities.dependencies import Services
from activities.webhook.destinations.watch import DestinationsFile
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
from runtime.api_key import SCOPES, ApiKey, make_token, parse_token
from runtime.encryption.keyring import Keyring
from runtime.errors import LocalError
from runtime.local.folder import write_private
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from runtime.store import Store

KEY: Final = "api.key"
"""The file in the folder of the state that holds the key."""


@dataclass(frozen=True)
class WaysIn:
    """Where people and engines come in.

    Attributes:
        pages: The pages' address, which signs in whoever opens it, until the server ends.
        api: The API's address.
        key: A key that is good for everything.
        authors: Checks and previews for them, until it is closed.
    """

    pages: str
    api: str
    key: str
    authors: Authoring


async def let_in(
    gateway: HttpServer,
    client: ScenarioClient,
    given: Services,
    settings: Settings,
    state: Path,
    *,
    destinations: DestinationsFile,
    temporal_ui: str,
    keyring: Keyring,
) -> WaysIn:
    """Starts to serve them.

    Args:
        gateway: The server that listens already.
        client: Does what is asked for.
        given: What the worker works with.
        settings: Of this process.
        state: The folder that keeps the key.
        destinations: Among which the platform may be.
        temporal_ui: The address of Temporal's UI.
        keyring: The keys of contacts.

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
    """The key of all scopes that a folder has, made anew where it has none that is good.

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
