"""The start of erasure workflows: of a new erasure, and periodically of every open erasure without a workflow.

An erasure is recorded before its workflow is started. A worker therefore starts it again if that start was lost: a
process was killed, Temporal was away, or somebody terminated the workflow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.erasure import WORKFLOW, Erasing
from activities.interface import JOURNEYS
from activities.priority import OPERATORS, priority_of
from runtime.store import Store, StoreError

logger = logging.getLogger(__name__)

EVERY: Final = 30.0
"""Seconds between two looks for open erasures."""
LEASE: Final = "erasures"
_AT_ONCE: Final = 1_000


async def start_erasure(client: Client, erasure: str) -> bool:
    """Start an erasure's workflow. Return False if it is running.

    Raises:
        RPCError: Temporal cannot be reached, or refuses.
    """
    try:
        await client.start_workflow(
            WORKFLOW,
            Erasing(erasure=erasure),
            # Without a slash, which would make a part of it a contact's id: see `runtime.encryption.codec.contact_of`.
            id=f"erasure-{erasure}",
            task_queue=JOURNEYS,
            priority=priority_of(OPERATORS),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def start_open_erasures(client: Client, store: Store) -> None:
    """Start the workflows of open erasures that have none.

    Raises:
        StoreError: The store cannot be read.
        RPCError: Temporal cannot be reached, or refuses.
    """
    for erasure in await store.open_erasures(_AT_ONCE):
        if await start_erasure(client, erasure):
            logger.warning("the erasure %s was open and had no workflow: started", erasure)


@asynccontextmanager
async def starting_erasures(client: Client, store: Store) -> AsyncGenerator[None]:
    """Start the workflows of open erasures that have none, periodically, in one worker at a time."""
    holder = uuid4().hex

    async def run() -> None:
        while True:
            try:
                now = datetime.now(UTC)
                if await store.lease(LEASE, holder, now=now, expires_at=now + timedelta(seconds=2 * EVERY)):
                    await start_open_erasures(client, store)
            except (StoreError, RPCError) as error:
                said = error.status.name if isinstance(error, RPCError) else error
                logger.warning("open erasures were not looked at: %s", said)
            except Exception:  # whatever it is: without this loop, a lost start is never repeated
                logger.exception("open erasures cannot be looked at")
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(run(), name="erasures")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
