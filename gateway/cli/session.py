"""The connection of a command to Temporal and the store, and what goes wrong with it in words."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from temporalio.service import RPCError

    from gateway.client import ScenarioClient
    from runtime.errors import SetupError
    from runtime.store import Store

_Answer = TypeVar("_Answer")

PATIENCE: Final = 2.0
"""Seconds that a server may take to answer: a person waits."""


@asynccontextmanager
async def connected() -> AsyncGenerator[ScenarioClient]:
    """A client of the configured Temporal and store. The store is never made or migrated here.

    Raises:
        SetupError: A setting is wrong, there is no server, or it went away.
        StoreError: There is no store, or it cannot be opened.
    """
    from temporalio.service import RPCError

    from gateway.client import ScenarioClient
    from runtime.bounded_calls import bounded
    from runtime.connection import connect
    from runtime.encryption.codec import encrypting
    from runtime.encryption.opening import check_keys, keyring_of
    from runtime.settings import Settings
    from runtime.telemetry.telemetry import Telemetry

    quieten()
    settings = Settings()
    telemetry = Telemetry.start(measures=False)
    try:
        temporal = await connect(role="scenario", patience=PATIENCE)
        async with stored(migrate=False) as store:
            keys = keyring_of(settings, store)
            await check_keys(keys, store)
            temporal = bounded(encrypting(temporal, keys))
            try:
                yield ScenarioClient(temporal, store, settings.platform_timezone, policies=settings.policies)
            except RPCError as error:
                raise worded(error, temporal.namespace) from error
    finally:
        telemetry.shutdown()


def ask(question: Callable[[ScenarioClient], Coroutine[Any, Any, _Answer]]) -> _Answer:
    """What a client of the configured Temporal and store answers to one question.

    Raises:
        SetupError: As for `connected`.
        StoreError: As for `connected`.
    """

    async def run() -> _Answer:
        async with connected() as client:
            return await question(client)

    return asyncio.run(run())


@asynccontextmanager
async def stored(*, migrate: bool) -> AsyncGenerator[Store]:
    """The configured store alone.

    Args:
        migrate: Make it, or bring it up to date.

    Raises:
        SettingsError: A setting is wrong.
        StoreError: It cannot be opened, or there is none and none is to be made.
    """
    from runtime.encryption.opening import keyring_of
    from runtime.settings import Settings
    from runtime.store import Store

    settings = Settings()
    async with Store.open(settings.store.get_secret_value(), migrate=migrate) as store:
        keyring_of(settings, store)
        yield store


def quieten() -> None:
    """Keeps log lines off a person's terminal: what they have to know is said once, by the command."""
    if os.environ.get("SCENARIO_DEBUG"):
        from runtime.telemetry import logs

        logs.configure(level=logging.INFO)
    else:
        logging.getLogger().addHandler(logging.NullHandler())


def worded(error: RPCError, namespace: str) -> SetupError:
    """An error of Temporal's as one of ours. Its own text is not passed on: it may quote what was sent."""
    from runtime.errors import AttributesMissing, ConnectionFailed
    from runtime.temporal_faults import fault_of

    fault = fault_of(error, namespace)
    return (AttributesMissing if fault.lacks_attributes else ConnectionFailed)(fault.advice)
