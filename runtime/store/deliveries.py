"""The log of deliveries: one row an attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import sqlalchemy as sa

from runtime.store.database import Queries, matching, row_of
from runtime.store.outgoing import destination_pauses
from runtime.store.passages import DayCount
from runtime.store.schema import day_of, entries, erased_name, partial_index, table_of

RESPONSE_LENGTH = 2048  # maximum number of characters of a stored response
COUNTED: Final = 100_000  # maximum number of attempts counted: some tenths of a second for SQLite
DELIVERED = "delivered"  # the outcome of most attempts
SENT: Final = (DELIVERED, "refused_answer", "retry", "failed", "unknown")  # attempts that reached the destination


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver."""

    delivery_id: str
    attempt: int
    workflow_id: str
    run_id: str  # the run that made the attempt, which may be a later one than the journey's first
    scenario: str
    version: int
    step: str
    channel: str  # ``email``, ``webhook``, …
    destination: str  # name of the destination or host; for e-mail and SMS the server or provider
    contact_id: str
    started_at: datetime
    milliseconds: int
    outcome: str  # ``delivered``, ``retry``, ``failed``, ``unknown``, ``skipped``, …
    status: int | None = None
    error: str | None = None
    next_try_at: datetime | None = None
    response: str | None = None  # start of the response without secrets, cut to ``RESPONSE_LENGTH`` characters
    trace_id: str | None = None
    now: str | None = None  # the value of `now` in its templates, or None if it is not recorded
    test_by: str | None = None  # sender of a test message, which has no `workflow_id`; None for a journey's
    recipient: str | None = None
    """Hash of the address that it was sent to, which other deliveries do not share. None for webhooks."""


deliveries = table_of(
    "deliveries",
    Attempt,
    # An operator's retry restarts the attempt numbers, so the time is part of the key.
    sa.PrimaryKeyConstraint("delivery_id", "attempt", "started_at"),
    sa.Index(None, "workflow_id", "started_at"),
    sa.Index(None, "destination", "started_at"),
    sa.Index(None, "contact_id", "started_at"),
    sa.Index(None, "scenario", "started_at"),
    sa.Index(None, "started_at"),
    # Partial, since most deliveries succeed at their first attempt.
    partial_index(None, "destination", "next_try_at", where="next_try_at IS NOT NULL"),
    partial_index(None, "outcome", "started_at", where="outcome <> 'delivered'"),
    partial_index(None, "error", "started_at", where="error IS NOT NULL"),
    # Responses have a shorter retention than attempts.
    partial_index("ix_deliveries_answered", "started_at", where="response IS NOT NULL"),
)
"""One row a delivery attempt."""

_table = deliveries.c


class TextCipher(Protocol):
    """Encrypts contacts' texts."""

    async def seal(self, contact: str | None, text: str) -> str | None: ...

    async def unseal(self, text: str) -> str | None: ...

    async def is_erased(self, contact: str) -> bool: ...

    async def erased(self, contacts: Collection[str]) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """Number of attempts with the same step, outcome and error."""

    version: int
    step: str
    outcome: str
    error: str | None
    n: int


@dataclass(frozen=True, slots=True)
class BackoffCount:
    """Deliveries of a scenario to a destination that wait for their next attempt."""

    scenario: str
    destination: str
    n: int
    since: datetime  # start of the first attempt of the oldest of them


@dataclass(frozen=True)
class OutcomeCounts:
    """Number of attempts by destination and outcome; `is_cut` if there were more than the limit."""

    by_destination: dict[str, dict[str, int]]
    is_cut: bool


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


class Deliveries(Queries):
    """The table of attempts. `sealing` encrypts responses, if it is not None."""

    sealing: TextCipher | None = None

    async def is_erased(self, contact: str) -> bool:
        """Return True if a contact was erased: new data about it is refused."""
        return self.sealing is not None and await self.sealing.is_erased(contact)

    async def erased_among(self, contacts: Collection[str]) -> set[str]:
        """Return those of these contacts that were erased."""
        return set() if self.sealing is None else set(await self.sealing.erased(contacts))

    async def _closed(self, attempt: Attempt) -> dict[str, Any]:
        response = attempt.response
        if response is not None:
            if len(response) > RESPONSE_LENGTH:
                response = response[: RESPONSE_LENGTH - 1] + "…"
            if self.sealing is not None:
                # A batch call has the id of its workflow in the place of a contact's.
                contact = None if attempt.contact_id == attempt.workflow_id else attempt.contact_id
                response = await self.sealing.seal(contact, response)
        return row_of(deliveries, attempt) | {"response": response}

    async def _opened(self, rows: Iterable[sa.RowMapping | Mapping[str, Any]]) -> list[Attempt]:
        found = [Attempt(**row) for row in rows]
        if (sealing := self.sealing) is None:
            return found
        return [
            item if item.response is None else replace(item, response=await sealing.unseal(item.response))
            for item in found
        ]

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store attempts. Those that are stored already (same delivery, number and start) stay unchanged.

        After a failure some may be stored; all may be passed again. Attempts of an erased contact are stored under its
        pseudonym.
        """
        if attempts:
            known = {attempt.contact_id for attempt in attempts}
            gone: Mapping[str, str] = await self.sealing.erased(known) if self.sealing is not None else {}
            rows = [await self._closed(_without(gone.get(attempt.contact_id), attempt)) for attempt in attempts]
            await self._database.write_many(self._database.insert(deliveries).on_conflict_do_nothing(), rows)

    async def deliveries(
        self,
        workflow_id: str | None = None,
        run_id: str | None = None,
        *,
        delivery_id: str | None = None,
        contact_id: str | None = None,
        channel: str | None = None,
        destination: str | None = None,
        scenario: str | None = None,
        version: int | None = None,
        scenarios: Collection[str] | None = None,
        step: str | None = None,
        outcome: str | None = None,
        error: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        after: tuple[datetime, int, str] | None = None,
        limit: int = 1000,
    ) -> list[Attempt]:
        """Return the newest attempts that match, in the order of their start.

        The error of a skipped message is the reason, such as ``capped``. `after` are start, number and delivery of the
        first attempt of the page before.
        """
        wanted = matching(
            deliveries,
            workflow_id=workflow_id,
            run_id=run_id,
            delivery_id=delivery_id,
            contact_id=contact_id,
            channel=channel,
            destination=destination,
            version=version,
            step=step,
            outcome=outcome,
            error=error,
        )
        if scenario is not None:
            # With a more selective filter, the index by scenario must not be used.
            few = (workflow_id, run_id, delivery_id, contact_id, destination)
            is_only = all(value is None for value in few) and outcome in (None, DELIVERED)
            wanted.append((_table.scenario if is_only else _table.scenario.concat("")) == scenario)
        if scenarios is not None:
            # With several scenarios, their index does not provide the order.
            wanted.append(_table.scenario.concat("").in_(sorted(scenarios)))
        if outcome is not None and outcome != DELIVERED:
            wanted.append(_WENT_WRONG)  # makes the partial index applicable
        if since is not None:
            wanted.append(_table.started_at >= since)
        if before is not None:
            wanted.append(_table.started_at < before)
        order = _table.started_at, _table.attempt, _table.delivery_id
        if after is not None:
            # The first column alone as well: an index is read by it.
            place = sa.tuple_(*after, types=[column.type for column in order])
            wanted += [_table.started_at <= after[0], sa.tuple_(*order) < place]
        statement = sa.select(deliveries).where(*wanted).order_by(*(column.desc() for column in order)).limit(limit)
        return await self._opened(reversed(await self._database.read(statement)))

    async def delivered(self, delivery_id: str) -> Attempt | None:
        """Return the first attempt that delivered a message, without its response, or None if there is none."""
        wanted = sa.select(deliveries).where(_table.delivery_id == delivery_id, _table.outcome == DELIVERED)
        found = await self._database.read(wanted.order_by(_table.attempt, _table.started_at).limit(1))
        return replace(Attempt(**found[0]), response=None) if found else None

    async def between_attempts(self, destination: str, *, since: datetime, limit: int = 10_000) -> list[Attempt]:
        """Return the latest attempt of each delivery that waits for its next one, ordered by that time.

        Only Temporal knows whether they still wait: an operator may have skipped the step. The time since when they are
        or were due bounds the search: every attempt that was followed by another is on record.
        """
        wanted = (_table.destination == destination, _table.next_try_at >= since, *_IS_LATEST)
        waiting = sa.select(deliveries).where(*wanted).order_by(_table.next_try_at, _table.delivery_id).limit(limit)
        return await self._opened(await self._database.read(waiting))

    async def awaiting_retry(self, *, since: datetime, each: int) -> dict[str, tuple[int, list[Attempt]]]:
        """Return the number of deliveries that wait for their next attempt, and the `each` newest, by destination.

        Only deliveries whose latest attempt started since then count.
        """
        rows = await self._database.read(_TO_BE_TRIED_AGAIN, {"since": since, "each": each})
        attempts = await self._opened({name: row[name] for name in _COLUMNS} for row in rows)
        found: dict[str, tuple[int, list[Attempt]]] = {}
        for row, attempt in zip(rows, attempts, strict=True):
            found.setdefault(attempt.destination, (row["waiting"], []))[1].append(attempt)
        return found

    async def outcomes(self, *, since: datetime, most: int = COUNTED) -> OutcomeCounts:
        """Count the outcomes of attempts since a time, at most the newest `most`."""
        newest = newest_attempts((_table.destination, _table.outcome), most, _table.started_at >= since).c
        rows = await self._tuples(sa.select(*newest, sa.func.count()).group_by(*newest))
        found: dict[str, dict[str, int]] = {}
        for destination, outcome, attempts in rows:
            found.setdefault(destination, {})[outcome] = attempts
        return OutcomeCounts(found, sum(row[2] for row in rows) >= most)

    async def attempt_counts(self, scenario: str, *, since: datetime) -> list[AttemptCount]:
        """Count the attempts of a scenario's steps since a time."""
        kind = (_table.version, _table.step, _table.outcome, _table.error)
        where = (_table.scenario == scenario, _table.started_at >= since, _table.test_by.is_(None))
        counts = sa.select(*kind, sa.func.count().label("n")).where(*where)
        return await self._all(AttemptCount, counts.group_by(*kind))

    async def backoffs(self, *, since: datetime) -> list[BackoffCount]:
        """Count the deliveries that `awaiting_retry` counts, by scenario and destination."""
        return await self._all(BackoffCount, _BACKOFFS, {"since": since})

    async def attempts_by_day(self, scenario: str, *, since: datetime, most: int = COUNTED) -> list[DayCount]:
        """Count the attempts of a scenario's steps by day in UTC, at most the newest `most`."""
        day = day_of(_table.started_at, on_sqlite=self._database.one_writer)
        kind = (day, _table.version, _table.step, _table.outcome)
        newest = newest_attempts(kind, most, _table.scenario == scenario, _table.started_at >= since).c
        return await self._all(DayCount, sa.select(*newest, sa.func.count().label("total")).group_by(*newest))


class DestinationTraffic(Queries):
    """The table of attempts, by destination."""

    async def traffic(self, destination: str, *, since: datetime, most: int = COUNTED) -> Traffic:
        """Count the attempts at a destination since a time, at most the newest `most`."""
        columns = (_table.started_at, _table.outcome, _table.milliseconds)
        newest = newest_attempts(columns, most, _table.destination == destination, _table.started_at >= since).c
        kind = ((sa.cast(sa.extract("epoch", newest.started_at), sa.Integer) // 3600).label("hour"), newest.outcome)
        hours: dict[datetime, dict[str, int]] = {}
        for hour, outcome, n in await self._tuples(sa.select(*kind, sa.func.count()).group_by(*kind)):
            hours.setdefault(datetime.fromtimestamp(hour * 3600, UTC), {})[outcome] = n
        length = newest.milliseconds
        durations = sa.select(length, sa.func.count()).where(newest.outcome.in_(SENT))
        found = await self._tuples(durations.group_by(length).order_by(length))
        is_cut = sum(sum(counts.values()) for counts in hours.values()) >= most
        return Traffic(hours, found, is_cut)

    async def failing_since(self, destination: str) -> datetime | None:
        """Return the start of the first failed attempt since the last delivery, or None if there is none."""
        return await self._value(_FAILING, {"destination": destination})

    async def paused_since(self, destination: str) -> datetime | None:
        """Return since when workers have reported that a destination is paused, or None."""
        paused = destination_pauses.c
        return await self._value(sa.select(paused.paused_at).where(paused.destination == destination))


def newest_attempts(columns: Sequence[sa.ColumnElement[Any]], most: int, *where: sa.ColumnElement[bool]) -> sa.Subquery:
    """Select columns of the newest attempts that match, without test messages."""
    found = sa.select(*columns).where(*where, _table.test_by.is_(None))
    return found.order_by(_table.started_at.desc()).limit(most).subquery()


def _without(name: str | None, attempt: Attempt) -> Attempt:
    if name is None:
        return attempt
    whose = erased_name(name)
    journey = f"{attempt.scenario}/{whose}" if attempt.test_by is None else ""
    place = {"contact_id": whose, "workflow_id": journey}
    return replace(attempt, **place, response=None, trace_id=None, next_try_at=None, recipient=None)


_WENT_WRONG = _table.outcome != sa.literal_column(f"'{DELIVERED}'")
_later = deliveries.alias()
_IS_LATEST = (
    _table.next_try_at.is_not(None),
    ~sa.exists().where(_later.c.delivery_id == _table.delivery_id, _later.c.started_at > _table.started_at),
    # Ended journeys, and later ones with the same id, have no delivery in progress.
    sa.exists().where(
        entries.c.workflow_id == _table.workflow_id,
        entries.c.ended_at.is_(None),
        entries.c.admitted_at <= _table.started_at,
    ),
)
_COLUMNS: Final = tuple(_table.keys())
_whither = _table.destination.concat("")  # not from an index: that of destinations has no times
_by_destination = (
    sa.select(
        deliveries,
        sa.func.count().over(partition_by=_whither).label("waiting"),
        sa.func.row_number().over(partition_by=_whither, order_by=_table.started_at.desc()).label("place"),
    )
    .where(_WENT_WRONG, _table.started_at >= sa.bindparam("since"), *_IS_LATEST)
    .subquery()
)
_TO_BE_TRIED_AGAIN = (
    sa.select(_by_destination)
    .where(_by_destination.c.place <= sa.bindparam("each"))
    .order_by(_by_destination.c.destination, _by_destination.c.place)
)
_first = deliveries.alias()
_waiting = (
    sa.select(
        _table.scenario,
        _table.destination,
        # By the number, which the index has in order: a delivery may have hundreds of attempts.
        sa.select(_first.c.started_at)
        .where(_first.c.delivery_id == _table.delivery_id)
        .order_by(_first.c.attempt, _first.c.started_at)
        .limit(1)
        .scalar_subquery()
        .label("since"),
    )
    .where(_WENT_WRONG, _table.started_at >= sa.bindparam("since"), _table.test_by.is_(None), *_IS_LATEST)
    .subquery()
)
_BACKOFFS = sa.select(
    _waiting.c.scenario,
    _waiting.c.destination,
    sa.func.count().label("n"),
    sa.func.min(_waiting.c.since).label("since"),
).group_by(_waiting.c.scenario, _waiting.c.destination)
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
    _table.outcome.in_(("retry", "failed", "unknown")),
    _table.started_at
    > sa.func.coalesce(_last, sa.bindparam("never", datetime(1970, 1, 1, tzinfo=UTC), _table.started_at.type)),
)
