"""Campaigns, their lines, and each line's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from runtime.store.database import Queries, in_chunks
from runtime.store.schema import Flag, RowList, SafeText, UtcDateTime, column_type, entries, partial_index, table_of

LINES_TOGETHER: Final = 500  # maximum number of lines of a statement
PENDING: Final = "pending"  # the outcome of lines that have none yet, in counts and filters


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCampaign:
    """A campaign."""

    name: str
    scenario: str
    version: int
    audience: str = ""  # the id of the uploaded file
    file: str  # its name
    digest: str  # SHA-256 of the file, in hex
    rate: float  # maximum number of lines a second
    operator: str
    created_at: datetime
    encoding: str | None = None  # the encoding of CSV, or None to detect it
    accept: bool = False  # True to start even if more lines are invalid than usual
    survey: Mapping[str, Any] | None = None  # the result of reading the file, see `service.campaigns.survey.Survey`
    starts_at: datetime | None = None  # time of the start that was asked for, or of the next group of entries, if any
    local_start: str | None = None  # each contact's own date and time of the start, in ISO 8601
    loaded_at: datetime | None = None  # when all lines were stored; None before
    confirmed_at: datetime | None = None  # when its start was requested; None while it waits for that
    paused_by: str | None = None  # the operator who paused it, or None if it is not paused
    pause_reason: str | None = None
    ended_at: datetime | None = None
    outcome: str | None = None  # ``finished``, ``stopped`` or ``failed``; None while it is open
    trouble: str | None = None  # why it makes no progress, or why it failed: a sentence
    stopped_by: str | None = None
    stop_reason: str | None = None
    gear: str = "enter"  # ``enter`` if each line starts a journey, ``blast`` if the messages are sent without
    gear_reason: str = ""  # why it has this gear
    destination: str = ""  # destination or host of its only sending step; empty for the gear ``enter``
    progressed_at: datetime | None = None  # time of the latest outcome of a line


campaigns = table_of(
    "campaigns",
    StoredCampaign,
    sa.PrimaryKeyConstraint("name"),
    sa.Index(None, "created_at"),
    partial_index("ix_campaigns_open", "created_at", where="ended_at IS NULL"),
)
"""Campaigns, open or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignItem:
    """A line of a campaign."""

    line: int
    place: int | None = None
    """Its number among the entries that are due at the same time, from 1; None for a line without an entry."""
    due_at: datetime | None = None  # when it is due, if each contact has its own time
    contact_id: str = ""  # the contact's id; empty for an invalid line
    journey: str | None = None  # the id of the journey that it starts
    entry: str | None = None
    """The entry, encoded, and encrypted if payloads are; None as soon as the line has an outcome."""
    outcome: str | None = None  # one of `scenario.words.LineOutcome`; None while it waits
    reason: str | None = None
    answered_at: datetime | None = None
    marked: bool = False  # True if its message may have been sent, and must not be sent twice


campaign_items = table_of(
    "campaign_items",
    CampaignItem,
    sa.Column("campaign", SafeText, nullable=False),
    sa.Column("marked", Flag, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("campaign", "line"),
    # The contact first: read for erasures.
    sa.Index(None, "contact_id", "campaign"),
    sa.Index(None, "campaign", "outcome", "line"),
    sa.Index(None, "campaign", "due_at", "place"),
)
"""The lines of campaigns, with their outcomes."""


_table = campaigns.c
_items = campaign_items.c


class StoredCampaigns(Queries):
    """The tables of campaigns. Every call is idempotent."""

    async def add_campaign(self, campaign: StoredCampaign) -> bool:
        """Record a campaign. Return False if its name is taken."""
        return await self._add(campaigns, campaign)

    async def stored_campaign(self, name: str) -> StoredCampaign | None:
        return await self._find(StoredCampaign, campaigns, name=name)

    async def stored_campaigns(
        self, *, is_open: bool = False, after: StoredCampaign | None = None, limit: int = 100
    ) -> list[StoredCampaign]:
        """Return campaigns, the newest first; `after` is the last of the page before."""
        where = [_table.ended_at.is_(None)] if is_open else []
        return await self._newest(StoredCampaign, campaigns, where, (_table.created_at, _table.name), after, limit)

    # ---- preparation

    async def survey_campaign(self, name: str, survey: Mapping[str, Any]) -> None:
        """Record the result of reading a campaign's file."""
        await self._change(campaigns, *_is_open(name), survey=survey)

    async def add_campaign_items(self, campaign: str, items: Sequence[CampaignItem]) -> None:
        on_sqlite = self._database.one_writer
        for some in in_chunks(map(_VALUES, items), LINES_TOGETHER):
            given = {"of": campaign, "items": _ROWS.dump(some, on_sqlite=on_sqlite)}
            await self._database.write(_ADD_ITEMS[on_sqlite], given)

    async def complete_campaign(self, name: str, at: datetime) -> None:
        """Record that a campaign's lines are stored."""
        loaded_at = sa.func.coalesce(_table.loaded_at, sa.literal(at, UtcDateTime))
        await self._change(campaigns, *_is_open(name), loaded_at=loaded_at)

    async def confirm_campaign(self, name: str, at: datetime) -> None:
        """Record that a campaign's start was requested."""
        confirmed_at = sa.func.coalesce(_table.confirmed_at, sa.literal(at, UtcDateTime))
        await self._change(campaigns, *_is_open(name), confirmed_at=confirmed_at)

    async def schedule_campaign(self, name: str, starts_at: datetime) -> None:
        """Record the time at which a campaign continues with the entries that are due then."""
        await self._change(campaigns, *_is_open(name), starts_at=starts_at)

    async def withdraw_campaign(self, name: str) -> None:
        """Delete a campaign that ended before it was started."""
        unstarted = sa.or_(_table.loaded_at.is_(None), _table.confirmed_at.is_(None))
        if await self._delete(campaigns, _table.name == name, _table.ended_at.is_not(None), unstarted):
            await self._database.write(sa.delete(campaign_items).where(_items.campaign == name))

    # ---- lines

    async def campaign_items(
        self, campaign: str, *, outcome: str | None = None, after: int = 0, limit: int = 100
    ) -> list[CampaignItem]:
        """Return lines after a number, in order. `PENDING` means those without an outcome."""
        where = [_items.campaign == campaign, _items.line > after]
        if outcome is not None:
            where.append(_items.outcome == (None if outcome == PENDING else outcome))
        return await self._all(CampaignItem, _SELECT.where(*where).order_by(_items.line).limit(limit))

    async def campaign_groups(self, name: str) -> list[tuple[datetime | None, int]]:
        """Return the times at which entries of a campaign are due, in order, and the last place of each."""
        groups = sa.select(_items.due_at, sa.func.max(_items.place))
        groups = groups.where(_items.campaign == name, _items.place.is_not(None))
        return await self._tuples(groups.group_by(_items.due_at).order_by(_items.due_at))

    async def campaign_chunk(self, campaign: str, due_at: datetime | None, first: int, last: int) -> list[CampaignItem]:
        """Return the entries in these places that have no outcome."""
        chunk = _SELECT.where(
            _items.campaign == campaign,
            _items.due_at == due_at,
            _items.place.between(first, last),
            _items.outcome.is_(None),
        )
        return await self._all(CampaignItem, chunk.order_by(_items.place))

    async def refuse_campaign_entry(self, campaign: str, contact: str, journey: str, reason: str, at: datetime) -> bool:
        """Record that the journey of a contact was refused. It was entered, or is about to be recorded as such.

        Return False if the journey was admitted before: somebody else has entered the contact again.
        """
        return await self._change(
            campaign_items,
            _items.contact_id == contact,
            _items.campaign == campaign,
            _items.journey == journey,
            sa.or_(_items.outcome.is_(None), _items.outcome == "entered"),
            ~sa.exists().where(entries.c.workflow_id == journey),
            **_answer("refused", reason, at),
        )

    async def campaign_counts(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the lines of campaigns by outcome, by the campaigns' names."""
        return await self._counts_by(_items.campaign, names, sa.func.coalesce(_items.outcome, PENDING))

    async def campaign_journeys(self, campaign: str, *, after: int = 0, limit: int) -> list[tuple[int, str]]:
        """Return the running journeys that a campaign started after a line, and the numbers of their lines."""
        where = (_items.campaign == campaign, _items.line > after, *_IS_RUNNING)
        journeys = sa.select(_items.line, _items.journey).where(*where)
        return await self._tuples(journeys.order_by(_items.line).limit(limit))

    async def count_campaign_journeys(self, campaign: str) -> int:
        return await self._count_rows(campaign_items, _items.campaign == campaign, *_IS_RUNNING)

    # ---- its course and end

    async def count_failed_campaigns(self, since: datetime) -> int:
        """Return the number of campaigns that failed since a moment."""
        return await self._count_rows(campaigns, _table.outcome == "failed", _table.ended_at >= since)

    async def pause_campaign(self, name: str, operator: str | None, reason: str | None) -> None:
        """Record who paused an open campaign and why; None if it was resumed."""
        await self._change(campaigns, *_is_open(name), paused_by=operator, pause_reason=reason)

    async def set_campaign_rate(self, name: str, rate: float) -> None:
        await self._change(campaigns, *_is_open(name), rate=rate)

    async def end_campaign(
        self,
        name: str,
        outcome: str,
        at: datetime,
        *,
        trouble: str | None = None,
        stopped_by: str | None = None,
        stop_reason: str | None = None,
    ) -> None:
        """Record that a campaign has ended. The first report wins. Lines that wait are skipped.

        Their entries are lost, if they have any: a worker was killed while it sent without workflows.
        """
        why = f"the campaign {'was stopped' if outcome == 'stopped' else outcome}"
        waits = (_items.campaign == name, _items.outcome.is_(None))
        lost = sa.update(entries).where(
            entries.c.scenario == sa.select(_table.scenario).where(*_is_open(name)).scalar_subquery(),
            entries.c.ended_at.is_(None),
            entries.c.root == entries.c.run_id,
            sa.exists().where(
                _items.contact_id == entries.c.contact_id, _items.journey == entries.c.workflow_id, *waits
            ),
        )
        await self._database.write(lost.values(outcome="lost", reason=why, ended_at=at))
        skipped = sa.update(campaign_items).where(*waits, sa.exists().where(*_is_open(name)))
        await self._database.write(skipped.values(_answer("skipped", why, at)))
        given = {"trouble": trouble, "stopped_by": stopped_by, "stop_reason": stop_reason}
        given |= {"paused_by": None, "pause_reason": None}
        await self._change(campaigns, *_is_open(name), ended_at=at, outcome=outcome, **given)


def _is_open(name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _table.name == name, _table.ended_at.is_(None)


def _answer(outcome: str, reason: str, at: datetime) -> dict[str, object]:
    return {"outcome": outcome, "reason": reason, "answered_at": at, "entry": None}


_ITEM: Final = tuple(column for column in campaign_items.columns if column.name != "campaign")
_SELECT: Final = sa.select(*_ITEM)
_ADDED: Final = tuple(column.name for column in _ITEM if column.name != "marked")
_VALUES = attrgetter(*_ADDED)
_ROWS = RowList({name: column_type(_items[name]) for name in _ADDED})
_ADD_ITEMS = {
    on_sqlite: sa.text(
        f"INSERT INTO campaign_items (campaign, {_ROWS.names}) SELECT :of, {_ROWS.names} "  # noqa: S608
        f"FROM {_ROWS.source(':items', on_sqlite=on_sqlite)} AS one WHERE true ON CONFLICT DO NOTHING"
    )
    for on_sqlite in (True, False)
}
_of_item = entries.c.workflow_id == _items.journey
_IS_RUNNING: Final = (
    _items.journey.is_not(None),
    _items.outcome.not_in(("refused", "skipped")),
    sa.or_(
        sa.exists().where(_of_item, entries.c.ended_at.is_(None)),
        ~sa.exists().where(_of_item),  # not admitted yet
    ),
)
