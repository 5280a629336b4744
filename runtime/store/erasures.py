"""Erasures: the request, its progress, and the contact's runs in Temporal.

The table holds the contact's id only while an erasure is open. The workflow holds the erasure's id alone.
Rows that others are counted by stay, under a pseudonym: `again: never` still holds, and statistics keep their numbers.
All operations' journeys are scanned: a million take some tenths of a second, while an index would slow every operation.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Executable,
    RowMapping,
    Text,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union,
    update,
)

from runtime.store.accepted_entries import accepted_entries
from runtime.store.batches import ERASE_ENDED, ERASE_UNSENT, ITEMS_OF
from runtime.store.campaigns import campaign_items
from runtime.store.claims import claims
from runtime.store.columns import Flag
from runtime.store.database import InsertFactory, Queries
from runtime.store.deliveries import deliveries
from runtime.store.entries import LOST
from runtime.store.membership_tables import audience_memberships
from runtime.store.memberships import ERASE_MEMBERSHIPS
from runtime.store.operations import operation_items, operations
from runtime.store.outgoing import outgoing_events
from runtime.store.outgoing_sends import ERASE_EVENTS
from runtime.store.schema import ErasureState, StoredErasure, entries, erased_name, erasure_runs, erasures

_RECEIVED: Final = ("delivered", "unknown", "cancelled")
"""Outcomes of attempts that the receiver has or may have received. Other attempts count if the receiver answered."""


_table = erasures.c
_runs = erasure_runs.c

ERASED = "the contact was erased: no data about it is stored or accepted"
"""The error message for new data about an erased contact."""
_TOGETHER = 500  # rows that one statement changes


@dataclass(frozen=True)
class ErasureCounts:
    """Number of a contact's rows, by table."""

    entries: int
    deliveries: int
    claims: int
    operation_items: int
    operations: int = 0
    accepted_entries: int = 0
    campaign_items: int = 0
    audience_memberships: int = 0
    batch_items: int = 0
    outgoing_events: int = 0


class Erasures(Queries):
    """The tables of erasures, and the rows of erased contacts. Every call is idempotent."""

    async def add_erasure(self, erasure: StoredErasure) -> StoredErasure:
        """Record an erasure, and return it. If the contact has an open one, return that instead."""
        while True:
            if await self._add(erasures, erasure):
                return erasure
            if found := await self._one(StoredErasure, _OPEN_OF, {"whose": erasure.contact_hash}):
                return found
            # The open one was finished in between.

    async def stored_erasure(self, identifier: str) -> StoredErasure | None:
        return await self._one(StoredErasure, _ONE, {"of": identifier})

    async def stored_erasures(
        self, *, is_open: bool = False, after: StoredErasure | None = None, limit: int = 100
    ) -> list[StoredErasure]:
        """Return erasures, the newest first; `after` is the last of the page before."""
        where = [_table.finished_at.is_(None)] if is_open else []
        return await self._newest(StoredErasure, erasures, where, (_table.requested_at, _table.id), after, limit)

    async def open_erasures(self, limit: int) -> list[str]:
        """Return the ids of open erasures, the oldest first."""
        return [row["id"] for row in await self._database.read(_OLDEST, {"most": limit})]

    async def has_open_erasure(self, contact: str) -> bool:
        """Return True if a contact is being erased."""
        return bool(await self._database.read(_OPEN_OF_CONTACT, {"contact": contact}))

    async def count_open_erasures(self) -> tuple[int, datetime | None]:
        """Return the number of open erasures, and when the oldest of them was requested."""
        (row,) = await self._database.read(_COUNT_OPEN)
        return row["number"], row["oldest"]

    async def set_erasure_trouble(self, identifier: str, trouble: str | None) -> None:
        await self._database.write(_TROUBLE, {"of": identifier, "what": trouble})

    async def set_erasure_state(self, identifier: str, state: ErasureState) -> None:
        await self._database.write(_STATE, {"of": identifier, "doing": state})

    async def add_erasure_run(self, identifier: str, workflow_id: str, run_id: str, *, running: bool) -> None:
        """Record a run that Temporal has, unless the erasure is finished."""
        row = {"erasure_id": identifier, "workflow_id": workflow_id, "run_id": run_id, "running": running}
        await self._database.write(_add_run(self._database.insert), row)

    async def erasure_runs(self, identifier: str) -> list[tuple[str, str]]:
        """Return the known runs that Temporal still has: ids of workflow and run."""
        rows = await self._database.read(_THERE, {"of": identifier})
        return [(row["workflow_id"], row["run_id"]) for row in rows]

    async def erasure_run_is_gone(self, identifier: str, workflow_id: str, run_id: str) -> None:
        await self._database.write(_GONE, {"of": identifier, "workflow": workflow_id, "run": run_id})

    async def count_erasure_runs(self, identifier: str, at: datetime) -> int:
        """Record the number of runs found and of those that Temporal still has. Return the latter."""
        rows = await self._database.write(_COUNT_RUNS, {"of": identifier, "at": at})
        return rows[0]["remaining"] if rows else 0

    async def begin_clearing(self, identifier: str, rows: Mapping[str, int]) -> None:
        """Record the number of rows to be cleared, by table. A second call in the same pass changes nothing."""
        stored = await self.stored_erasure(identifier)
        if stored is not None:
            known = dict(Counter(stored.rows) + Counter(rows))
            await self._database.write(_CLEARING, {"of": identifier, "known": known})

    async def finish_erasure(self, identifier: str, name: str, at: datetime) -> None:
        """Finish an erasure, and delete what identifies the contact in it.

        Args:
            name: The HMAC of the contact's id, which its rows in the log of attempts hold.
        """
        found = await self._database.read(_SENT_TO, {"name": erased_name(name)})
        sent_to = [{"channel": row["channel"], "destination": row["destination"]} for row in found]
        await self._database.write(_FINISH, {"of": identifier, "at": at, "receivers": sent_to})
        await self._database.write(_FORGET_RUNS, {"of": identifier})

    async def count_rows_of(self, contact: str) -> ErasureCounts:
        rows = await self._database.read(_COUNT, {"whose": contact})
        items, asked = await self._items(contact), await self._asked(contact)
        return ErasureCounts(**rows[0], operation_items=len(items), operations=len(asked))

    async def erase(self, contact: str, name: str) -> None:
        """Replace a contact's id by its pseudonym. The rows of running journeys stay unchanged, since these need them.

        Args:
            name: The HMAC of the contact's id.
        """
        for statement in (_CLAIMS, _ACCEPTED, *ERASE_EVENTS):
            await self._database.write(statement, {"whose": contact})
        given = {"whose": contact, "name": erased_name(name)}
        await self._database.write(_LINES, given)
        for statement in ERASE_MEMBERSHIPS:
            await self._database.write(statement, given)
        await self._database.write(ERASE_UNSENT, {"whose": contact})
        for statement in ERASE_ENDED:
            await self._database.write(statement, given)
        while await self._database.write(_DELIVERIES, given | {"most": _TOGETHER}):
            pass
        for item in await self._items(contact):
            # An operation may have several of the contact's journeys, and each id only once.
            another = f"{given['name']}:{secrets.token_hex(8)}"
            await self._database.write(_ITEM, {"of": item["operation_id"], "was": item["workflow_id"], "name": another})
        for identifier, request in (await self._asked(contact)).items():
            known = {**request, "which": {**request["which"], "contact": given["name"]}}
            await self._database.write(_REQUEST, {"of": identifier, "known": known})
        await self._database.write(_ENTRIES, given)

    async def journeys_of(self, contact: str) -> Sequence[tuple[str, str]]:
        """Return all of a contact's journeys and pending entries: the ids of workflow and first run."""
        rows = await self._database.read(_ROWS, {"whose": contact})
        return [(row["workflow_id"], row["run_id"]) for row in rows]

    async def _items(self, contact: str) -> list[RowMapping]:
        part = escaped = contact.replace("/", "%2F")
        for character in ("\\", "%", "_"):
            escaped = escaped.replace(character, f"\\{character}")
        rows = await self._database.read(_ITEMS, {"within": f"%/{escaped}/%"})
        # A key may equal the contact's id, and SQLite ignores case.
        return [row for row in rows if row["workflow_id"].split("/")[1] == part]

    async def _asked(self, contact: str) -> dict[str, Mapping[str, Any]]:
        rows = await self._database.read(_BY_CONTACT)
        return {row["id"]: row["request"] for row in rows if row["request"].get("which", {}).get("contact") == contact}


_ONE = select(erasures).where(_table.id == bindparam("of"))
_OPEN_OF = select(erasures).where(_table.contact_hash == bindparam("whose"), _table.finished_at.is_(None))
_OPEN_OF_CONTACT = select(_table.id).where(_table.contact_id == bindparam("contact"), _table.finished_at.is_(None))
_OLDEST = (
    select(_table.id)
    .where(_table.finished_at.is_(None))
    .order_by(_table.requested_at, _table.id)
    .limit(bindparam("most"))
)
_COUNT_OPEN = select(func.count().label("number"), func.min(_table.requested_at).label("oldest")).where(
    _table.finished_at.is_(None)
)
_IF_OPEN = (_table.id == bindparam("of"), _table.finished_at.is_(None))
_TROUBLE = update(erasures).where(*_IF_OPEN).values(trouble=bindparam("what"))
_STATE = update(erasures).where(*_IF_OPEN).values(state=bindparam("doing"))
_THERE = (
    select(_runs.workflow_id, _runs.run_id)
    .where(_runs.erasure_id == bindparam("of"), _runs.gone == 0)
    .order_by(_runs.workflow_id, _runs.run_id)
)
_GONE = (
    update(erasure_runs)
    .where(
        _runs.erasure_id == bindparam("of"),
        _runs.workflow_id == bindparam("workflow"),
        _runs.run_id == bindparam("run"),
    )
    .values(gone=True)
)
_mine = select(func.count()).where(_runs.erasure_id == bindparam("of"))
_there = _mine.where(_runs.gone == 0).scalar_subquery()
_COUNT_RUNS = (
    update(erasures)
    .where(*_IF_OPEN)
    .values(
        # A journey has one running run at a time; the id of its workflow outlives continue-as-new.
        ended=select(func.count(_runs.workflow_id.distinct()))
        .where(_runs.erasure_id == bindparam("of"), _runs.running == 1)
        .scalar_subquery(),
        histories=_mine.scalar_subquery(),
        remaining=_there,
        confirmed_at=case(
            (_there > 0, None),
            else_=func.coalesce(_table.confirmed_at, bindparam("at", type_=_table.confirmed_at.type)),
        ),
    )
    .returning(_table.remaining)
)
_CLEARING = (
    update(erasures).where(*_IF_OPEN, _table.state != "clearing").values(state="clearing", rows=bindparam("known"))
)
_SENT_TO = (
    select(deliveries.c.channel, deliveries.c.destination)
    .where(
        deliveries.c.contact_id == bindparam("name"),
        or_(deliveries.c.outcome.in_(_RECEIVED), deliveries.c.status.is_not(None)),
    )
    .distinct()
    .order_by(deliveries.c.channel, deliveries.c.destination)
)
_FINISH = (
    update(erasures)
    .where(*_IF_OPEN)
    .values(
        state="finished",
        contact_id=None,
        remaining=0,
        trouble=None,
        sent_to=bindparam("receivers"),
        finished_at=bindparam("at"),
    )
)
_FORGET_RUNS = delete(erasure_runs).where(_runs.erasure_id == bindparam("of"))


@cache
def _add_run(insert: InsertFactory) -> Executable:
    given = ("erasure_id", "workflow_id", "run_id", "running")
    row = select(*(bindparam(name, type_=_runs[name].type) for name in given), literal(False, Flag)).where(
        select(_table.id).where(_table.id == bindparam("erasure_id"), _table.finished_at.is_(None)).exists()
    )
    statement = insert(erasure_runs).from_select([*given, "gone"], row)
    there = {"gone": False, "running": case((_runs.running == 1, 1), else_=statement.excluded.running)}
    return statement.on_conflict_do_update(index_elements=["erasure_id", "workflow_id", "run_id"], set_=there)


_COUNTED = (entries, deliveries, claims, accepted_entries, campaign_items, audience_memberships, outgoing_events)
_COUNT = select(
    *(
        select(func.count()).where(table.c.contact_id == bindparam("whose")).scalar_subquery().label(table.name)
        for table in _COUNTED
    ),
    ITEMS_OF.label("batch_items"),
)
_CLAIMS = delete(claims).where(claims.c.contact_id == bindparam("whose"))
_ACCEPTED = delete(accepted_entries).where(accepted_entries.c.contact_id == bindparam("whose"))
_lines = campaign_items.c
_LINES = (
    update(campaign_items)
    .where(_lines.contact_id == bindparam("whose"))
    .values(
        contact_id=bindparam("name"),
        journey=None,
        entry=None,
        outcome=func.coalesce(_lines.outcome, "refused"),
        reason=case((_lines.outcome.is_(None), "the contact was erased"), else_=None),
    )
)
_SOME = (
    select(deliveries.c.delivery_id)
    .where(deliveries.c.contact_id == bindparam("whose"))
    .limit(bindparam("most"))
    .scalar_subquery()
)
_DELIVERIES = (
    update(deliveries)
    .where(deliveries.c.contact_id == bindparam("whose"), deliveries.c.delivery_id.in_(_SOME))
    .values(
        contact_id=bindparam("name"),
        workflow_id=case(
            (deliveries.c.test_by.is_(None), deliveries.c.scenario + literal("/") + bindparam("name")), else_=""
        ),
        response=None,
        trace_id=None,
        next_try_at=None,
        recipient=None,
    )
    .returning(deliveries.c.delivery_id)
)
_item = operation_items.c
_ITEMS = select(_item.operation_id, _item.workflow_id).where(
    _item.workflow_id.concat("/").like(bindparam("within"), escape="\\")
)
_ITEM = (
    update(operation_items)
    .where(_item.operation_id == bindparam("of"), _item.workflow_id == bindparam("was"))
    .values(workflow_id=bindparam("name"), reason=None)  # a reason may name the journey
)
_asked = operations.c
_BY_CONTACT = select(_asked.id, _asked.request).where(type_coerce(_asked.request, Text).like('%"contact":%'))
_REQUEST = update(operations).where(_asked.id == bindparam("of")).values(request=bindparam("known"))
_ROWS = union(
    *(
        select(table.c.workflow_id, table.c.run_id).where(table.c.contact_id == bindparam("whose"))
        for table in (entries, accepted_entries)
    )
)
_ENTRIES = (
    update(entries)
    .where(entries.c.contact_id == bindparam("whose"), entries.c.ended_at.is_not(None))
    .values(
        contact_id=bindparam("name"),
        workflow_id=entries.c.scenario + literal("/") + bindparam("name"),
        # The run's id distinguishes it from journeys erased before.
        key=entries.c.run_id,
        reason=case((entries.c.outcome == LOST, "the contact was erased"), else_=None),
        root=None,
    )
)
