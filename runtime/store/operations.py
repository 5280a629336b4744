"""Operations on many journeys: requests, journeys and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.database import Queries, in_chunks, matching
from runtime.store.schema import SafeText, partial_index, table_of

ITEMS_TOGETHER: Final = 500  # maximum number of items of a statement


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOperation:
    """An operation on many journeys."""

    id: str
    verb: str
    request: Mapping[str, Any]  # filter, rate, dry run and arguments, in the format of their writer
    operator: str
    reason: str
    created_at: datetime
    surveyed_at: datetime | None = None  # when the search for its journeys was complete
    ended_at: datetime | None = None
    outcome: str | None = None  # ``finished``, ``stopped`` or ``failed``; None while it is open
    trouble: str | None = None  # why it makes no progress, or why it failed: a sentence
    stopped_by: str | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationItem:
    """A journey of an operation."""

    number: int  # its place in the order; not unique if two processes search concurrently
    workflow_id: str
    step: str | None = None  # step of the journey when it was found, if relevant
    outcome: str | None = None  # ``accepted``, ``refused``, ``unanswered`` or ``stopped``; None until it answers
    reason: str | None = None  # why it refused; without an outcome, why it did not answer
    answered_at: datetime | None = None

    @property
    def place(self) -> tuple[int, str]:
        return self.number, self.workflow_id


UNANSWERED: Final = "unanswered"
NOT_ASKED: Final = "not_asked"

operations = table_of(
    "operations",
    StoredOperation,
    sa.PrimaryKeyConstraint("id"),
    sa.Index(None, "created_at"),
    partial_index("ix_operations_open", "created_at", where="ended_at IS NULL"),
)
"""Operations on many journeys, open or ended."""

operation_items = table_of(
    "operation_items",
    OperationItem,
    sa.Column("operation_id", SafeText, nullable=False),
    # A journey is in an operation once, also if it is found twice.
    sa.PrimaryKeyConstraint("operation_id", "workflow_id"),
    sa.Index(None, "operation_id", "number", "workflow_id"),
    partial_index("ix_operation_items_to_do", "operation_id", "number", "workflow_id", where="outcome IS NULL"),
)
"""The journeys of an operation, and their answers."""

_table = operations.c
_items = operation_items.c


class StoredOperations(Queries):
    """The tables of operations on many journeys. Every call is idempotent."""

    async def add_operation(self, operation: StoredOperation) -> bool:
        """Record an operation. Return False if its id is taken."""
        return await self._add(operations, operation)

    async def withdraw_operation(self, identifier: str) -> bool:
        """Delete an operation. Return False if it has found its journeys already."""
        gone = await self._delete(operations, *_is_open(identifier), _table.surveyed_at.is_(None))
        if gone:
            await self._database.write(sa.delete(operation_items).where(_items.operation_id == identifier))
        return gone

    async def stored_operation(self, identifier: str) -> StoredOperation | None:
        return await self._find(StoredOperation, operations, id=identifier)

    async def stored_operations(
        self,
        *,
        is_open: bool = False,
        verb: str | None = None,
        operator: str | None = None,
        scenarios: Collection[str] | None = None,
        destination: str | None = None,
        since: datetime | None = None,
        after: StoredOperation | None = None,
        limit: int = 100,
    ) -> list[StoredOperation]:
        """Return operations, the newest first; `after` is the last of the page before.

        `operator` is a part of the operator's name. `scenarios` and `destination` are those of the selected journeys.
        """
        where = matching(operations, verb=verb)
        if is_open:
            where.append(_table.ended_at.is_(None))
        if operator is not None:
            where.append(_table.operator.icontains(operator, autoescape=True))
        if scenarios is not None:
            where.append(self._which("scenario").in_(scenarios))
        if destination is not None:
            where.append(self._which("destination") == destination)
        if since is not None:
            where.append(_table.created_at >= since)
        return await self._newest(StoredOperation, operations, where, (_table.created_at, _table.id), after, limit)

    def _which(self, name: str) -> sa.ColumnElement[str]:
        text = "operations.request" if self._database.one_writer else "CAST(operations.request AS json)"
        return sa.literal_column(f"({text} -> 'which' ->> '{name}')", SafeText)

    async def add_items(self, operation: str, items: Sequence[OperationItem]) -> int:
        """Add journeys to an operation, and return the number of new ones."""
        added = 0
        for some in in_chunks(items, ITEMS_TOGETHER):
            rows = [{"operation_id": operation, **{name: getattr(item, name) for name in _ITEM}} for item in some]
            statement = self._database.insert(operation_items).values(rows).on_conflict_do_nothing()
            added += len(await self._database.write(statement.returning(_items.number)))
        return added

    async def complete_survey(self, operation: str, request: Mapping[str, Any], at: datetime) -> None:
        """Record the completed request, and that the search for its journeys is complete. The first time counts."""
        where = (*_is_open(operation), _table.surveyed_at.is_(None))
        await self._change(operations, *where, surveyed_at=at, request=dict(request))

    async def items(
        self, operation: str, *, outcome: str | None = None, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[OperationItem]:
        """Return journeys of an operation, in order, after a position. `NOT_ASKED` means all without an answer."""
        where = [_items.operation_id == operation]
        if outcome is not None:
            where.append(_items.outcome == (None if outcome == NOT_ASKED else outcome))
        if after is not None:
            where.append(sa.tuple_(_items.number, _items.workflow_id) > after)
        statement = sa.select(*(_items[name] for name in _ITEM)).where(*where)
        statement = statement.order_by(_items.number, _items.workflow_id).limit(limit)
        return await self._all(OperationItem, statement)

    async def record_answer(
        self, operation: str, workflow_id: str, outcome: str | None, reason: str | None, at: datetime
    ) -> None:
        """Record a journey's answer, or with the outcome None why it has not answered. The first answer wins."""
        is_open = (_items.operation_id == operation, _items.workflow_id == workflow_id, _items.outcome.is_(None))
        answered_at = None if outcome is None else at
        await self._change(operation_items, *is_open, outcome=outcome, reason=reason, answered_at=answered_at)

    async def set_operation_trouble(self, operation: str, trouble: str | None) -> None:
        """Record why an operation makes no progress, or None if it does again."""
        await self._change(operations, *_is_open(operation), trouble=trouble)

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
        """Record that an operation has ended. The first report wins.

        With `items`, also close those without an answer: asked ones become ``unanswered``, others ``stopped``.
        """
        if items:
            left = (_items.operation_id == operation, _items.outcome.is_(None), sa.exists().where(*_is_open(operation)))
            state = sa.case((_items.reason.is_(None), "stopped"), else_=UNANSWERED)
            await self._database.write(sa.update(operation_items).where(*left).values(outcome=state, answered_at=at))
        given = {"trouble": trouble, "stopped_by": stopped_by, "stop_reason": stop_reason}
        await self._change(operations, *_is_open(operation), ended_at=at, outcome=outcome, **given)

    async def item_counts(self, identifiers: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the journeys of operations by outcome, by the operations' ids.

        Those without an answer count as `UNANSWERED` if they were asked, else as `NOT_ASKED`.
        """
        state = sa.func.coalesce(_items.outcome, sa.case((_items.reason.is_(None), NOT_ASKED), else_=UNANSWERED))
        return await self._counts_by(_items.operation_id, identifiers, state)


_ITEM = ("number", "workflow_id", "step", "outcome", "reason", "answered_at")


def _is_open(operation: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _table.id == operation, _table.ended_at.is_(None)
