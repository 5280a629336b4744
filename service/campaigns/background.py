"""The activities of the workflow `Campaign`, which the gateway carries out, as `guarded` activities."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Self

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.background import CampaignChunk
from activities.handover import campaign_root
from authoring.errors import BadInput
from runtime.encryption.codec import EntryCodec
from runtime.encryption.keyring import Erased
from runtime.store import Store, StoreError
from runtime.store.campaign_lines import LineEnd
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.telemetry.metrics import CAMPAIGN_LINES
from scenario.entry.values import PlatformDates
from service.campaigns.reading import AudienceReading, read_audience
from service.campaigns.survey import AudienceEntry, Survey
from service.concurrency import Pace
from service.entries import Entered, EntryService
from service.errors import NotAnswered, NotEntered, UnderWay
from workflows.campaign import ENTER, PREPARE, RECORD, CampaignChange, CampaignGroup

logger = logging.getLogger(__name__)

BEAT: Final = 0.5  # seconds between two heartbeats. Their answers report a cancellation.


@asynccontextmanager
async def guarded() -> AsyncGenerator[None]:
    """Send heartbeats during an activity, and make errors that cannot pass non-retryable."""
    beating = asyncio.create_task(_beat())
    try:
        yield
    except BadInput as error:
        raise ApplicationError(str(error), type="BadInput", non_retryable=True) from None
    except (StoreError, RPCError, NotAnswered, OSError):
        raise
    except Exception as error:
        logger.exception("the work failed")
        text = f"unexpected error ({type(error).__name__}): see the gateway's log"
        raise ApplicationError(text, type="Fault", non_retryable=True) from None
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT)


_AT_ONCE: Final = 5
"""Journeys of a chunk that are started at the same time. More are not faster, and keep orders waiting at Temporal."""
_SAVED_EVERY: Final = 1.0
"""Seconds between two records of outcomes. After a kill, lines in between are started again under the same request."""
_NAMED: Final = 3  # invalid lines that a refusal quotes
_COMPLETION: Final = 20.0  # maximum seconds for starts in progress when a chunk is interrupted


class CampaignActivities:
    """The activities of the workflow `Campaign`."""

    def __init__(self, temporal: Client, store: Store, entries: EntryService, platform: PlatformDates) -> None:
        self._store, self._entries, self._codec, self._platform = store, entries, EntryCodec(temporal), platform
        self._preparing = asyncio.Semaphore(1)

    @activity.defn(name=PREPARE)
    async def prepare_campaign(self, campaign: str) -> list[CampaignGroup]:
        """Store a campaign's lines, and delete its file. Idempotent. Return the groups that are due together."""
        async with guarded():
            stored = await self._store.stored_campaign(campaign)
            if stored is None or stored.ended_at is not None:
                text = "the store has no open campaign of this name: check that all gateways use the same store"
                raise BadInput(text)
            if stored.loaded_at is None:
                async with self._preparing:
                    await self._load(stored)
                await self._store.complete_campaign(campaign, datetime.now(UTC))
            await self._store.delete_audience(stored.audience, besides=campaign)
            groups = await self._store.campaign_groups(campaign)
            return [CampaignGroup(lines=lines, due=due.isoformat() if due else "") for due, lines in groups]

    async def _load(self, campaign: StoredCampaign) -> None:
        version = await self._store.version(campaign.scenario, campaign.version)
        if version is None:
            raise BadInput(f"{campaign.scenario}@{campaign.version} is not published")
        reading = AudienceReading(
            document=version.document,
            version=campaign.version,
            campaign=campaign.name,
            zone=self._platform.zone,
            dates=self._platform.order,
            file=campaign.file,
            encoding=campaign.encoding,
            local_start=campaign.local_start,
        )
        places = Counter[datetime | None]()
        async with aclosing(read_audience(reading, self._parts(campaign))) as answers:
            async for answer in answers:
                if isinstance(answer, Survey):
                    await self._store.survey_campaign(campaign.name, answer.model_dump(mode="json"))
                    _check(campaign, answer)
                else:
                    items = [await self._item(line, places) for line in answer]
                    await self._store.add_campaign_items(campaign.name, items)

    async def _parts(self, campaign: StoredCampaign) -> AsyncGenerator[bytes]:
        audience = await self._store.stored_audience(campaign.audience)
        for number in range(audience.parts if audience else 1):
            text = await self._store.audience_part(campaign.audience, number)
            if text is None:
                raise BadInput(f"the file {campaign.file} was deleted before it was read: upload it again")
            yield await self._codec.decode_part(text)

    async def _item(self, line: AudienceEntry, places: Counter[datetime | None]) -> CampaignItem:
        now = datetime.now(UTC)
        if line.outcome is not None or line.entry is None or line.journey is None:
            return CampaignItem(line=line.line, outcome=line.outcome, reason=line.reason, answered_at=now)
        places[line.due] += 1  # also for an erased contact, so that a repetition counts alike
        try:
            text = await self._codec.encode(line.journey, line.entry)
        except Erased as error:
            return CampaignItem(line=line.line, outcome="refused", reason=str(error), answered_at=now)
        return CampaignItem(
            line=line.line,
            place=places[line.due],
            due_at=line.due,
            contact_id=line.contact,
            journey=line.journey,
            entry=text,
        )

    @activity.defn(name=ENTER)
    async def enter_lines(self, chunk: CampaignChunk) -> None:
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
        pace, places, starts = Pace(chunk.rate), asyncio.Semaphore(_AT_ONCE), set[asyncio.Task[None]]()

        async def start(item: CampaignItem) -> None:
            try:
                await self._start(campaign, item, outcomes)
            finally:
                places.release()

        try:
            for item in items:
                await places.acquire()
                await pace.turn()
                if any(task.done() and task.exception() for task in starts):
                    break
                starts = {task for task in starts if not task.done()} | {asyncio.create_task(start(item))}
        finally:
            if starts:
                await asyncio.wait(starts, timeout=_COMPLETION)
        for task in starts:
            await task

    async def _start(self, campaign: StoredCampaign, item: CampaignItem, outcomes: _Outcomes) -> None:
        try:
            entry = await self._codec.decode(item.journey or "", item.entry or "")
            root = campaign_root(item.journey or "", campaign.created_at)
            entered = await self._entries.enter_line(entry, root)
        except UnderWay:
            outcomes.add(item.line, "refused", "the contact's journey of this campaign was started by somebody else")
        except (NotEntered, Erased) as error:
            outcomes.add(item.line, "refused", str(error))
        else:
            outcomes.entered.append(entered)
            outcomes.add(item.line, "entered")

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
        self.entered: list[Entered] = []
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

    async def save(self) -> None:
        entered, found = self.entered[:], self._found[:]
        if entered:
            await self._entries.record(*entered)
            del self.entered[: len(entered)]
        if found:
            await self._store.end_campaign_lines(self._campaign, found, datetime.now(UTC))
            del self._found[: len(found)]
        for outcome, number in Counter(one.outcome for one in found).items():
            CAMPAIGN_LINES.add(outcome, number=number)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(_SAVED_EVERY)
            await self.save()


def _check(campaign: StoredCampaign, survey: Survey) -> None:
    first = "; ".join(f"line {one.line}: {one.problem}" for one in survey.invalid_lines[:_NAMED])
    if not survey.entries:
        found = f": {first}" if first else ""
        raise BadInput(f"no line of {campaign.file} can enter {campaign.scenario}{found}")
    if not (survey.is_acceptable or campaign.accept):
        raise BadInput(
            f"{survey.invalid:,} of {survey.lines:,} lines of {campaign.file} are invalid, more than 1 %: correct "
            f"them, or accept them ('accept', or --accept); {first}"
        )
