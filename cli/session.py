"""The connection of a command to Temporal and the store, with its errors as messages for people."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from temporalio.service import RPCError

    from runtime.errors import SetupError
    from runtime.store import Store
    from service.client import ScenarioClient

_Answer = TypeVar("_Answer")
PATIENCE: Final = 2.0  # seconds to wait for a server. A person waits meanwhile


@asynccontextmanager
async def connected() -> AsyncGenerator[ScenarioClient]:
    """Connect to the configured Temporal and store. The store is never created or migrated here.

    Raise SetupError if a setting is wrong, or no server can be reached; StoreError if the store cannot be opened.
    """
    from temporalio.service import RPCError

    from runtime.settings import Settings
    from runtime.telemetry.telemetry import Telemetry
    from service.client import ScenarioClient

    quieten()
    settings = Settings()
    telemetry = Telemetry.start(measures=False)
    try:
        async with ScenarioClient.open(settings, patience=PATIENCE) as client:
            try:
                yield client
            except RPCError as error:
                raise worded(error, client.temporal.namespace) from error
    finally:
        telemetry.shutdown()


def ask(question: Callable[[ScenarioClient], Coroutine[Any, Any, _Answer]]) -> _Answer:
    """Call a client of the configured Temporal and store, and return the result. Raises as `connected`."""

    async def run() -> _Answer:
        async with connected() as client:
            return await question(client)

    return asyncio.run(run())


def ask_store(question: Callable[[Store], Coroutine[Any, Any, _Answer]], *, writes: bool = False) -> _Answer:
    """Call the configured store, without Temporal, and return the result. Raises as `stored`."""

    async def run() -> _Answer:
        async with stored(writes=writes) as store:
            return await question(store)

    return asyncio.run(run())


@asynccontextmanager
async def stored(*, writes: bool = False, migrate: bool = False, make: bool = False) -> AsyncGenerator[Store]:
    """Open only the configured store. If the command `writes`, refuse a copy, if Temporal can be reached.

    With `migrate`, bring it up to date, and create the local one if it does not exist; with `make` too, any other one.
    Raise SettingsError if a setting is wrong, or StoreError if it cannot be opened, does not exist, or is a copy.
    """
    from runtime.encryption.codec import keyring_of
    from runtime.settings import Settings
    from runtime.store import Store

    settings = Settings()
    url = settings.store.get_secret_value()
    async with Store.open(url, make=make or settings.has_default_store, migrate=migrate) as store:
        if writes and await store.has_claims():
            await _verify(store)
        keyring_of(settings, store)
        yield store


async def _verify(store: Store) -> None:
    from runtime.connection import connect
    from runtime.errors import ConnectionFailed
    from runtime.identity import StoreIdentity

    try:
        await StoreIdentity(await connect(role="scenario", patience=0.0), store).verify()
    except ConnectionFailed:  # writing to the store must work without Temporal
        return


def quieten() -> None:
    """Keep log lines off a person's terminal: the command prints what matters once."""
    if os.environ.get("SCENARIO_DEBUG"):
        from runtime.telemetry import logs

        logs.configure(level=logging.INFO)
    else:
        logging.getLogger().addHandler(logging.NullHandler())


def worded(error: RPCError, namespace: str) -> SetupError:
    """Convert an error of Temporal to one of ours. Its text is dropped, since it may quote the request."""
    from runtime.errors import AttributesMissing, ConnectionFailed
    from runtime.temporal_faults import fault_of

    fault = fault_of(error, namespace)
    return (AttributesMissing if fault.lacks_attributes else ConnectionFailed)(fault.advice)
