"""What the store holds of a contact, counted and erased.

Rows that others are counted by stay, under a name that leads to nobody: `again: never` holds by it, and statistics keep
their numbers. Each statement stands alone and may be repeated.

The journeys of all operations are looked through: a million take some tenths of a second, while an index would cost
every operation more.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Text, bindparam, case, delete, func, literal, select, type_coerce, union, update

from runtime.store.database import Queries
from runtime.store.schema import accepted_entries, claims, deliveries, entries, operation_items, operations

ERASED = "the contact was erased: nothing is kept of it, and nothing is taken for it"
"""What is said to who asks for it all the same."""
_TOGETHER = 500  # rows that one statement changes


def erased_name(name: str) -> str:
    """What rows of an erased contact have in place of its id, made of the HMAC of that."""
    return f"erased:{name}"


@dataclass(frozen=True)
class ErasureCounts:
    """Rows of a contact.

    Attributes:
        entries: Journeys, running or over.
        deliveries: Attempts.
        claims: Places under caps.
        operation_items: Journeys that operations went to.
        operations: Operations that were asked for by the contact's id.
        accepted_entries: Entries that were acknowledged within the last day.
    """

    entries: int
    deliveries: int
    claims: int
    operation_items: int
    operations: int = 0
    accepted_entries: int = 0


class Erasure(Queries):
    """Erases contacts."""

    async def traces(self, contact: str) -> ErasureCounts:
        """How much there is of a contact."""
        rows = await self._database.read(_COUNT, {"whose": contact})
        items, asked = await self._items(contact), await self._asked(contact)
        return ErasureCounts(**rows[0], operation_items=len(items), operations=len(asked))

    async def erase(self, contact: str, name: str) -> None:
        """Let no row lead to a contact. The row of a journey that has not ended stays: a journey cannot do without it.

        Args:
            contact: The contact's id.
            name: An HMAC of it, which its rows then have in its place.
        """
        await self._database.write(_CLAIMS, {"whose": contact})
        await self._database.write(_ACCEPTED, {"whose": contact})
        given = {"whose": contact, "name": erased_name(name)}
        while await self._database.write(_DELIVERIES, given | {"most": _TOGETHER}):
            pass
        for item in await self._items(contact):
            # An operation may have gone to several journeys, and has each once.
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
        """The items of a contact's journeys."""
        part = escaped = contact.replace("/", "%2F")
        for character in ("\\", "%", "_"):
            escaped = escaped.replace(character, f"\\{character}")
        rows = await self._database.read(_ITEMS, {"within": f"%/{escaped}/%"})
        # Another's key may be as the contact's id, and SQLite takes capitals for small letters.
        return [row for row in rows if row["workflow_id"].split("/")[1] == part]

    async def _asked(self, contact: str) -> dict[str, Mapping[str, Any]]:
        """What operations were asked for that name a contact, by their ids."""
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
        # The run's id makes it another's than those of a journey that was erased before.
        key=entries.c.run_id,
        reason=None,
    )
)
