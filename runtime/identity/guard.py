"""The guard that stops a process once its store and its namespace no longer belong together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from temporalio.service import RPCError

from runtime.errors import SetupError
from runtime.identity.identity import StoreIdentity
from runtime.store import Store, StoreError, StoreMismatch

logger = logging.getLogger(__name__)

EVERY: Final = 10.0
"""Seconds between two comparisons: a few small calls each."""
_PATIENCE: Final = 30.0  # seconds that one may take


@asynccontextmanager
async def guarding(
    identity: StoreIdentity, store: Store, stop: Callable[[], None], *, rotates: bool, every: float = EVERY
) -> AsyncGenerator[None]:
    """Compare the store with its namespace periodically. On a mismatch, refuse further calls and ask to stop.

    A side that does not answer is no mismatch: its own health check reports it.

    Args:
        identity: Compares them.
        store: Refuses every call after a mismatch.
        stop: Asks the process to stop.
        rotates: Whether this process rotates the token.
        every: Seconds between two comparisons.

    Raises:
        StoreMismatch: At the end, if that is why the process stops.
    """
    found: StoreMismatch | None = None

    async def run() -> None:
        nonlocal found
        while found is None:
            await asyncio.sleep(every)
            found = await _compare(identity, rotates)
        store.bar(found)
        logger.error("%s", found)
        stop()

    task = asyncio.create_task(run(), name="guard the store's identity")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if found is not None:
            raise found


async def _compare(identity: StoreIdentity, rotates: bool) -> StoreMismatch | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await (identity.tend() if rotates else identity.verify())
    except StoreMismatch as error:
        return error
    except (StoreError, SetupError, RPCError, TimeoutError):
        return None
    except Exception:  # without further comparisons, a mismatch would stay unnoticed
        logger.exception("the identity of the store cannot be compared")
    return None
