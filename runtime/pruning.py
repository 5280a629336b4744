"""Deletes from the store what is old enough, batch by batch, with pauses in which others get on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final, Protocol

from runtime.retention import Ages
from runtime.store.retention import BEGINNING, PrunedBatch, PruningJob, PruningPlan

PAUSE: Final = 9.0
"""How long it pauses after a batch, measured by how long that took: it works for a tenth of the time at most."""
LEAST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 30.0
"""Seconds. A batch that took minutes waited for a lock or a frozen database, which a longer pause does not help."""

VACUUM: Final = (
    "the space of what was deleted is used again, and its bytes remain in the files until VACUUM (SQLite), "
    "or autovacuum and VACUUM FULL (PostgreSQL)"
)
"""What who prunes has to know."""


class Pruned(Protocol):
    """What is pruned: `runtime.store.Store`."""

    def agenda(self, ages: Ages, now: datetime, again: Mapping[str, tuple[int, frozenset[str]]]) -> PruningPlan:
        """What there is to delete."""
        ...

    async def learn_again(self, known: dict[str, tuple[int, frozenset[str]]]) -> None:
        """Finds what scenarios' versions say as `again:`."""
        ...

    async def delete_some(self, job: PruningJob, since: datetime) -> PrunedBatch:
        """Deletes some rows."""
        ...


@dataclass(frozen=True)
class PruningPosition:
    """Where a pruning is.

    Attributes:
        job: The name of the job that is next; empty at the beginning.
        since: How far that is.
    """

    job: str = ""
    since: datetime = BEGINNING


@dataclass
class PruningResult:
    """What was deleted.

    Attributes:
        place: Where to go on; None where all is done.
        pause: Seconds in which others get on, before it does.
        deleted: How many rows, by what they are.
        kept: What is kept for longer than it was asked for, and why: sentences.
    """

    place: PruningPosition | None = None
    pause: float = 0.0
    deleted: Counter[str] = field(default_factory=Counter[str])
    kept: tuple[str, ...] = ()


class Pruner:
    """Prunes a store. Keeps what it knows of published versions, which never change.

    Args:
        store: The store.
    """

    def __init__(self, store: Pruned) -> None:
        self._store = store
        self._again: dict[str, tuple[int, frozenset[str]]] = {}

    async def agenda(self, ages: Ages, now: datetime) -> PruningPlan:
        """What there is to delete.

        Args:
            ages: How long what is kept.
            now: When.
        """
        if "entries" in ages:
            await self._store.learn_again(self._again)
        return self._store.agenda(ages, now, self._again)

    async def run(
        self,
        ages: Ages,
        now: datetime,
        place: PruningPosition | None = None,
        *,
        seconds: float | None = None,
        told: Callable[[str, int], None] = lambda table, rows: None,
        paused: Callable[[float], None] = lambda seconds: None,
    ) -> PruningResult:
        """Deletes what is old enough.

        Args:
            ages: How long what is kept.
            now: By which time.
            place: Where to begin.
            seconds: Before which it stops, its pauses included, after one batch at least; None: when all is done.
            told: Called after each batch with its table and the number of deleted rows.
            paused: Called before each pause with its length in seconds.

        Raises:
            StoreError: The store cannot be written to. What was deleted is; it may go on where it was.
        """
        place = place or PruningPosition()
        agenda, begun = await self.agenda(ages, now), monotonic()
        done = PruningResult(kept=agenda.kept)
        jobs = agenda.since(place.job)
        here = PruningPosition(jobs[0].name, place.since if jobs[0].name == place.job else BEGINNING)
        while jobs:
            started = monotonic()
            batch = await self._store.delete_some(jobs[0], here.since)
            if batch.rows:
                done.deleted[jobs[0].table] += batch.rows
                told(jobs[0].table, batch.rows)
            if batch.is_last:
                jobs = jobs[1:]
            if jobs:
                here = PruningPosition(jobs[0].name, BEGINNING if batch.is_last else batch.until)
                ended = monotonic()
                pause = min(max((ended - started) * PAUSE, LEAST_PAUSE), LONGEST_PAUSE) if batch.rows else 0.0
                if seconds is not None and ended - begun + pause >= seconds:
                    done.place, done.pause = here, pause
                    break
                paused(pause)
                await asyncio.sleep(pause)
        return done
