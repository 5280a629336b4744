"""The worker's background task that keeps the server's rates in step with `destinations.yaml`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from temporalio.client import Client

from activities.webhook.destinations.watch import DestinationsFile
from activities.webhook.throttle.server_rates import RateKeeper

logger = logging.getLogger(__name__)


@asynccontextmanager
async def pacing(client: Client, destinations: DestinationsFile) -> AsyncGenerator[None]:
    """Keeps the server's rates in step with `destinations.yaml`, where there is one."""
    if not destinations.configured:
        yield
        return

    def wanted() -> tuple[float, dict[str, float]]:
        book = destinations.book
        return book.rate, book.rates

    task = asyncio.create_task(RateKeeper(client).keep(wanted))
    try:
        yield
    finally:
        task.cancel()
        for error in await asyncio.gather(task, return_exceptions=True):
            if not isinstance(error, asyncio.CancelledError):
                logger.error("the rates of destinations were not kept any more (%s)", type(error).__name__)
