"""Encryption of a process: from its settings and its store."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from runtime.encryption.keyring import Keyring
from runtime.encryption.wrapping import Wrapping, read_plain
from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Store, StoreError

logger = logging.getLogger(__name__)

EVERY: Final = 20.0
"""Seconds between two records of the keys that a process knows."""
EXPIRES: Final = timedelta(seconds=90)
"""Time for which a killed process still counts as running."""


def keyring_of(settings: Settings, store: Store) -> Keyring:
    """The keys of contacts, by which the store then encrypts what it keeps, where something is to be encrypted.

    Raises:
        SettingsError: The setting cannot be used.
    """
    keys = store.sealing = Keyring(store, Wrapping.configured(settings))
    return keys


def keyring_in(store: Store) -> Keyring:
    """Return the keys that a store encrypts by, or else a keyring that only knows who was erased."""
    return store.sealing if isinstance(store.sealing, Keyring) else Keyring(store, None)


async def check_keys(keys: Keyring, store: Store) -> None:
    """Makes sure that a process can decrypt what there is to decrypt, as far as a few keys of the store tell.

    A worker without keys could read no journey, and whoever lets contacts in would send in clear what is to be
    encrypted. With the wrong keys, each journey would say so, and the process would look well.

    Raises:
        SettingsError: The store has keys of contacts, and they cannot be unwrapped.
        StoreError: It cannot be asked.
    """
    # One of two may be what contacts are known by, which is in clear where nothing was encrypted.
    some = await store.wrapped_keys(limit=2)
    if not keys.encrypts and any(read_plain(key.wrapped_key) is None for key in some):
        raise SettingsError(
            "the store has keys of contacts, so journeys are encrypted: set SCENARIO_ENCRYPTION_KEYS here, too"
        )
    for key in some:
        keys.unwrapped(key)
    await keys.is_erased("")  # unwraps what contacts are known by


@asynccontextmanager
async def telling_keys(keys: Keyring, store: Store, role: str) -> AsyncGenerator[None]:
    """Record in the store which keys this process knows, until it ends; see `runtime.encryption.rotation`.

    Args:
        keys: Those of the process.
        store: The store.
        role: What the process is, for people: ``worker``.

    Raises:
        StoreError: The store cannot be reached at the beginning.
    """
    process = f"{role} on {socket.gethostname()} (process {os.getpid()}, {uuid4().hex[:4]})"

    async def tell() -> None:
        now = datetime.now(UTC)
        await store.hold_keys(process, keys.wrapping_keys, now=now, expires_at=now + EXPIRES)

    async def run() -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await tell()
            except StoreError as error:
                logger.warning("the store is not told which encryption keys are known here: %s", error)
            except Exception:  # whatever it is: a process without a record would be ignored by a rotation
                logger.exception("the store cannot be told which encryption keys are known here")

    await tell()
    task = asyncio.create_task(run(), name="telling keys")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        with suppress(StoreError):
            await store.release_keys(process)
