"""The record of an operation that was sent to one journey: it stands among those on many."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from runtime.store import OperationItem, Store, StoredOperation
from scenario.words import Operation

IN_JOURNEY: Final = "recorded in the journey"


async def record_operation(
    store: Store,
    journey: str,
    operation: Operation,
    arguments: Mapping[str, Any],
    *,
    operator: str,
    requested_at: datetime,
    identifier: str | None,
) -> None:
    """Record an operation that a journey has accepted. Idempotent if it has an id.

    Its reason may be about the contact, so only the journey's history has it, which is encrypted and erased.

    Raises:
        StoreError: The store cannot be written.
    """
    known = await store.entry(journey) or await store.stored_batch(journey)
    more = {name: value for name, value in arguments.items() if value is not None}
    which: dict[str, Any] = {"scenario": known.scenario if known else journey.partition("/")[0]}
    which |= {name: more.pop(name) for name in ("step", "destination") if name in more}
    at = datetime.now(UTC)
    stored = StoredOperation(
        id=identifier or uuid.uuid4().hex[:20],
        verb=operation,
        request={"which": which, "rate": 0.0, "limit": None, "dry_run": False, "everybody": False, "more": more},
        operator=operator,
        reason=IN_JOURNEY,
        created_at=requested_at,
        surveyed_at=at,
        ended_at=at,
        outcome="finished",
    )
    if await store.add_operation(stored):
        item = OperationItem(number=1, workflow_id=journey, step=which.get("step"), outcome="accepted", answered_at=at)
        await store.add_items(stored.id, [item])
