"""What the store holds of a contact, counted and erased.

Rows that others are counted by stay, under a name that leads to nobody: `again: never` holds by it, and statistics keep
their numbers. Each statement stands alone and may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, literal, or_, select, update

from runtime.store.database import Queries
from runtime.store.schema import claims, deliveries, entries, operation_items

ERASED = "the contact was erased: nothing is kept of it, and nothing is taken for it"
"""What is said to who asks for it all the same."""
_TOGETHER = 500  # rows that one statement changes


@dataclass(frozen=True)
class Traces:
    """Rows of a contact.

    Attributes:
        entries: Journeys, running or over.
        deliveries: Attempts.
        claims: Places under caps.
        operation_items: Journeys that operations went to.
    """

    entries: int
    deliveries: int
    claims: int
    operation_items: int


class Erasure(Queries):
    """Erases contacts."""

    async def traces(self, contact: str) -> Traces:
        """How much there is of a contact."""
        rows = await self._database.read(_COUNT, {"whose": contact, "begins": _journeys(contact)})
        return Traces(**rows[0])

    async def erase(self, contact: str, name: str) -> Traces:
        """Let no row lead to a contact. No journey of it may be under way.

        Args:
            contact: The contact's id.
            name: What its rows have in its place: the same for the same contact, and nothing that gives it away.

        Returns:
            How many rows were changed.
        """
        found = await self.traces(contact)
        await self._database.write(_CLAIMS, {"whose": contact})
        given = {"whose": contact, "name": f"erased:{name}"}
        while await self._database.write(_DELIVERIES, given | {"most": _TOGETHER}):
            pass
        await self._database.write(_ITEMS, given | {"begins": _journeys(contact)})
        for row in await self._database.read(_ROWS, {"whose": contact}):
            place = {"workflow": row["workflow_id"], "run": row["run_id"]}
            # The run's id makes it another's than those of a journey that was erased before.
            await self._database.write(_ENTRY, {"name": given["name"], "key": row["run_id"]} | place)
        return found

    async def journeys_of(self, contact: str) -> Sequence[tuple[str, str]]:
        """All of a contact's journeys: the ids of workflow and first run."""
        rows = await self._database.read(_ROWS, {"whose": contact})
        return [(row["workflow_id"], row["run_id"]) for row in rows]


def _journeys(contact: str) -> str:
    """What stands in the id of each of a contact's journeys, as LIKE has it."""
    escaped = contact.replace("/", "%2F")
    for character in ("\\", "%", "_"):
        escaped = escaped.replace(character, f"\\{character}")
    return f"%/{escaped}"


_item = operation_items.c.workflow_id
_HIS = or_(
    _item.like(bindparam("begins"), escape="\\"), _item.like(func.concat(bindparam("begins"), "/%"), escape="\\")
)
_COUNT = select(
    select(func.count()).where(entries.c.contact_id == bindparam("whose")).scalar_subquery().label("entries"),
    select(func.count()).where(deliveries.c.contact_id == bindparam("whose")).scalar_subquery().label("deliveries"),
    select(func.count()).where(claims.c.contact_id == bindparam("whose")).scalar_subquery().label("claims"),
    select(func.count()).select_from(operation_items).where(_HIS).scalar_subquery().label("operation_items"),
)
_CLAIMS = delete(claims).where(claims.c.contact_id == bindparam("whose"))
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
        workflow_id=deliveries.c.scenario + literal("/") + bindparam("name"),
        response=None,
        trace_id=None,
        next_try_at=None,
    )
    .returning(deliveries.c.delivery_id)
)
_ITEMS = update(operation_items).where(_HIS).values(workflow_id=bindparam("name"))
_ROWS = select(entries.c.workflow_id, entries.c.run_id).where(entries.c.contact_id == bindparam("whose"))
_ENTRY = (
    update(entries)
    .where(entries.c.workflow_id == bindparam("workflow"), entries.c.run_id == bindparam("run"))
    .values(
        contact_id=bindparam("name"),
        workflow_id=entries.c.scenario + literal("/") + bindparam("name"),
        key=bindparam("key"),
        reason=None,
    )
)
