"""The log of deliveries as people read it: page by page, the newest first, and counted by destination."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import and_, bindparam, func, or_, select

from runtime.store.database import Queries
from runtime.store.deliveries import DELIVERED, WENT_WRONG, Attempt, attempt_in
from runtime.store.schema import deliveries

COUNTED: Final = 100_000
"""Attempts that are counted at most: some tenths of a second's work for SQLite."""

_table = deliveries.c


class AttemptPlace(NamedTuple):
    """Where an attempt stands in the log; no two are at the same.

    Attributes:
        started_at: When it began.
        attempt: Its number.
        delivery_id: The delivery.
    """

    started_at: datetime
    attempt: int
    delivery_id: str


def place_of(attempt: Attempt) -> AttemptPlace:
    """The place of an attempt."""
    return AttemptPlace(attempt.started_at, attempt.attempt, attempt.delivery_id)


@dataclass(frozen=True, kw_only=True)
class WhichAttempts:
    """What attempts must have in common. What is None does not matter.

    Attributes:
        workflow_id: The journey.
        contact_id: To whom.
        scenario: The scenario's name.
        scenarios: Names of the only scenarios that count.
        step: The step's id.
        channel: By what.
        destination: The destination's name or the host; for e-mail and SMS the server's or provider's.
        outcome: How they ended.
        error: The kind of error; of what was skipped, why.
        since: They began then or later.
    """

    workflow_id: str | None = None
    contact_id: str | None = None
    scenario: str | None = None
    scenarios: Collection[str] | None = None
    step: str | None = None
    channel: str | None = None
    destination: str | None = None
    outcome: str | None = None
    error: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Outcomes:
    """How attempts ended.

    Attributes:
        by_destination: Of each destination, how many with which outcome.
        is_cut: Whether there were more than were counted: then these are the newest.
    """

    by_destination: dict[str, dict[str, int]]
    is_cut: bool


class AttemptLog(Queries):
    """The table of attempts, as lists and counts."""

    async def attempts(
        self, which: WhichAttempts, *, after: AttemptPlace | None = None, limit: int = 50
    ) -> list[Attempt]:
        """Attempts, the newest first.

        Args:
            which: Only these.
            after: Only those that come after this place: that of the last of a page, for the next page.
            limit: So many at most.
        """
        wanted = {name: value for name, value in vars(which).items() if name not in ("scenarios", "since")}
        statement = select(deliveries).where(
            *(_table[name] == value for name, value in wanted.items() if value is not None)
        )
        if which.scenarios is not None:
            statement = statement.where(_table.scenario.in_(sorted(which.scenarios)))
        if which.outcome not in (None, DELIVERED):
            statement = statement.where(WENT_WRONG)  # which says that the index of those will do
        if which.since is not None:
            statement = statement.where(_table.started_at >= which.since)
        if after is not None:
            at, number, delivery = after
            same_time = or_(_table.attempt < number, and_(_table.attempt == number, _table.delivery_id < delivery))
            # The first of the two is what an index can be searched by.
            statement = statement.where(_table.started_at <= at, or_(_table.started_at < at, same_time))
        statement = statement.order_by(_table.started_at.desc(), _table.attempt.desc(), _table.delivery_id.desc())
        return [attempt_in(row) for row in await self._database.read(statement.limit(limit))]

    async def outcomes(self, *, since: datetime, most: int = COUNTED) -> Outcomes:
        """How attempts to each destination ended.

        Args:
            since: Of those that began then or later.
            most: So many at most, the newest.
        """
        rows = await self._database.read(_OUTCOMES, {"since": since, "most": most})
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            found.setdefault(row["destination"], {})[row["outcome"]] = row["attempts"]
        return Outcomes(found, sum(row["attempts"] for row in rows) >= most)


_newest = (
    select(_table.destination, _table.outcome)
    .where(_table.started_at >= bindparam("since"))
    .order_by(_table.started_at.desc())
    .limit(bindparam("most"))
    .subquery()
)
_kind = (_newest.c.destination, _newest.c.outcome)
_OUTCOMES = select(*_kind, func.count().label("attempts")).group_by(*_kind)
