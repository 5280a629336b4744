"""The local activity that deletes some of what is old, for a moment: the workflow `Prune` asks again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.retention import PRUNE, Pruned, Pruning
from runtime import pruning
from runtime.errors import StoreFault
from runtime.pruning import PruningPosition
from runtime.retention import RetentionError, parse_ages
from runtime.telemetry.metrics import RETENTION_DELETED

SECONDS: Final = 2.0
"""How long it goes on: far shorter than a workflow task, which the worker would have to keep alive."""


class Prunings:
    """Deletes what is old.

    Args:
        store: The store.
    """

    def __init__(self, store: pruning.Pruned) -> None:
        self._pruning = pruning.Pruner(store)

    @activity.defn(name=PRUNE.name)
    async def prune(self, asked: Pruning) -> Pruned:
        """Deletes some.

        Raises:
            ApplicationError: The ages cannot be read, or the database refuses to delete: only people can mend that, and
                the next day's workflow looks whether they have.
            StoreError: The store cannot be written to now.
        """
        try:
            ages = parse_ages(asked.ages)
        except RetentionError as error:
            raise ApplicationError(str(error), type="RetentionError", non_retryable=True) from None
        place = PruningPosition(asked.job, datetime.fromisoformat(asked.since)) if asked.job else PruningPosition()
        try:
            done = await self._pruning.run(ages, datetime.fromisoformat(asked.now), place, seconds=SECONDS, told=_count)
        except StoreFault as error:
            raise ApplicationError(str(error), type="StoreFault", non_retryable=True) from None
        where = {"job": done.place.job, "since": done.place.since.isoformat()} if done.place else {}
        return Pruned(**where, deleted=done.deleted, kept=done.kept, pause=done.pause)


def _count(table: str, rows: int) -> None:
    RETENTION_DELETED.add(table, number=rows)
