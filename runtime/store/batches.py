"""Batch calls: one request for many contacts, and each contact's item in it.

Items join an open batch until it is full or frozen. From then on its members never change, so that each attempt has the
same body. On PostgreSQL, a joining item locks the row of its batch: it is a member before the batch is frozen, or not
at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, in_chunks, matching
from runtime.store.deliveries import deliveries
from runtime.store.schema import partial_index, table_of
from scenario.words import ItemOutcome

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of data of all items of a batch. Then it is full."""
_TOGETHER: Final = 500
_MOST_DEFERRED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch."""

    id: str  # the id of its workflow
    scenario: str
    version: int
    step: str
    delivery_id: str
    created_at: datetime
    due_at: datetime
    places: int = 0
    """Number of places that were given away. An item that was withdrawn leaves its place empty."""
    size: int = 0  # bytes of the items' data
    started_at: datetime | None = None  # when its workflow was started
    closed_at: datetime | None = None  # when it was full or frozen: no item joins it after that
    frozen_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None  # ``delivered``, ``failed``, ``unknown`` or ``skipped``; None while it is open


batches = table_of(
    "batches",
    StoredBatch,
    sa.PrimaryKeyConstraint("id"),
    partial_index("ix_batches_open", "scenario", "version", "step", where="closed_at IS NULL", unique=True),
    partial_index("ix_batches_unended", "created_at", where="ended_at IS NULL"),
    sa.Index(None, "created_at"),
)
"""Batches, open or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatchItem:
    """An item of a batch."""

    delivery_id: str
    batch: str
    position: int
    contact_id: str
    workflow_id: str
    joined_at: datetime  # when its delivery was scheduled, by Temporal's clock: an operator's retry is later
    waiting_run: str | None = None  # the run whose activity waits for the outcome, if one waits
    data: str | None = None
    """The variables of its templates, encoded, and encrypted if payloads are; None once it has an outcome."""
    deferred: int = 0
    """Number of requests after which the receiver wanted it later. The next request has only items of the highest."""
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None  # the status code of the response
    answered_at: datetime | None = None


batch_items = table_of(
    "batch_items",
    StoredBatchItem,
    sa.PrimaryKeyConstraint("delivery_id"),
    sa.UniqueConstraint("batch", "position"),
    sa.Index(None, "contact_id"),
    sa.Index(None, "workflow_id"),
)
"""The items of batches, by the delivery id of the step that joined."""


_table = batches.c
_items = batch_items.c
_moment = _table.created_at.type


@dataclass(frozen=True, slots=True)
class BatchCount:
    """Batches of a scenario that have not ended."""

    scenario: str
    n: int
    overdue: int  # number of those that were due before a given time
    due_at: datetime  # when the first of them is, or was, due


class StoredBatches(Queries):
    """The tables of batches. Every call is idempotent, but `take_place`, which may leave places empty."""

    async def take_place(
        self, scenario: str, version: int, step: str, *, size: int, most: int, now: datetime
    ) -> StoredBatch | None:
        """Take a place for an item of `size` bytes in the open batch of a step, which has `most` places.

        Return the batch, whose `places` is the place, or None.
        """
        given = {"of": scenario, "number": version, "at_step": step, "bytes": size, "most": most, "now": now}
        rows = await self._database.write(_TAKE, given)
        return StoredBatch(**rows[0]) if rows else None

    async def open_batch(self, batch: StoredBatch) -> bool:
        """Open a batch. Return False if its step has an open one."""
        return await self._add(batches, batch)

    async def mark_batch_started(self, batch: str, at: datetime) -> None:
        await self._change(batches, _table.id == batch, _table.started_at.is_(None), started_at=at)

    async def join_batch(self, item: StoredBatchItem) -> bool:
        """Make an item a member of its batch, unless the batch is frozen or the item is in one already.

        An item that was not delivered may join again.
        """
        given = {name: getattr(item, name) for name in _GIVEN}
        return bool(await self._database.write(_join(self._database.insert), given))

    async def batch_item(self, delivery_id: str) -> StoredBatchItem | None:
        return await self._find(StoredBatchItem, batch_items, delivery_id=delivery_id)

    async def stored_batch(self, batch: str) -> StoredBatch | None:
        return await self._find(StoredBatch, batches, id=batch)

    async def withdraw_batch_item(self, delivery_id: str) -> None:
        """Delete an item, unless its batch is frozen."""
        await self._delete(batch_items, _items.delivery_id == delivery_id, _IS_UNFROZEN)

    async def withdraw_batch_items(self, workflow_id: str, since: datetime) -> list[str]:
        """Delete a journey's items that joined since a time, unless their batch is frozen. Return their ids."""
        withdrawn = sa.delete(batch_items).where(
            _items.workflow_id == workflow_id, _items.joined_at >= since, _IS_UNFROZEN
        )
        rows = await self._database.write(withdrawn.returning(_items.delivery_id))
        return [row["delivery_id"] for row in rows]

    async def freeze_batch(self, batch: str, at: datetime) -> StoredBatch | None:
        """Fix the members of a batch. Return it, or None if there is no such batch."""
        closed_at = sa.func.coalesce(_table.closed_at, sa.literal(at, _moment))
        where = (_table.id == batch, _table.frozen_at.is_(None))
        await self._change(batches, *where, frozen_at=at, closed_at=closed_at)
        return await self.stored_batch(batch)

    async def batch_items(
        self, batch: str, *, outcome: str | None = None, after: int = 0, limit: int = 1_000
    ) -> list[StoredBatchItem]:
        """Return items after a position, in order."""
        where = [*matching(batch_items, batch=batch, outcome=outcome), _items.position > after]
        found = sa.select(batch_items).where(*where).order_by(_items.position).limit(limit)
        return await self._all(StoredBatchItem, found)

    async def stored_batches(self, *, after: StoredBatch | None = None, limit: int = 100) -> list[StoredBatch]:
        """Return batches, the newest first; `after` is the last of the page before."""
        return await self._newest(StoredBatch, batches, [], (_table.created_at, _table.id), after, limit)

    async def overdue_batches(self, before: datetime, limit: int = 100) -> list[StoredBatch]:
        """Return batches that were due before a time and have not ended: the oldest, but first those never started."""
        where = (_table.ended_at.is_(None), _table.due_at < before)
        order = (_table.started_at.is_not(None), _table.created_at)
        return await self._all(StoredBatch, sa.select(batches).where(*where).order_by(*order).limit(limit))

    async def waiting_batches(self, before: datetime) -> list[BatchCount]:
        """Count the batches that have not ended by scenario, and those of them that were due before a time."""
        counts = sa.select(
            _table.scenario,
            sa.func.count().label("n"),
            sa.func.sum(sa.case((_table.due_at < before, 1), else_=0)).label("overdue"),
            sa.func.min(_table.due_at).label("due_at"),
        )
        return await self._all(BatchCount, counts.where(_table.ended_at.is_(None)).group_by(_table.scenario))

    async def batch_items_of(self, contact_id: str, *, limit: int = 100) -> list[StoredBatchItem]:
        """Return a contact's items, the latest first."""
        found = sa.select(batch_items).where(_items.contact_id == contact_id)
        return await self._all(StoredBatchItem, found.order_by(_items.joined_at.desc()).limit(limit))

    async def is_being_sent(self, contact_id: str) -> bool:
        """Return True if a contact is in a frozen batch that has not ended. Its body must stay the same."""
        sending = sa.select(_items.delivery_id).where(_items.contact_id == contact_id, _is_sending)
        return bool(await self._database.read(sending.limit(1)))

    async def record_item_outcomes(
        self,
        batch: str,
        outcome: ItemOutcome,
        at: datetime,
        *,
        positions: Sequence[int] | None = None,
        reason: str | None = None,
        status: int | None = None,
        deferred: int = _MOST_DEFERRED,
    ) -> None:
        """Record the outcome of items without one, and delete their data.

        Only of those at these `positions`, if given, and that were not `deferred` more often.
        """
        recorded = _change_open(batch, _items.deferred <= deferred).values(
            outcome=outcome, reason=reason, status=status, answered_at=at, data=None
        )
        if positions is None:
            await self._database.write(recorded)
            return
        for some in in_chunks(positions, _TOGETHER):
            await self._database.write(recorded.where(_items.position.in_(some)))

    async def defer_items(self, batch: str, positions: Sequence[int], deferred: int, *, reason: str | None) -> None:
        """Record that the receiver wants items later, for the `deferred`-th time, unless a later one is recorded."""
        later = _change_open(batch, _items.deferred < deferred).values(deferred=deferred, reason=reason)
        for some in in_chunks(positions, _TOGETHER):
            await self._database.write(later.where(_items.position.in_(some)))

    async def end_batch(self, batch: str, outcome: str, at: datetime) -> None:
        """Record the end of a batch. The first report wins."""
        await self._change(batches, _table.id == batch, _table.ended_at.is_(None), ended_at=at, outcome=outcome)

    async def batch_counts(self, batches: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the items of batches by outcome; ``pending`` are those without one."""
        return await self._counts_by(_items.batch, batches, sa.func.coalesce(_items.outcome, "pending"))


def _change_open(batch: str, *where: sa.ColumnElement[bool]) -> sa.Update:
    return sa.update(batch_items).where(_items.batch == batch, _items.outcome.is_(None), *where)


_is_full = sa.or_(
    _table.places + 1 >= sa.bindparam("most", type_=sa.Integer),
    _table.size + sa.bindparam("bytes", type_=sa.Integer) >= sa.literal(LARGEST, sa.Integer),
)
_TAKE = (
    sa.update(batches)
    .where(
        _table.scenario == sa.bindparam("of"),
        _table.version == sa.bindparam("number"),
        _table.step == sa.bindparam("at_step"),
        _table.closed_at.is_(None),
    )
    .values(
        places=_table.places + 1,
        size=_table.size + sa.bindparam("bytes", type_=sa.Integer),
        closed_at=sa.case((_is_full, sa.bindparam("now", type_=_moment)), else_=None),
    )
    .returning(*_table)
)
_ANSWER: Final = ("outcome", "reason", "status", "answered_at")
_GIVEN: Final = tuple(name for name in _items.keys() if name not in _ANSWER)  # noqa: SIM118
_NOT_DELIVERED: Final = ("refused", "unknown", "skipped")


@cache
def _join(insert: InsertFactory) -> sa.Executable:
    # The lock, which SQLite needs not, makes a concurrent freeze wait.
    unfrozen = (
        sa.select(*(sa.bindparam(name, type_=_items[name].type).label(name) for name in _GIVEN))
        .select_from(batches)
        .where(_table.id == sa.bindparam("batch"), _table.frozen_at.is_(None))
        .with_for_update(read=True)
    )
    adding = insert(batch_items).from_select(list(_GIVEN), unfrozen)
    again = {name: adding.excluded[name] for name in _GIVEN if name != "delivery_id"}
    again |= dict.fromkeys(_ANSWER)
    return adding.on_conflict_do_update(
        index_elements=["delivery_id"], set_=again, where=_items.outcome.in_(_NOT_DELIVERED)
    ).returning(_items.delivery_id)


_IS_UNFROZEN: Final = _items.batch.in_(
    sa.select(_table.id)
    .where(_table.id == _items.batch, _table.frozen_at.is_(None))
    .correlate(batch_items)
    .with_for_update(read=True)
)
"""The condition that the item's batch is not frozen. It locks the batch."""
_of_contact = _items.contact_id == sa.bindparam("whose")
_is_sending = (
    sa.select(_table.id)
    .where(_table.id == _items.batch, _table.frozen_at.is_not(None), _table.ended_at.is_(None))
    .correlate(batch_items)
    .exists()
)
ERASE_UNSENT = sa.delete(batch_items).where(_of_contact, _IS_UNFROZEN)
"""Delete the items of an erased contact that are not sent yet."""
ERASE_ENDED: Final = (
    # Responses may name any member.
    sa.update(deliveries)
    .where(deliveries.c.contact_id.in_(sa.select(_items.batch).where(_of_contact, ~_is_sending)))
    .values(response=None),
    sa.update(batch_items)
    .where(_of_contact, ~_is_sending)
    .values(contact_id=sa.bindparam("name"), workflow_id="", reason=None),
)
"""Replace the id of an erased contact in items of ended batches, and delete the responses to these batches."""
ITEMS_OF = sa.select(sa.func.count()).where(_of_contact, ~_is_sending).scalar_subquery()
"""Count the items of a contact that an erasure can clear now."""
