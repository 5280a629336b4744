"""The number of task queues that workers must serve."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Executable, case

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import queue_shards

_QUEUE = "webhooks"


class QueueShards(Queries):
    """The table of numbers of task queues."""

    async def raise_queue_shards(self, number: int) -> int:
        """Remember the number of task queues of webhooks. Return the highest number ever remembered."""
        rows = await self._database.write(_raise(self._database.insert), {"queue": _QUEUE, "most": number})
        return rows[0]["most"]


@cache
def _raise(insert: InsertFactory) -> Executable:
    row = insert(queue_shards)
    known, new = queue_shards.c.most, row.excluded.most
    highest = case((known < new, new), else_=known)
    return row.on_conflict_do_update(index_elements=["queue"], set_={"most": highest}).returning(known)
