"""Which of the next attempts that are on record are still to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runtime.store import Attempt, Store


async def to_come(store: Store, found: Sequence[Attempt]) -> list[Attempt]:
    """Attempts with the time of the next one only where, as far as the store knows, it is to come.

    It is not where the journey is over, or has made another attempt since: of this delivery, or of a later step's.

    Args:
        store: Knows who is under way.
        found: Attempts, oldest first.
    """
    under_way = await store.under_way({item.workflow_id for item in found if item.next_try_at})
    latest = {item.workflow_id: item for item in found}
    return [
        item
        if item is latest[item.workflow_id]
        and (entry := under_way.get(item.workflow_id)) is not None
        # A contact that has left may be in again under the same id.
        and entry.admitted_at <= item.started_at
        else replace(item, next_try_at=None)
        for item in found
    ]
