"""Attempts at one destination: by hour, by duration, and since the last success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from runtime.store.database import Queries
from runtime.store.deliveries import COUNTED, DELIVERED, deliveries, newest_attempts
from runtime.store.outgoing import destination_pauses

SENT: Final = ("delivered", "retry", "failed", "unknown")  # outcomes of attempts that reached out to the destination

_HOUR: Final = timedelta(hours=1)
_table = deliveries.c


@dataclass(frozen=True)
class Traffic:
    """Attempts at a destination."""

    hours: Mapping[datetime, Mapping[str, int]]
    """Number of attempts by outcome, by the full hour in which they started, in UTC."""
    durations: Sequence[tuple[int, int]]  # milliseconds of an attempt and number of attempts, the shortest first
    is_cut: bool  # True if there were more attempts than the newest, which were counted

    def percentile(self, share: float) -> int | None:
        """Return the milliseconds within which a share of attempts ended, or None without attempts."""
        left = share * sum(n for _, n in self.durations)
        for milliseconds, n in self.durations:
            left -= n
            if left <= 0:
                return milliseconds
        return None


class DestinationTraffic(Queries):
    """The table of attempts, by destination."""

    async def traffic(self, destination: str, *, since: datetime, most: int = COUNTED) -> Traffic:
        """Count the attempts at a destination since a time, at most the newest `most`."""
        columns = (_table.started_at, _table.outcome, _table.milliseconds)
        newest = newest_attempts(columns, most, _table.destination == destination, _table.started_at >= since).c
        kind = ((sa.cast(sa.extract("epoch", newest.started_at), sa.Integer) // 3600).label("hour"), newest.outcome)
        hours: dict[datetime, dict[str, int]] = {}
        for row in await self._database.read(sa.select(*kind, sa.func.count().label("n")).group_by(*kind)):
            hour = datetime.fromtimestamp(row["hour"] * _HOUR.total_seconds(), UTC)
            hours.setdefault(hour, {})[row["outcome"]] = row["n"]
        length = newest.milliseconds
        durations = sa.select(length, sa.func.count().label("n")).where(newest.outcome.in_(SENT))
        found = await self._database.read(durations.group_by(length).order_by(length))
        is_cut = sum(sum(counts.values()) for counts in hours.values()) >= most
        return Traffic(hours, [(row["milliseconds"], row["n"]) for row in found], is_cut)

    async def failing_since(self, destination: str) -> datetime | None:
        """Return the start of the first failed attempt since the last delivery, or None if there is none."""
        [row] = await self._database.read(_FAILING, {"destination": destination})
        return row["since"]

    async def paused_since(self, destination: str) -> datetime | None:
        """Return since when workers have reported that a destination is paused, or None."""
        paused = destination_pauses.c
        rows = await self._database.read(sa.select(paused.paused_at).where(paused.destination == destination))
        return rows[0]["paused_at"] if rows else None


_other = deliveries.alias()
_last = (
    sa.select(_other.c.started_at)
    .where(_other.c.destination == sa.bindparam("destination"), _other.c.outcome == DELIVERED)
    .order_by(_other.c.started_at.desc())
    .limit(1)
    .scalar_subquery()
)
_FAILING = sa.select(sa.func.min(_table.started_at).label("since")).where(
    _table.destination == sa.bindparam("destination"),
    _table.test_by.is_(None),
    _table.outcome.in_([outcome for outcome in SENT if outcome != DELIVERED]),
    _table.started_at
    > sa.func.coalesce(_last, sa.bindparam("never", datetime(1970, 1, 1, tzinfo=UTC), _table.started_at.type)),
)
