"""Erasures: the request, its progress, and the contact's runs in Temporal.

The table holds the contact's id only while an erasure is open. The workflow holds the erasure's id alone.
Rows that others are counted by stay, under a pseudonym: `again: never` still holds, and statistics keep their numbers.
All operations' journeys are scanned: a million take some tenths of a second, while an index would slow every operation.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.batches import ERASE_ENDED, ERASE_UNSENT, ITEMS_OF
from runtime.store.campaigns import campaign_items
from runtime.store.claims import claims
from runtime.store.database import InsertFactory, Queries
from runtime.store.deliveries import deliveries
from runtime.store.entries import LOST, accepted_entries
from runtime.store.memberships import ERASE_MEMBERSHIPS, audience_memberships
from runtime.store.operations import operation_items, operations
from runtime.store.outgoing import outgoing_events
from runtime.store.outgoing_sends import ERASE_EVENTS
from runtime.store.schema import (
    ErasureState,
    Flag,
    StoredErasure,
    UtcDateTime,
    entries,
    erased_name,
    erasure_runs,
    erasures,
)

_RECEIVED: Final = ("delivered", "unknown", "cancelled")
"""Outcomes of attempts that the receiver has or may have received. Other attempts count if the receiver answered."""


_table = erasures.c
_runs = erasure_runs.c
_item = operation_items.c
_IS_OPEN: Final = _table.finished_at.is_(None)

ERASED = "the contact was erased: no data about it is stored or accepted"
"""The error message for new data about an erased contact."""
_TOGETHER = 500  # rows that one statement changes


class Erasures(Queries):
    """The tables of erasures, and the rows of erased contacts. Every call is idempotent."""

    async def add_erasure(self, erasure: StoredErasure) -> StoredErasure:
        """Record an erasure, and return it. If the contact has an open one, return that instead."""
        while True:
            if await self._add(erasures, erasure):
                return erasure
            is_of_contact = _table.contact_hash == erasure.contact_hash
            if found := await self._one(StoredErasure, sa.select(erasures).where(is_of_contact, _IS_OPEN)):
                return found
            # The open one was finished in between.

    async def stored_erasure(self, identifier: str) -> StoredErasure | None:
        return await self._find(StoredErasure, erasures, id=identifier)

    async def stored_erasures(
        self, *, is_open: bool = False, after: StoredErasure | None = None, limit: int = 100
    ) -> list[StoredErasure]:
        """Return erasures, the newest first; `after` is the last of the page before."""
        where = [_IS_OPEN] if is_open else []
        return await self._newest(StoredErasure, erasures, where, (_table.requested_at, _table.id), after, limit)

    async def open_erasures(self, limit: int) -> list[str]:
        """Return the ids of open erasures, the oldest first."""
        oldest = sa.select(_table.id).where(_IS_OPEN).order_by(_table.requested_at, _table.id).limit(limit)
        return await self._values(oldest)

    async def has_open_erasure(self, contact: str) -> bool:
        return bool(await self._database.read(sa.select(_table.id).where(_table.contact_id == contact, _IS_OPEN)))

    async def count_open_erasures(self) -> tuple[int, datetime | None]:
        """Return the number of open erasures, and when the oldest of them was requested."""
        [counts] = await self._tuples(sa.select(sa.func.count(), sa.func.min(_table.requested_at)).where(_IS_OPEN))
        return counts

    async def set_erasure_trouble(self, identifier: str, trouble: str | None) -> None:
        await self._change(erasures, _table.id == identifier, _IS_OPEN, trouble=trouble)

    async def set_erasure_state(self, identifier: str, state: ErasureState) -> None:
        await self._change(erasures, _table.id == identifier, _IS_OPEN, state=state)

    async def add_erasure_run(self, identifier: str, workflow_id: str, run_id: str, *, running: bool) -> None:
        """Record a run that Temporal has, unless the erasure is finished."""
        row = {"erasure_id": identifier, "workflow_id": workflow_id, "run_id": run_id, "running": running}
        await self._database.write(_add_run(self._database.insert), row)

    async def erasure_runs(self, identifier: str) -> list[tuple[str, str]]:
        """Return the known runs that Temporal still has: ids of workflow and run."""
        there = sa.select(_runs.workflow_id, _runs.run_id).where(_runs.erasure_id == identifier, _runs.gone == 0)
        return await self._tuples(there.order_by(_runs.workflow_id, _runs.run_id))

    async def erasure_run_is_gone(self, identifier: str, workflow_id: str, run_id: str) -> None:
        run = (_runs.erasure_id == identifier, _runs.workflow_id == workflow_id, _runs.run_id == run_id)
        await self._change(erasure_runs, *run, gone=True)

    async def count_erasure_runs(self, identifier: str, at: datetime) -> int:
        """Record the number of runs found and of those that Temporal still has. Return the latter."""
        found = sa.select(sa.func.count()).where(_runs.erasure_id == identifier)
        there = found.where(_runs.gone == 0).scalar_subquery()
        # A journey has one running run at a time; the id of its workflow outlives continue-as-new.
        running = sa.select(sa.func.count(_runs.workflow_id.distinct()))
        running = running.where(_runs.erasure_id == identifier, _runs.running == 1)
        confirmed_at = sa.func.coalesce(_table.confirmed_at, sa.literal(at, UtcDateTime))
        counting = (
            sa.update(erasures)
            .where(_table.id == identifier, _IS_OPEN)
            .values(
                ended=running.scalar_subquery(),
                histories=found.scalar_subquery(),
                remaining=there,
                confirmed_at=sa.case((there > 0, None), else_=confirmed_at),
            )
            .returning(_table.remaining)
        )
        rows = await self._database.write(counting)
        return rows[0]["remaining"] if rows else 0

    async def begin_clearing(self, identifier: str, rows: Mapping[str, int]) -> None:
        """Record the number of rows to be cleared, by table. A second call in the same pass changes nothing."""
        stored = await self.stored_erasure(identifier)
        if stored is not None:
            known = dict(Counter(stored.rows) + Counter(rows))
            where = (_table.id == identifier, _IS_OPEN, _table.state != "clearing")
            await self._change(erasures, *where, state="clearing", rows=known)

    async def finish_erasure(self, identifier: str, name: str, at: datetime) -> None:
        """Finish an erasure, and delete what identifies the contact in it; `name` is the HMAC of its id."""
        receivers = (deliveries.c.channel, deliveries.c.destination)
        is_received = sa.or_(deliveries.c.outcome.in_(_RECEIVED), deliveries.c.status.is_not(None))
        found = sa.select(*receivers).where(deliveries.c.contact_id == erased_name(name), is_received).distinct()
        sent_to = [dict(row) for row in await self._database.read(found.order_by(*receivers))]
        finished = {"contact_id": None, "remaining": 0, "trouble": None, "sent_to": sent_to, "finished_at": at}
        await self._change(erasures, _table.id == identifier, _IS_OPEN, state="finished", **finished)
        await self._database.write(sa.delete(erasure_runs).where(_runs.erasure_id == identifier))

    async def count_rows_of(self, contact: str) -> dict[str, int]:
        """Return the number of a contact's rows, by table."""
        [row] = await self._database.read(_COUNT, {"whose": contact})
        items, asked = await self._items(contact), await self._asked(contact)
        counts = {**row, "operation_items": len(items), "operations": len(asked)}
        return {table: counts[table] for table in COUNTED}

    async def erase(self, contact: str, name: str) -> None:
        """Replace a contact's id by its pseudonym. The rows of running journeys stay, since these need them."""
        for table in (claims, accepted_entries):
            await self._database.write(sa.delete(table).where(table.c.contact_id == contact))
        given = {"whose": contact, "name": erased_name(name)}
        for statement in (*ERASE_EVENTS, _LINES, *ERASE_MEMBERSHIPS, ERASE_UNSENT, *ERASE_ENDED):
            await self._database.write(statement, given)
        while await self._database.write(_DELIVERIES, given | {"most": _TOGETHER}):
            pass
        for item in await self._items(contact):
            # An operation may have several of the contact's journeys, and each id only once.
            another = f"{given['name']}:{secrets.token_hex(8)}"
            this = (_item.operation_id == item["operation_id"], _item.workflow_id == item["workflow_id"])
            # A reason may name the journey.
            await self._change(operation_items, *this, workflow_id=another, reason=None)
        for identifier, request in (await self._asked(contact)).items():
            known = {**request, "which": {**request["which"], "contact": given["name"]}}
            await self._change(operations, operations.c.id == identifier, request=known)
        await self._database.write(_ENTRIES, given)

    async def journeys_of(self, contact: str) -> Sequence[tuple[str, str]]:
        """Return all of a contact's journeys and pending entries: the ids of workflow and first run."""
        runs = (
            sa.select(table.c.workflow_id, table.c.run_id).where(table.c.contact_id == contact)
            for table in (entries, accepted_entries)
        )
        return await self._tuples(sa.union(*runs))

    async def _items(self, contact: str) -> list[sa.RowMapping]:
        part = escaped = contact.replace("/", "%2F")
        for character in ("\\", "%", "_"):
            escaped = escaped.replace(character, f"\\{character}")
        within = _item.workflow_id.concat("/").like(f"%/{escaped}/%", escape="\\")
        rows = await self._database.read(sa.select(_item.operation_id, _item.workflow_id).where(within))
        # A key may equal the contact's id, and SQLite ignores case.
        return [row for row in rows if row["workflow_id"].split("/")[1] == part]

    async def _asked(self, contact: str) -> dict[str, Mapping[str, Any]]:
        is_by_contact = sa.type_coerce(operations.c.request, sa.Text).like('%"contact":%')
        rows = await self._database.read(sa.select(operations.c.id, operations.c.request).where(is_by_contact))
        return {row["id"]: row["request"] for row in rows if row["request"].get("which", {}).get("contact") == contact}


@cache
def _add_run(insert: InsertFactory) -> sa.Executable:
    given = ("erasure_id", "workflow_id", "run_id", "running")
    row = sa.select(*(sa.bindparam(name, type_=_runs[name].type) for name in given), sa.literal(False, Flag)).where(
        sa.select(_table.id).where(_table.id == sa.bindparam("erasure_id"), _table.finished_at.is_(None)).exists()
    )
    statement = insert(erasure_runs).from_select([*given, "gone"], row)
    there = {"gone": False, "running": sa.case((_runs.running == 1, 1), else_=statement.excluded.running)}
    return statement.on_conflict_do_update(index_elements=["erasure_id", "workflow_id", "run_id"], set_=there)


COUNTED: Final = (
    *("entries", "deliveries", "claims", "operation_items", "operations", "accepted_entries", "campaign_items"),
    *("audience_memberships", "batch_items", "outgoing_events"),
)
_BY_CONTACT = (entries, deliveries, claims, accepted_entries, campaign_items, audience_memberships, outgoing_events)
_COUNT = sa.select(
    *(
        sa.select(sa.func.count())
        .where(table.c.contact_id == sa.bindparam("whose"))
        .scalar_subquery()
        .label(table.name)
        for table in _BY_CONTACT
    ),
    ITEMS_OF.label("batch_items"),
)
_lines = campaign_items.c
_LINES = (
    sa.update(campaign_items)
    .where(_lines.contact_id == sa.bindparam("whose"))
    .values(
        contact_id=sa.bindparam("name"),
        journey=None,
        entry=None,
        outcome=sa.func.coalesce(_lines.outcome, "refused"),
        reason=sa.case((_lines.outcome.is_(None), "the contact was erased"), else_=None),
    )
)
_SOME = (
    sa.select(deliveries.c.delivery_id)
    .where(deliveries.c.contact_id == sa.bindparam("whose"))
    .limit(sa.bindparam("most"))
    .scalar_subquery()
)
_DELIVERIES = (
    sa.update(deliveries)
    .where(deliveries.c.contact_id == sa.bindparam("whose"), deliveries.c.delivery_id.in_(_SOME))
    .values(
        contact_id=sa.bindparam("name"),
        workflow_id=sa.case(
            (deliveries.c.test_by.is_(None), deliveries.c.scenario + sa.literal("/") + sa.bindparam("name")), else_=""
        ),
        response=None,
        trace_id=None,
        next_try_at=None,
        recipient=None,
    )
    .returning(deliveries.c.delivery_id)
)
_ENTRIES = (
    sa.update(entries)
    .where(entries.c.contact_id == sa.bindparam("whose"), entries.c.ended_at.is_not(None))
    .values(
        contact_id=sa.bindparam("name"),
        workflow_id=entries.c.scenario + sa.literal("/") + sa.bindparam("name"),
        # The run's id distinguishes it from journeys erased before.
        key=entries.c.run_id,
        reason=sa.case((entries.c.outcome == LOST, "the contact was erased"), else_=None),
        root=None,
    )
)
