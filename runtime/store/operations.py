"""Operations on many journeys: what was asked for, whom it goes to, and what each answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Executable, bindparam, case, delete, func, select, tuple_, update

from runtime.store.database import InsertFactory, Queries
from runtime.store.schema import operation_items, operations

ITEMS_TOGETHER: Final = 500
"""Items that one statement writes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOperation:
    """An operation on many journeys.

    Attributes:
        id: Its id.
        verb: The update that it sends.
        request: Which journeys, at which rate, …: as whoever wrote it reads it.
        operator: Who asked for it.
        reason: Why.
        created_at: When.
        surveyed_at: When all its journeys had been found.
        ended_at: When it was over.
        outcome: ``finished``, ``stopped`` or ``failed``; None while it is under way.
        trouble: What is in its way, or why it failed: a sentence.
        stopped_by: Who stopped it.
        stop_reason: Why.
    """

    id: str
    verb: str
    request: Mapping[str, Any]
    operator: str
    reason: str
    created_at: datetime
    surveyed_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    trouble: str | None = None
    stopped_by: str | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationItem:
    """One journey of an operation.

    Attributes:
        number: Its place among the others.
        workflow_id: The journey.
        step: The step that it was found at, if that matters.
        outcome: ``accepted``, ``refused``, ``unanswered`` or ``stopped``; None as long as it has not answered.
        reason: Why it refused; without an outcome, why there was no answer.
        answered_at: When it answered.
    """

    number: int
    workflow_id: str
    step: str | None = None
    outcome: str | None = None
    reason: str | None = None
    answered_at: datetime | None = None

    @property
    def place(self) -> tuple[int, str]:
        """What those that come after it are found by."""
        return self.number, self.workflow_id


UNANSWERED: Final = "unanswered"
NOT_ASKED: Final = "not_asked"

_table = operations.c
_items = operation_items.c


class StoredOperations(Queries):
    """The tables of operations on many journeys. Every call may be repeated."""

    async def add_operation(self, operation: StoredOperation) -> bool:
        """Puts an operation on record. Returns False where there is one of that id, which stays as it is."""
        row = {name: getattr(operation, name) for name in _NAMES}
        return bool(await self._database.write(_add(self._database.insert), row))

    async def withdraw_operation(self, identifier: str) -> bool:
        """Takes an operation off the record. Returns False where its journeys were found already: then it is going."""
        gone = bool(await self._database.write(_WITHDRAW, {"of": identifier}))
        if gone:
            await self._database.write(_FORGET_ITEMS, {"of": identifier})
        return gone

    async def stored_operation(self, identifier: str) -> StoredOperation | None:
        """One operation; None where there is none of that id."""
        rows = await self._database.read(_ONE, {"of": identifier})
        return StoredOperation(**rows[0]) if rows else None

    async def stored_operations(
        self, *, is_open: bool = False, after: StoredOperation | None = None, limit: int = 100
    ) -> list[StoredOperation]:
        """Operations, the newest first.

        Args:
            is_open: Only those that are not over.
            after: Only those that come after this one: the last of a page, for the next page.
            limit: So many at most.
        """
        statement = select(operations)
        if is_open:
            statement = statement.where(_table.ended_at.is_(None))
        if after is not None:
            statement = statement.where(tuple_(_table.created_at, _table.id) < (after.created_at, after.id))
        statement = statement.order_by(_table.created_at.desc(), _table.id.desc()).limit(limit)
        return [StoredOperation(**row) for row in await self._database.read(statement)]

    async def add_items(self, operation: str, items: Sequence[OperationItem]) -> int:
        """Adds journeys to an operation. Those that are in it stay as they are.

        Returns:
            How many were not in it before.
        """
        added = 0
        for start in range(0, len(items), ITEMS_TOGETHER):
            rows = [
                {"operation_id": operation, **{name: getattr(item, name) for name in _ITEM}}
                for item in items[start : start + ITEMS_TOGETHER]
            ]
            statement = self._database.insert(operation_items).values(rows).on_conflict_do_nothing()
            added += len(await self._database.write(statement.returning(_items.number)))
        return added

    async def surveyed(self, operation: str, request: Mapping[str, Any], at: datetime) -> None:
        """Notes that all journeys of an operation were found.

        Args:
            operation: Its id.
            request: What is known by now of what it sends.
            at: When. The first time counts.
        """
        await self._database.write(_SURVEYED, {"of": operation, "known": dict(request), "at": at})

    async def to_do(
        self, operation: str, *, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[OperationItem]:
        """Journeys that have not answered, in their order.

        Args:
            operation: Its id.
            after: Only those behind this place.
            limit: So many at most.
        """
        return await self._list(operation, after, limit, to_do=True)

    async def items(
        self,
        operation: str,
        *,
        outcome: str | None = None,
        after: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[OperationItem]:
        """Journeys of an operation, in their order.

        Args:
            operation: Its id.
            outcome: Only those with this one; `NOT_ASKED` means those without.
            after: Only those behind this place.
            limit: So many at most.
        """
        return await self._list(operation, after, limit, outcome=outcome, to_do=outcome == NOT_ASKED)

    async def _list(
        self,
        operation: str,
        after: tuple[int, str] | None,
        limit: int,
        *,
        outcome: str | None = None,
        to_do: bool = False,
    ) -> list[OperationItem]:
        where = [_items.operation_id == operation]
        if to_do:
            where.append(_items.outcome.is_(None))
        elif outcome is not None:
            where.append(_items.outcome == outcome)
        if after is not None:
            where.append(tuple_(_items.number, _items.workflow_id) > after)
        statement = select(*(_items[name] for name in _ITEM)).where(*where)
        statement = statement.order_by(_items.number, _items.workflow_id).limit(limit)
        return [OperationItem(**row) for row in await self._database.read(statement)]

    async def answered(
        self, operation: str, workflow_id: str, outcome: str | None, reason: str | None, at: datetime
    ) -> None:
        """Notes what a journey answered. The first answer stays.

        Args:
            operation: The operation's id.
            workflow_id: The journey.
            outcome: ``accepted`` or ``refused``; None where it has not answered yet, for the `reason`.
            reason: Why it refused.
            at: When.
        """
        given = {"of": operation, "journey": workflow_id, "answer": outcome, "why": reason}
        await self._database.write(_ANSWERED, {**given, "at": None if outcome is None else at})

    async def trouble_of(self, operation: str, trouble: str | None) -> None:
        """Notes what is in an operation's way, or that nothing is any more."""
        await self._database.write(_TROUBLE, {"of": operation, "what": trouble})

    async def end_operation(
        self,
        operation: str,
        outcome: str,
        at: datetime,
        *,
        trouble: str | None = None,
        stopped_by: str | None = None,
        stop_reason: str | None = None,
        items: bool = True,
    ) -> None:
        """Notes that an operation is over. The first to say so is believed.

        Args:
            operation: Its id.
            outcome: ``finished``, ``stopped`` or ``failed``.
            at: When.
            trouble: Why it failed, or what was in its way to the end.
            stopped_by: Who stopped it.
            stop_reason: Why.
            items: Whether those that have not answered never will: the ones that were asked are ``unanswered``, the
                others ``stopped``.
        """
        if items:
            await self._database.write(_LEAVE, {"of": operation, "at": at})
        given = {"how": outcome, "at": at, "what": trouble, "who": stopped_by, "why": stop_reason}
        await self._database.write(_END, {"of": operation, **given})

    async def item_counts(self, identifiers: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many journeys of operations have which outcome, by the operations' ids.

        Those that have not answered are `UNANSWERED` where they were asked, and else `NOT_ASKED`.
        """
        counts: dict[str, dict[str, int]] = {name: {} for name in identifiers}
        for row in await self._database.read(_COUNTS, {"of": list(identifiers)}) if identifiers else ():
            counts[row["operation_id"]][row["state"]] = row["journeys"]
        return counts


_NAMES = tuple(column.name for column in operations.columns)
_ITEM = ("number", "workflow_id", "step", "outcome", "reason", "answered_at")
_ONE = select(operations).where(_table.id == bindparam("of"))
_OPEN = (_table.id == bindparam("of"), _table.ended_at.is_(None))
_WITHDRAW = delete(operations).where(*_OPEN, _table.surveyed_at.is_(None)).returning(_table.id)
_FORGET_ITEMS = delete(operation_items).where(_items.operation_id == bindparam("of"))
_SURVEYED = (
    update(operations)
    .where(*_OPEN, _table.surveyed_at.is_(None))
    .values(surveyed_at=bindparam("at"), request=bindparam("known"))
)
_TROUBLE = update(operations).where(*_OPEN).values(trouble=bindparam("what"))
_END = (
    update(operations)
    .where(*_OPEN)
    .values(
        ended_at=bindparam("at"),
        outcome=bindparam("how"),
        trouble=bindparam("what"),
        stopped_by=bindparam("who"),
        stop_reason=bindparam("why"),
    )
)
_ANSWERED = (
    update(operation_items)
    .where(_items.operation_id == bindparam("of"), _items.workflow_id == bindparam("journey"), _items.outcome.is_(None))
    .values(outcome=bindparam("answer"), reason=bindparam("why"), answered_at=bindparam("at"))
)
_LEAVE = (
    update(operation_items)
    .where(
        _items.operation_id == bindparam("of"),
        _items.outcome.is_(None),
        select(operations.c.id).where(*_OPEN).exists(),
    )
    .values(outcome=case((_items.reason.is_(None), "stopped"), else_=UNANSWERED), answered_at=bindparam("at"))
)
_state = func.coalesce(_items.outcome, case((_items.reason.is_(None), NOT_ASKED), else_=UNANSWERED)).label("state")
_COUNTS = (
    select(_items.operation_id, _state, func.count().label("journeys"))
    .where(_items.operation_id.in_(bindparam("of", expanding=True)))
    .group_by(_items.operation_id, _state)
)


@cache
def _add(insert: InsertFactory) -> Executable:
    row = insert(operations).values({name: bindparam(name) for name in _NAMES})
    return row.on_conflict_do_nothing().returning(_table.id)
