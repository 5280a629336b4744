"""The activities of the workflow `Campaign`, which the gateway carries out."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Self

from temporalio import activity
from temporalio.client import Client

from activities.background import CampaignChunk
from activities.entry_codec import EntryCodec
from activities.handover import campaign_root
from gateway.campaigns.preparation import Preparation
from gateway.errors import BadInput, NotEntered, UnderWay
from gateway.operations.guarded import guarded
from gateway.service.entries import Entered, EntryService
from runtime.encryption.keyring import Erased
from runtime.store import Store, StoreError
from runtime.store.campaign_lines import LineEnd
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.telemetry.metrics import CAMPAIGN_LINES
from workflows.campaign import ENTER, PREPARE, RECORD, CampaignChange, CampaignGroup

_AT_ONCE: Final = 5
"""Journeys of a chunk that are started at the same time. More are not faster, and keep orders waiting at Temporal."""
_SAVED_EVERY: Final = 1.0
"""Seconds between two records of outcomes. After a kill, lines in between are started again under the same request."""
_COMPLETION: Final = 20.0
"""Maximum seconds for starts in progress when a chunk is interrupted."""


class CampaignActivities:
    """The activities of the workflow `Campaign`."""

    def __init__(self, temporal: Client, store: Store, entries: EntryService, zone: str) -> None:
        self._store, self._entries, self._codec = store, entries, EntryCodec(temporal)
        self._preparation = Preparation(store, self._codec, zone)

    @activity.defn(name=PREPARE)
    async def prepare_campaign(self, campaign: str) -> list[CampaignGroup]:
        """Read the file of a campaign and store its lines. Return the groups of lines that are due together."""
        async with guarded():
            return await self._preparation.prepare(campaign)

    @activity.defn(name=ENTER)
    async def enter_lines(self, chunk: CampaignChunk) -> None:
        """Start the journeys of the lines of a chunk that have no outcome yet."""
        async with guarded():
            due = datetime.fromisoformat(chunk.due) if chunk.due else None
            items = await self._store.campaign_chunk(chunk.campaign, due, chunk.first, chunk.last)
            campaign = await self._store.stored_campaign(chunk.campaign)
            if campaign is None:
                return  # it has ended, and was deleted
            async with _Outcomes(self._store, self._entries, chunk.campaign) as outcomes:
                await self._enter(campaign, chunk, items, outcomes)

    async def _enter(
        self, campaign: StoredCampaign, chunk: CampaignChunk, items: list[CampaignItem], outcomes: _Outcomes
    ) -> None:
        """Start journeys at the chunk's rate. When it is interrupted, starts in progress are completed."""
        clock = asyncio.get_running_loop()
        turn = clock.time()
        places, starts = asyncio.Semaphore(_AT_ONCE), set[asyncio.Task[None]]()

        async def start(item: CampaignItem) -> None:
            try:
                await self._start(campaign, item, outcomes)
            finally:
                places.release()

        try:
            for item in items:
                await places.acquire()
                await asyncio.sleep(max(turn - clock.time(), 0.0))
                turn = max(turn, clock.time()) + 1 / chunk.rate
                if any(task.done() and task.exception() for task in starts):
                    break
                starts = {task for task in starts if not task.done()} | {asyncio.create_task(start(item))}
        finally:
            if starts:
                await asyncio.wait(starts, timeout=_COMPLETION)
        for task in starts:
            await task

    async def _start(self, campaign: StoredCampaign, item: CampaignItem, outcomes: _Outcomes) -> None:
        """Start the journey of a line. A repeated request starts none."""
        try:
            entry = await self._codec.decode(item.journey or "", item.entry or "")
            root = campaign_root(item.journey or "", campaign.created_at)
            entered = await self._entries.enter_line(entry, root)
        except UnderWay:
            outcomes.add(item.line, "refused", "the contact's journey of this campaign was started by somebody else")
        except (NotEntered, Erased) as error:
            outcomes.add(item.line, "refused", str(error))
        else:
            outcomes.add_entered(item.line, entered)

    @activity.defn(name=RECORD)
    async def record_campaign(self, change: CampaignChange) -> None:
        async with guarded():
            match change.change:
                case "start":
                    await self._store.confirm_campaign(change.campaign, datetime.now(UTC))
                case "schedule":
                    await self._store.schedule_campaign(change.campaign, datetime.fromisoformat(change.due))
                case "pause":
                    await self._store.pause_campaign(change.campaign, change.operator, change.reason)
                case "resume":
                    await self._store.pause_campaign(change.campaign, None, None)
                case "retune":
                    await self._store.set_campaign_rate(change.campaign, change.rate or 0.0)
                case "finished" | "stopped" | "failed":
                    await self._store.end_campaign(
                        change.campaign,
                        change.change,
                        datetime.now(UTC),
                        trouble=change.trouble,
                        stopped_by=change.operator,
                        stop_reason=change.reason,
                    )
                case _:
                    raise BadInput(f"this version of the gateway does not know the change '{change.change[:40]}'")


class _Outcomes:
    """Outcomes of lines. Within its context, they are recorded every second."""

    def __init__(self, store: Store, entries: EntryService, campaign: str) -> None:
        self._store, self._entries, self._campaign = store, entries, campaign
        self._entered: list[Entered] = []
        self._found: list[LineEnd] = []

    async def __aenter__(self) -> Self:
        self._saving = asyncio.create_task(self._save_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._saving.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await self._saving
        await self.save()

    def add(self, line: int, outcome: str, reason: str | None = None) -> None:
        self._found.append(LineEnd(line, outcome, reason))

    def add_entered(self, line: int, entered: Entered) -> None:
        self._entered.append(entered)
        self.add(line, "entered")

    async def save(self) -> None:
        """Record the journeys and the outcomes so far."""
        entered, found = self._entered[:], self._found[:]
        if entered:
            await self._entries.record(*entered)
            del self._entered[: len(entered)]
        if found:
            await self._store.end_campaign_lines(self._campaign, found, datetime.now(UTC))
            del self._found[: len(found)]
        for outcome, number in Counter(one.outcome for one in found).items():
            CAMPAIGN_LINES.add(outcome, number=number)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(_SAVED_EVERY)
            await self.save()
