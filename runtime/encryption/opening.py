"""Encryption of a process, from its settings and its store, and rotation of the settings' keys."""

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

from runtime.encryption.keyring import Keyring, KeyWrapping, read_plain
from runtime.errors import SettingsError
from runtime.process.shutdown import background_task
from runtime.settings import Settings
from runtime.store import Store, StoreError
from runtime.store.contact_keys import WrappedKey

logger = logging.getLogger(__name__)

EVERY: Final = 20.0
"""Seconds between records of this process's keys."""
EXPIRES: Final = timedelta(seconds=90)
"""Time for which a killed process still counts as running."""


def keyring_of(settings: Settings, store: Store) -> Keyring:
    """Return the keyring of the settings. The store encrypts with it, if encryption is configured."""
    keys = store.sealing = Keyring(store, KeyWrapping.configured(settings))
    return keys


def keyring_in(store: Store) -> Keyring:
    """Return the keyring a store encrypts with, or else one that only knows the erased contacts."""
    return store.sealing if isinstance(store.sealing, Keyring) else Keyring(store, None)


async def check_keys(keys: Keyring, store: Store) -> None:
    """Check that this process can decrypt, as far as a few keys of the store show.

    A worker without keys could read no journey, and a gateway would send in clear what should be encrypted. With wrong
    keys, each journey would fail while the process seemed healthy.

    Raises:
        SettingsError: The store has keys of contacts that cannot be unwrapped.
    """
    # One of two may be the index key, which is in clear without encryption.
    some = await store.wrapped_keys(limit=2)
    if not keys.encrypts and any(read_plain(key.wrapped_key) is None for key in some):
        raise SettingsError(
            "the store has keys of contacts, so journeys are encrypted: set SCENARIO_ENCRYPTION_KEYS here, too"
        )
    for key in some:
        keys.unwrapped(key)
    await keys.is_erased("")  # unwraps the index key


@asynccontextmanager
async def recording_keys(keys: Keyring, store: Store, role: str) -> AsyncGenerator[None]:
    """Record in the store which keys this process has, until it ends; see `rotate`."""
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
                logger.warning("the encryption keys of this process cannot be recorded in the store: %s", error)
            except Exception:  # any error: a rotation would ignore a process without a record
                logger.exception("the encryption keys of this process cannot be recorded in the store")

    await tell()
    try:
        async with background_task(run(), "telling keys"):
            yield
    finally:
        with suppress(StoreError):
            await store.release_keys(process)


_TOGETHER = 500


async def rotate(store: Store, wrapping: KeyWrapping) -> tuple[int, int]:
    """Wrap every key with the newest of the settings' keys. Return the numbers of rewrapped and of current keys.

    Once the older key is destroyed, erased data stays unreadable in copies of the store too. May be interrupted and
    repeated, also while keys are created or destroyed.

    Raises:
        SettingsError: A key that wrapped one is missing in the settings, or a running process lacks the newest key.
    """
    newest = wrapping.names[0]
    if lacking := [
        holder.process for holder in await store.key_holders(datetime.now(UTC)) if newest not in holder.keys
    ]:
        raise SettingsError(
            f"nothing was rewrapped: {len(lacking)} running processes lack the newest key, such as the "
            f"{lacking[0]}. Restart them with that key first in the list. A killed process counts for 90 seconds"
        )
    done = before = 0
    last = ""
    clear: list[tuple[WrappedKey, bytes]] = []
    while keys := await store.wrapped_keys(last, _TOGETHER):
        for key in keys:
            if wrapping.is_current(key.wrapped_key):
                before += 1
            elif (bare := read_plain(key.wrapped_key)) is not None:
                clear.append((key, bare))  # the index key
            else:
                wrapped = wrapping.close(wrapping.open(key.wrapped_key, key.owner), key.owner)
                done += await store.rewrap(key.key_id, key.wrapped_key, wrapped)
        last = keys[-1].key_id
    # Last: with wrong keys the loop above has failed, while this one could still be wrapped.
    for key, bare in clear:
        done += await store.rewrap(key.key_id, key.wrapped_key, wrapping.close(bare, key.owner))
    return done, before
