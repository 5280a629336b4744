"""Heartbeats and error translation for the gateway's activities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from gateway.errors import BadInput, NotAnswered
from runtime.store import StoreError

logger = logging.getLogger(__name__)

BEAT: Final = 0.5
"""Seconds between two heartbeats. Their answers report a cancellation."""


@asynccontextmanager
async def guarded() -> AsyncGenerator[None]:
    """Send heartbeats during an activity, and make errors that cannot pass non-retryable."""
    beating = asyncio.create_task(_beat())
    try:
        yield
    except BadInput as error:
        raise ApplicationError(str(error), type="BadInput", non_retryable=True) from None
    except (StoreError, RPCError, NotAnswered, OSError):
        raise
    except Exception as error:
        logger.exception("the work failed")
        text = f"unexpected error ({type(error).__name__}): see the gateway's log"
        raise ApplicationError(text, type="Fault", non_retryable=True) from None
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT)
