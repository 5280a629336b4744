"""Starts of the workflows of batch calls, also of those that were lost."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.background import BATCH_WORKFLOW, BatchStart
from activities.content import Content, UnknownVersion
from activities.interface import JOURNEYS
from activities.periodic import repeating
from activities.priority import priority_of
from runtime.store import Store
from runtime.store.batches import StoredBatch
from scenario.steps.delivery import Send
from scenario.steps.registry import dump_row

EVERY: Final = 60.0
"""Seconds between two looks for batches without a workflow."""
LEASE: Final = "batches"
_LOST: Final = timedelta(minutes=1)  # time after which a batch that is due and has not ended may have lost its workflow
_CALL: Final = timedelta(seconds=5)


async def start_batch(client: Client, store: Store, content: Content, batch: StoredBatch) -> bool:
    """Start a batch's workflow. Return False if it runs, or has completed.

    One that was terminated on the server starts again, with the same members and the same delivery id.
    """
    opened = await content.open(batch.scenario, batch.version)
    row = opened.table.steps.get(batch.step)
    if not isinstance(row, Send) or row.batch is None:
        raise UnknownVersion(f"the step '{batch.step}' of {batch.scenario}@{batch.version} is not a batch call")
    start = BatchStart(
        batch=batch.id,
        scenario=batch.scenario,
        version=batch.version,
        step=batch.step,
        row=dump_row(row),
        zone=opened.scenario.timezone,
        purpose=opened.scenario.purpose,
    )
    is_started = False
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            BATCH_WORKFLOW,
            start,
            id=batch.id,
            task_queue=JOURNEYS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            static_summary=f"{batch.scenario}@{batch.version} · {batch.step}",
            priority=priority_of(opened.scenario.purpose),
            rpc_timeout=_CALL,
        )
        is_started = True
    await store.mark_batch_started(batch.id, datetime.now(UTC))
    return is_started


async def start_overdue_batches(client: Client, store: Store, content: Content) -> int:
    """Start the workflows of batches that are due, have not ended and have none. Return their number."""
    overdue = await store.overdue_batches(datetime.now(UTC) - _LOST)
    return sum([await start_batch(client, store, content, batch) for batch in overdue])


def starting_batches(client: Client, store: Store, content: Content) -> AbstractAsyncContextManager[None]:
    """Start the workflows of overdue batches, periodically, in one worker at a time."""

    async def start() -> None:
        await start_overdue_batches(client, store, content)

    return repeating(store, LEASE, start, every=EVERY)
