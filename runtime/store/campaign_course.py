"""The course of a campaign: its preparation, the groups of its entries, and the journeys that it started."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from runtime.store.campaigns import CAMPAIGN_ITEM, CampaignItem, campaign_items, campaigns
from runtime.store.database import Queries
from runtime.store.schema import entries


class CampaignCourse(Queries):
    """The rows of a campaign while it is prepared and worked on. Every call is idempotent."""

    async def survey_campaign(self, name: str, survey: Mapping[str, Any]) -> None:
        """Record the result of reading a campaign's file."""
        await self._database.write(_SURVEY, {"of": name, "found": survey})

    async def complete_campaign(self, name: str, at: datetime) -> None:
        """Record that a campaign's lines are stored."""
        await self._database.write(_LOADED, {"of": name, "at": at})

    async def confirm_campaign(self, name: str, at: datetime) -> None:
        """Record that a campaign's start was requested."""
        await self._database.write(_CONFIRM, {"of": name, "at": at})

    async def schedule_campaign(self, name: str, starts_at: datetime) -> None:
        """Record the time at which a campaign continues with the entries that are due then."""
        await self._database.write(_SCHEDULE, {"of": name, "then": starts_at})

    async def withdraw_campaign(self, name: str) -> None:
        """Delete a campaign that ended before it was started."""
        if await self._database.write(_WITHDRAW, {"of": name}):
            await self._database.write(_FORGET_ITEMS, {"of": name})

    async def campaign_groups(self, name: str) -> list[tuple[datetime | None, int]]:
        """Return the times at which entries of a campaign are due, in order, and the last place of each."""
        return [(row["due_at"], row["last"]) for row in await self._database.read(_GROUPS, {"of": name})]

    async def campaign_chunk(self, campaign: str, due_at: datetime | None, first: int, last: int) -> list[CampaignItem]:
        """Return the entries in these places that have no outcome."""
        given = {"of": campaign, "due": due_at, "first": first, "last": last}
        return await self._all(CampaignItem, _CHUNK if due_at is None else _DUE_CHUNK, given)

    async def campaign_journeys(self, campaign: str, *, after: int = 0, limit: int) -> list[tuple[int, str]]:
        """Return the running journeys that a campaign started after a line, and the numbers of their lines."""
        rows = await self._database.read(_JOURNEYS, {"of": campaign, "after": after, "most": limit})
        return [(row["line"], row["journey"]) for row in rows]

    async def count_campaign_journeys(self, campaign: str) -> int:
        """Return the number of running journeys that a campaign started."""
        [row] = await self._database.read(_COUNT_JOURNEYS, {"of": campaign, "after": 0})
        return row["number"]


_table, _items = campaigns.c, campaign_items.c
_IS_IT = _table.name == bindparam("of")
_OPEN = (_IS_IT, _table.ended_at.is_(None))
_moment = _table.created_at.type
_SURVEY = update(campaigns).where(*_OPEN).values(survey=bindparam("found", type_=_table.survey.type))
_LOADED = (
    update(campaigns).where(*_OPEN).values(loaded_at=func.coalesce(_table.loaded_at, bindparam("at", type_=_moment)))
)
_CONFIRM = (
    update(campaigns)
    .where(*_OPEN)
    .values(confirmed_at=func.coalesce(_table.confirmed_at, bindparam("at", type_=_moment)))
)
_SCHEDULE = update(campaigns).where(*_OPEN).values(starts_at=bindparam("then", type_=_moment))
_WITHDRAW = (
    delete(campaigns)
    .where(_IS_IT, _table.ended_at.is_not(None), or_(_table.loaded_at.is_(None), _table.confirmed_at.is_(None)))
    .returning(_table.name)
)
_FORGET_ITEMS = delete(campaign_items).where(_items.campaign == bindparam("of"))
_GROUPS = (
    select(_items.due_at, func.max(_items.place).label("last"))
    .where(_items.campaign == bindparam("of"), _items.place.is_not(None))
    .group_by(_items.due_at)
    .order_by(_items.due_at)
)
_IN_PLACES = (
    select(*(_items[name] for name in CAMPAIGN_ITEM))
    .where(
        _items.campaign == bindparam("of"),
        _items.place.between(bindparam("first"), bindparam("last")),
        _items.outcome.is_(None),
    )
    .order_by(_items.place)
)
_CHUNK = _IN_PLACES.where(_items.due_at.is_(None))
_DUE_CHUNK = _IN_PLACES.where(_items.due_at == bindparam("due", type_=_moment))
_of_item = entries.c.workflow_id == _items.journey
_RUN = (
    _items.campaign == bindparam("of"),
    _items.line > bindparam("after"),
    _items.journey.is_not(None),
    _items.outcome.not_in(("refused", "skipped")),
    or_(
        select(entries.c.run_id).where(_of_item, entries.c.ended_at.is_(None)).exists(),
        # Not admitted yet.
        ~select(entries.c.run_id).where(_of_item).exists(),
    ),
)
_JOURNEYS = select(_items.line, _items.journey).where(*_RUN).order_by(_items.line).limit(bindparam("most"))
_COUNT_JOURNEYS = select(func.count().label("number")).select_from(campaign_items).where(*_RUN)
