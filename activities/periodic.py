"""Work that one process at a time does periodically, on behalf of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio.service import RPCError

from runtime.process.shutdown import background_task
from runtime.store import Store, StoreError

logger = logging.getLogger(__name__)


@asynccontextmanager
async def repeating(
    store: Store, lease: str, work: Callable[[], Awaitable[object]], *, every: float
) -> AsyncGenerator[None]:
    """Do some work every so many seconds while this process has a lease, until the context ends.

    The lease is a plural: logs name the work by it.
    """
    holder = uuid4().hex

    async def run() -> None:
        while True:
            try:
                now = datetime.now(UTC)
                if await store.lease(lease, holder, now=now, expires_at=now + timedelta(seconds=2 * every)):
                    await work()
            except (StoreError, RPCError) as error:
                said = error.status.name if isinstance(error, RPCError) else error
                logger.warning("open %s were not looked at: %s", lease, said)
                with suppress(StoreError):  # another process may be able to do it
                    await store.give_up(lease, holder)
            except Exception:  # whatever it is: without this loop, a lost start is never repeated
                logger.exception("open %s cannot be looked at", lease)
            await asyncio.sleep(every)

    async with background_task(run(), lease):
        yield
