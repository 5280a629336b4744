"""Prunes the store batch by batch, with pauses for other writers."""

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
"""Length of the pause after a batch, as a multiple of its duration: pruning takes a tenth of the time at most."""
LEAST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 30.0
"""Seconds. A batch that took minutes waited for a lock, which a longer pause does not help."""

VACUUM: Final = (
    "the space of what was deleted is used again, and its bytes remain in the files until VACUUM (SQLite), "
    "or autovacuum and VACUUM FULL (PostgreSQL)"
)
"""Advice about the disk space of deleted rows."""


class Pruned(Protocol):
    """The interface of the store."""

    def agenda(self, ages: Ages, now: datetime, again: Mapping[str, tuple[int, frozenset[str]]]) -> PruningPlan: ...

    async def learn_again(self, known: dict[str, tuple[int, frozenset[str]]]) -> None: ...

    async def delete_some(self, job: PruningJob, since: datetime) -> PrunedBatch: ...


@dataclass(frozen=True)
class PruningPosition:
    """A position in a plan.

    Attributes:
        job: Name of the next job; "" at the start.
    """

    job: str = ""
    since: datetime = BEGINNING


@dataclass
class PruningResult:
    """The result of a run.

    Attributes:
        pause: Seconds to pause before that.
    """

    place: PruningPosition | None = None
    pause: float = 0.0
    deleted: Counter[str] = field(default_factory=Counter[str])
    kept: tuple[str, ...] = ()


class Pruner:
    """Prunes a store. Caches the rules of published versions, which never change."""

    def __init__(self, store: Pruned) -> None:
        self._store = store
        self._again: dict[str, tuple[int, frozenset[str]]] = {}

    async def agenda(self, ages: Ages, now: datetime) -> PruningPlan:
        """Return what to delete."""
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
        """Delete expired rows.

        Args:
            seconds: Time limit, including pauses, after at least one batch; None for no limit.
            told: Called after each batch with its table and the number of deleted rows.
            paused: Called before each pause with its length in seconds.
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
