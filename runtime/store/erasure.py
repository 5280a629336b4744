"""Counts and erases the rows of a contact.

Rows that others are counted by stay, under a pseudonym: `again: never` still holds, and statistics keep their numbers.
Each statement stands alone and may be repeated. All operations' journeys are scanned: a million take some tenths of a
second, while an index would slow down every operation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Text, bindparam, case, delete, func, literal, select, type_coerce, union, update

from runtime.store.database import Queries
from runtime.store.schema import accepted_entries, claims, deliveries, entries, operation_items, operations

ERASED = "the contact was erased: no data about it is stored or accepted"
"""The error message for new data about an erased contact."""
_TOGETHER = 500  # rows that one statement changes


def erased_name(name: str) -> str:
    """Return the pseudonym in rows of an erased contact, made from the HMAC of its id."""
    return f"erased:{name}"


@dataclass(frozen=True)
class ErasureCounts:
    """Number of a contact's rows, by table."""

    entries: int
    deliveries: int
    claims: int
    operation_items: int
    operations: int = 0
    accepted_entries: int = 0


class Erasure(Queries):
    """Erases the rows of contacts."""

    async def traces(self, contact: str) -> ErasureCounts:
        """Count a contact's rows."""
        rows = await self._database.read(_COUNT, {"whose": contact})
        items, asked = await self._items(contact), await self._asked(contact)
        return ErasureCounts(**rows[0], operation_items=len(items), operations=len(asked))

    async def erase(self, contact: str, name: str) -> None:
        """Replace a contact's id by its pseudonym. The rows of running journeys stay unchanged, since these need them.

        Args:
            name: The HMAC of the contact's id.
        """
        await self._database.write(_CLAIMS, {"whose": contact})
        await self._database.write(_ACCEPTED, {"whose": contact})
        given = {"whose": contact, "name": erased_name(name)}
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


_COUNT = select(
    *(
        select(func.count()).where(table.c.contact_id == bindparam("whose")).scalar_subquery().label(table.name)
        for table in (entries, deliveries, claims, accepted_entries)
    )
)
_CLAIMS = delete(claims).where(claims.c.contact_id == bindparam("whose"))
_ACCEPTED = delete(accepted_entries).where(accepted_entries.c.contact_id == bindparam("whose"))
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
        reason=None,
    )
)
