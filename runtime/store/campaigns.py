"""Campaigns, their lines, and each line's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, bindparam, func, or_, select, text, tuple_, update

from runtime.store.columns import Flag, SafeText
from runtime.store.database import Queries
from runtime.store.row_list import RowList, column_type
from runtime.store.schema import entries, partial_index, table_of

LINES_TOGETHER: Final = 500
"""Maximum number of lines of a statement."""
PENDING: Final = "pending"
"""The outcome of lines that have none yet, in counts and filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCampaign:
    """A campaign."""

    name: str
    scenario: str
    version: int
    audience: str = ""
    """The id of the uploaded file."""
    file: str
    """Its name."""
    digest: str
    """SHA-256 of the file, in hex."""
    rate: float
    """Maximum number of lines a second."""
    operator: str
    created_at: datetime
    encoding: str | None = None
    """The encoding of CSV, or None to detect it."""
    accept: bool = False
    """True to start even if more lines are invalid than usual."""
    survey: Mapping[str, Any] | None = None
    """The result of reading the file, see `gateway.campaigns.survey.Survey`."""
    starts_at: datetime | None = None
    """Time of the start that was asked for, or of the next group of entries, if any."""
    local_start: str | None = None
    """Each contact's own date and time of the start, in ISO 8601."""
    loaded_at: datetime | None = None
    """When all lines were stored; None before."""
    confirmed_at: datetime | None = None
    """When its start was requested; None while it waits for that."""
    paused_by: str | None = None
    """The operator who paused it, or None if it is not paused."""
    pause_reason: str | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    """``finished``, ``stopped`` or ``failed``; None while it is open."""
    trouble: str | None = None
    """Why it makes no progress, or why it failed: a sentence."""
    stopped_by: str | None = None
    stop_reason: str | None = None
    gear: str = "enter"
    """``enter`` if each line starts a journey, ``blast`` if the messages are sent without."""
    gear_reason: str = ""
    """Why it has this gear."""
    destination: str = ""
    """Destination or host of its only sending step; empty for the gear ``enter``."""
    progressed_at: datetime | None = None
    """Time of the latest outcome of a line."""


campaigns = table_of(
    "campaigns",
    StoredCampaign,
    PrimaryKeyConstraint("name"),
    Index(None, "created_at"),
    partial_index("ix_campaigns_open", "created_at", where=text("ended_at IS NULL")),
)
"""Campaigns, open or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignItem:
    """A line of a campaign."""

    line: int
    place: int | None = None
    """Its number among the entries that are due at the same time, from 1; None for a line without an entry."""
    due_at: datetime | None = None
    """When it is due, if each contact has its own time."""
    contact_id: str = ""
    """The contact's id; empty for an invalid line."""
    journey: str | None = None
    """The id of the journey that it starts."""
    entry: str | None = None
    """The entry, encoded, and encrypted if payloads are; None as soon as the line has an outcome."""
    outcome: str | None = None
    """One of `scenario.words.LineOutcome`; None while it waits."""
    reason: str | None = None
    answered_at: datetime | None = None
    marked: bool = False
    """True if its message may have been sent, and must not be sent twice."""


campaign_items = table_of(
    "campaign_items",
    CampaignItem,
    Column("campaign", SafeText, nullable=False),
    Column("marked", Flag, nullable=False, server_default="0"),
    PrimaryKeyConstraint("campaign", "line"),
    # The contact first: read for erasures.
    Index(None, "contact_id", "campaign"),
    Index(None, "campaign", "outcome", "line"),
    Index(None, "campaign", "due_at", "place"),
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
        return await self._one(StoredCampaign, _ONE, {"of": name})

    async def stored_campaigns(
        self, *, is_open: bool = False, after: StoredCampaign | None = None, limit: int = 100
    ) -> list[StoredCampaign]:
        """Return campaigns, the newest first; `after` is the last of the page before."""
        statement = select(campaigns)
        if is_open:
            statement = statement.where(_table.ended_at.is_(None))
        if after is not None:
            statement = statement.where(tuple_(_table.created_at, _table.name) < (after.created_at, after.name))
        statement = statement.order_by(_table.created_at.desc(), _table.name.desc()).limit(limit)
        return await self._all(StoredCampaign, statement)

    async def add_campaign_items(self, campaign: str, items: Sequence[CampaignItem]) -> None:
        """Add lines to a campaign."""
        on_sqlite = self._database.one_writer
        for start in range(0, len(items), LINES_TOGETHER):
            rows = map(_VALUES, items[start : start + LINES_TOGETHER])
            given = {"of": campaign, "items": _ROWS.dump(rows, on_sqlite=on_sqlite)}
            await self._database.write(_ADD_ITEMS[on_sqlite], given)

    async def campaign_items(
        self, campaign: str, *, outcome: str | None = None, after: int = 0, limit: int = 100
    ) -> list[CampaignItem]:
        """Return lines after a number, in order. `PENDING` means those without an outcome."""
        where = [_items.campaign == campaign, _items.line > after]
        if outcome == PENDING:
            where.append(_items.outcome.is_(None))
        elif outcome is not None:
            where.append(_items.outcome == outcome)
        statement = select(*(_items[name] for name in CAMPAIGN_ITEM)).where(*where).order_by(_items.line).limit(limit)
        return await self._all(CampaignItem, statement)

    async def refuse_campaign_entry(self, campaign: str, contact: str, journey: str, reason: str, at: datetime) -> bool:
        """Record that the journey of a contact was refused. It was entered, or is about to be recorded as such.

        If the journey was admitted before, somebody else has entered the contact again, and nothing is recorded.

        Returns:
            True if it is recorded.
        """
        given = {"of": campaign, "whose": contact, "workflow": journey, "why": reason, "at": at}
        return bool(await self._database.write(_REFUSE, given))

    async def count_failed_campaigns(self, since: datetime) -> int:
        """Return the number of campaigns that failed since a moment."""
        [row] = await self._database.read(_FAILED, {"since": since})
        return row["number"]

    async def pause_campaign(self, name: str, operator: str | None, reason: str | None) -> None:
        """Record who paused an open campaign and why; None if it was resumed."""
        await self._database.write(_PAUSE, {"of": name, "who": operator, "why": reason})

    async def set_campaign_rate(self, name: str, rate: float) -> None:
        await self._database.write(_RATE, {"of": name, "rate": rate})

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
        await self._database.write(_LOSE, {"of": name, "why": why, "at": at})
        await self._database.write(_SKIP, {"of": name, "why": why, "at": at})
        given = {"how": outcome, "at": at, "what": trouble, "who": stopped_by, "reason": stop_reason}
        await self._database.write(_END, {"of": name, **given})

    async def campaign_counts(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the lines of campaigns by outcome, by the campaigns' names."""
        counts: dict[str, dict[str, int]] = {name: {} for name in names}
        for row in await self._database.read(_COUNTS, {"of": list(names)}) if names else ():
            counts[row["campaign"]][row["state"]] = row["lines"]
        return counts


CAMPAIGN_ITEM: Final = tuple(column.name for column in campaign_items.columns if column.name != "campaign")
"""The attributes of a line."""
_ADDED = tuple(name for name in CAMPAIGN_ITEM if name != "marked")
_VALUES = attrgetter(*_ADDED)
_ROWS = RowList({name: column_type(_items[name]) for name in _ADDED})
_ADD_ITEMS = {
    on_sqlite: text(
        f"INSERT INTO campaign_items (campaign, {_ROWS.names}) SELECT :of, {_ROWS.names} "  # noqa: S608
        f"FROM {_ROWS.source(':items', on_sqlite=on_sqlite)} AS one WHERE true ON CONFLICT DO NOTHING"
    )
    for on_sqlite in (True, False)
}
_IS_IT = _table.name == bindparam("of")
_OPEN = (_IS_IT, _table.ended_at.is_(None))
_ONE = select(campaigns).where(_IS_IT)
_moment = _table.created_at.type
_REFUSE = (
    update(campaign_items)
    .where(
        _items.contact_id == bindparam("whose"),
        _items.campaign == bindparam("of"),
        _items.journey == bindparam("workflow"),
        or_(_items.outcome.is_(None), _items.outcome == "entered"),
        ~select(entries.c.run_id).where(entries.c.workflow_id == bindparam("workflow")).exists(),
    )
    .values(outcome="refused", reason=bindparam("why"), answered_at=bindparam("at"), entry=None)
    .returning(_items.line)
)
PROGRESS = update(campaigns).where(*_OPEN).values(progressed_at=bindparam("at", type_=_moment))
_FAILED = select(func.count().label("number")).where(
    _table.outcome == "failed", _table.ended_at >= bindparam("since", type_=_moment)
)
_PAUSE = update(campaigns).where(*_OPEN).values(paused_by=bindparam("who"), pause_reason=bindparam("why"))
_RATE = update(campaigns).where(*_OPEN).values(rate=bindparam("rate"))
_SKIP = (
    update(campaign_items)
    .where(
        _items.campaign == bindparam("of"),
        _items.outcome.is_(None),
        select(campaigns.c.name).where(*_OPEN).exists(),
    )
    .values(outcome="skipped", reason=bindparam("why"), answered_at=bindparam("at"), entry=None)
)
_LOSE = (
    update(entries)
    .where(
        entries.c.scenario == select(_table.scenario).where(*_OPEN).scalar_subquery(),
        entries.c.ended_at.is_(None),
        entries.c.root == entries.c.run_id,
        select(_items.line)
        .where(
            _items.contact_id == entries.c.contact_id,
            _items.campaign == bindparam("of"),
            _items.journey == entries.c.workflow_id,
            _items.outcome.is_(None),
        )
        .exists(),
    )
    .values(outcome="lost", reason=bindparam("why"), ended_at=bindparam("at"))
)
_END = (
    update(campaigns)
    .where(*_OPEN)
    .values(
        ended_at=bindparam("at"),
        outcome=bindparam("how"),
        trouble=bindparam("what"),
        stopped_by=bindparam("who"),
        stop_reason=bindparam("reason"),
        paused_by=None,
        pause_reason=None,
    )
)
_state = func.coalesce(_items.outcome, PENDING).label("state")
_COUNTS = (
    select(_items.campaign, _state, func.count().label("lines"))
    .where(_items.campaign.in_(bindparam("of", expanding=True)))
    .group_by(_items.campaign, _state)
)
