"""The log of deliveries: one row an attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Final, Protocol

from sqlalchemy import Executable, RowMapping, bindparam, exists, func, literal_column, select, tuple_

from runtime.store.database import InsertFactory, Queries
from runtime.store.erasure import erased_name
from runtime.store.schema import deliveries, entries

RESPONSE_LENGTH = 2048
"""Characters of a response that are kept."""

DELIVERED = "delivered"
"""The outcome of nearly all attempts."""

_table = deliveries.c


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery.

    Attributes:
        delivery_id: The delivery, the same over all its attempts.
        attempt: 1, 2, …; starts again when an operator retries the step.
        workflow_id: The journey.
        run_id: The run of it that made the attempt: after continue-as-new, another than its first.
        scenario: The scenario's name.
        version: The version that said what to send.
        step: The step's id.
        channel: By what: ``email``, ``webhook``, …
        destination: The destination's name or the host; for e-mail and SMS the server's or provider's.
        contact_id: To whom.
        started_at: When.
        milliseconds: How long it took.
        outcome: ``delivered``, ``retry``, ``failed``, ``unknown``, ``skipped``, …
        status: The HTTP or SMTP code, or None where there was no answer.
        error: The kind of error, or None.
        next_try_at: When the next attempt is due, or None where there is none.
        response: How the answer begins, without secrets; more than ``RESPONSE_LENGTH`` characters are cut.
        trace_id: The trace that the attempt belongs to, or None.
        now: What its templates saw as `now`, or None where that is not on record.
        test_by: Who sent it to try a step out, or None if a journey did. A test has no `workflow_id`.
    """

    delivery_id: str
    attempt: int
    workflow_id: str
    run_id: str
    scenario: str
    version: int
    step: str
    channel: str
    destination: str
    contact_id: str
    started_at: datetime
    milliseconds: int
    outcome: str
    status: int | None = None
    error: str | None = None
    next_try_at: datetime | None = None
    response: str | None = None
    trace_id: str | None = None
    now: str | None = None
    test_by: str | None = None


class TextCipher(Protocol):
    """Encrypts texts of contacts."""

    async def seal(self, contact: str, text: str) -> str | None:
        """A text, encrypted; None where the contact was erased."""
        ...

    async def unseal(self, text: str) -> str | None:
        """What it says; None where its contact was erased. A text that is not encrypted stands for itself."""
        ...

    async def is_erased(self, contact: str) -> bool:
        """Whether a contact was erased."""
        ...

    async def erased(self, contacts: Collection[str]) -> Mapping[str, str]:
        """Those of these contacts that were erased, and what each is known by."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """Attempts of one kind, counted.

    Attributes:
        version: The version that said what to send.
        step: The step's id.
        outcome: Theirs.
        error: Their kind of error, where there is one.
        n: How many.
    """

    version: int
    step: str
    outcome: str
    error: str | None
    n: int


class Attempts(Queries):
    """Attempts as rows, and rows as attempts.

    Attributes:
        sealing: Encrypts what receivers answered; None: it is kept in clear.
    """

    sealing: TextCipher | None = None

    async def is_erased(self, contact: str) -> bool:
        """Whether a contact was erased: nothing is taken for it any more."""
        return self.sealing is not None and await self.sealing.is_erased(contact)

    async def closed(self, attempt: Attempt) -> dict[str, Any]:
        """The row of an attempt."""
        response = attempt.response
        if response is not None:
            if len(response) > RESPONSE_LENGTH:
                response = response[: RESPONSE_LENGTH - 1] + "…"
            if self.sealing is not None:
                response = await self.sealing.seal(attempt.contact_id, response)
        return {name: getattr(attempt, name) for name in _FIELDS} | {"response": response}

    async def opened(self, rows: Iterable[RowMapping]) -> list[Attempt]:
        """The attempts of rows."""
        found = [Attempt(**row) for row in rows]
        if (sealing := self.sealing) is None:
            return found
        return [
            item if item.response is None else replace(item, response=await sealing.unseal(item.response))
            for item in found
        ]


class Deliveries(Attempts):
    """The table of attempts."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Write attempts down. One that is there already (same delivery, number and start) is left as it is.

        Where it fails, some may have been written; all may be given again. One that was on its way when its contact was
        erased leads to nobody, as those before.

        Args:
            attempts: In any order.
        """
        if attempts:
            known = {attempt.contact_id for attempt in attempts}
            gone: Mapping[str, str] = await self.sealing.erased(known) if self.sealing is not None else {}
            rows = [await self.closed(_without(gone.get(attempt.contact_id), attempt)) for attempt in attempts]
            await self._database.write_many(_add(self._database.insert), rows)

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
        """The newest attempts, in the order in which they began.

        Args:
            workflow_id: Only this journey's.
            run_id: Only this run's.
            delivery_id: Only this delivery's.
            contact_id: Only those to this contact.
            channel: Only those by this channel.
            destination: Only those to this destination.
            scenario: Only this scenario's.
            version: Only those of journeys that followed this version.
            scenarios: Only those of one of these scenarios.
            step: Only this step's.
            outcome: Only those with this outcome.
            error: Only those with this kind of error; of what was skipped, why: ``capped``.
            since: Only those that began then or later.
            before: Only those that began before.
            after: Only those that come after one in this list read from its end: when that began, its number, its
                delivery.
            limit: So many at most, the newest.
        """
        wanted = {
            "workflow_id": workflow_id,
            "run_id": run_id,
            "delivery_id": delivery_id,
            "contact_id": contact_id,
            "channel": channel,
            "destination": destination,
            "version": version,
            "step": step,
            "outcome": outcome,
            "error": error,
        }
        statement = select(deliveries).where(
            *(_table[name] == value for name, value in wanted.items() if value is not None)
        )
        if scenario is not None:
            # Where there are few by something else, no index by scenario must be taken.
            few = (workflow_id, run_id, delivery_id, contact_id, destination)
            is_only = all(value is None for value in few) and outcome in (None, DELIVERED)
            statement = statement.where((_table.scenario if is_only else _table.scenario.concat("")) == scenario)
        if scenarios is not None:
            # Of several, an index by scenario has none of the order.
            statement = statement.where(_table.scenario.concat("").in_(sorted(scenarios)))
        if outcome is not None and outcome != DELIVERED:
            statement = statement.where(_WENT_WRONG)  # which says that the index of those will do
        if since is not None:
            statement = statement.where(_table.started_at >= since)
        if before is not None:
            statement = statement.where(_table.started_at < before)
        order = _table.started_at, _table.attempt, _table.delivery_id
        if after is not None:
            # The first alone, too: it is what an index is read by.
            place = tuple_(*after, types=[column.type for column in order])
            statement = statement.where(_table.started_at <= after[0], tuple_(*order) < place)
        statement = statement.order_by(*(column.desc() for column in order)).limit(limit)
        return await self.opened(reversed(await self._database.read(statement)))

    async def between_attempts(self, destination: str, *, since: datetime, limit: int = 10_000) -> list[Attempt]:
        """The newest attempt of each delivery that is to be tried again, those first that are due first.

        Whether that is still so, only Temporal knows: an operator may have skipped the step since.

        Args:
            destination: To whom.
            since: Only those whose next attempt is, or was, due then or later. It bounds what is looked through:
                every attempt that was ever followed by another is on record.
            limit: So many at most.
        """
        wanted = {"destination": destination, "since": since, "limit": limit}
        return await self.opened(await self._database.read(_BETWEEN_ATTEMPTS, wanted))

    async def to_be_tried_again(self, *, since: datetime, limit: int = 10_000) -> list[Attempt]:
        """As `between_attempts`, to whomever they are, the newest first.

        Args:
            since: Only those whose latest attempt began then or later.
            limit: So many at most.
        """
        wanted = {"since": since, "limit": limit}
        return await self.opened(await self._database.read(_TO_BE_TRIED_AGAIN, wanted))

    async def attempted(self, scenario: str, *, since: datetime) -> list[AttemptCount]:
        """How many attempts a scenario's steps made, of each kind apart.

        Args:
            scenario: Its name.
            since: Only those that began then or later.
        """
        wanted = {"scenario": scenario, "since": since}
        return [AttemptCount(**row) for row in await self._database.read(_ATTEMPTED, wanted)]

    async def trying_again(self, scenario: str, *, since: datetime) -> dict[tuple[int, str], int]:
        """How many deliveries of journeys under way are to be tried again, by version and step.

        Args:
            scenario: Its name.
            since: Only those whose latest attempt began then or later.
        """
        rows = await self._database.read(_TRYING_AGAIN, {"scenario": scenario, "since": since})
        return {(row["version"], row["step"]): row["n"] for row in rows}


def _without(name: str | None, attempt: Attempt) -> Attempt:
    """An attempt as `runtime.store.erasure` leaves it; with None for the contact's new name as it is."""
    if name is None:
        return attempt
    whose = erased_name(name)
    journey = f"{attempt.scenario}/{whose}" if attempt.test_by is None else ""
    place = {"contact_id": whose, "workflow_id": journey}
    return replace(attempt, **place, response=None, trace_id=None, next_try_at=None)


_WENT_WRONG = _table.outcome != literal_column(f"'{DELIVERED}'")
_later = deliveries.alias()
_IS_LATEST = (
    _table.next_try_at.is_not(None),
    ~exists().where(_later.c.delivery_id == _table.delivery_id, _later.c.started_at > _table.started_at),
    # Journeys that are over, or were admitted under the same id later, have none under way.
    exists().where(
        entries.c.workflow_id == _table.workflow_id,
        entries.c.ended_at.is_(None),
        entries.c.admitted_at <= _table.started_at,
    ),
)
_TO_BE_TRIED_AGAIN = (
    select(deliveries)
    .where(_WENT_WRONG, _table.started_at >= bindparam("since"), *_IS_LATEST)
    .order_by(_table.started_at.desc())
    .limit(bindparam("limit"))
)
_BETWEEN_ATTEMPTS = (
    select(deliveries)
    .where(_table.destination == bindparam("destination"), _table.next_try_at >= bindparam("since"), *_IS_LATEST)
    .order_by(_table.next_try_at, _table.delivery_id)
    .limit(bindparam("limit"))
)
_kind = (_table.version, _table.step, _table.outcome, _table.error)
_of_scenario = (
    _table.scenario == bindparam("scenario"),
    _table.started_at >= bindparam("since"),
    _table.test_by.is_(None),
)
_ATTEMPTED = select(*_kind, func.count().label("n")).where(*_of_scenario).group_by(*_kind)
_TRYING_AGAIN = (
    select(_table.version, _table.step, func.count().label("n"))
    .where(_WENT_WRONG, *_of_scenario, *_IS_LATEST)
    .group_by(_table.version, _table.step)
)
_FIELDS = tuple(field.name for field in fields(Attempt))


@cache
def _add(insert: InsertFactory) -> Executable:
    return insert(deliveries).values({name: bindparam(name) for name in _FIELDS}).on_conflict_do_nothing()


COUNTED: Final = 100_000
"""Attempts that are counted at most: some tenths of a second's work for SQLite."""

_table = deliveries.c


@dataclass(frozen=True)
class OutcomeCounts:
    """How attempts ended.

    Attributes:
        by_destination: Of each destination, how many with which outcome.
        is_cut: Whether there were more than were counted: then these are the newest.
    """

    by_destination: dict[str, dict[str, int]]
    is_cut: bool


class AttemptCounts(Queries):
    """The table of attempts, as counts."""

    async def outcomes(self, *, since: datetime, most: int = COUNTED) -> OutcomeCounts:
        """How attempts to each destination ended.

        Args:
            since: Of those that began then or later.
            most: So many at most, the newest.
        """
        rows = await self._database.read(_OUTCOMES, {"since": since, "most": most})
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            found.setdefault(row["destination"], {})[row["outcome"]] = row["attempts"]
        return OutcomeCounts(found, sum(row["attempts"] for row in rows) >= most)


_newest = (
    select(_table.destination, _table.outcome)
    .where(_table.started_at >= bindparam("since"), _table.test_by.is_(None))
    .order_by(_table.started_at.desc())
    .limit(bindparam("most"))
    .subquery()
)
_outcome = (_newest.c.destination, _newest.c.outcome)
_OUTCOMES = select(*_outcome, func.count().label("attempts")).group_by(*_outcome)
