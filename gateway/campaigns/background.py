"""The activities of the workflow `Campaign`, which the gateway carries out."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext

from activities.priority import CAMPAIGNS
from gateway.concurrency import Concurrency
from gateway.errors import BadInput, NotEntered, UnderWay
from gateway.operations.guarded import guarded
from gateway.service.caller import TERMINAL
from gateway.service.entries import EntryService
from runtime.encryption.keyring import Erased
from runtime.store import Store
from runtime.store.campaigns import NOT_DONE, CampaignItem
from workflows.campaign import ENTER, LINES, RECORD, CampaignChange, CampaignChunk

_AT_ONCE: Final = 25
"""Journeys of a chunk that are started at the same time."""
_SAVED_EVERY: Final = 1.0
"""Seconds between two records of outcomes. After a kill, lines in between are started again under the same request."""
_REQUESTS: Final = UUID("6f3c1c86-3df5-4c0e-9a6c-0d2f7a5f6b11")


class EntryCodec:
    """Encodes entries for the store as Temporal would get them: encrypted by the contact's key if payloads are."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def encode(self, journey: str, entry: Mapping[str, Any]) -> str:
        """Return an entry as text. Raise `Erased` if the contact was erased."""
        [payload] = await self._converter(journey).encode([dict(entry)])
        return base64.b64encode(payload.SerializeToString()).decode()

    async def decode(self, journey: str, text: str) -> dict[str, Any]:
        """Return the entry of a text. Raise `Erased` if the contact was erased."""
        payload = Payload.FromString(base64.b64decode(text))
        [entry] = await self._converter(journey).decode([payload], [dict])
        return entry

    def _converter(self, journey: str) -> Any:
        context = WorkflowSerializationContext(self._temporal.namespace, journey)
        return self._temporal.data_converter.with_context(context)


class CampaignActivities:
    """The activities of the workflow `Campaign`."""

    def __init__(self, temporal: Client, store: Store, entries: EntryService) -> None:
        self._store, self._entries, self._codec = store, entries, EntryCodec(temporal)

    @activity.defn(name=ENTER)
    async def enter_lines(self, chunk: CampaignChunk) -> None:
        """Start the journeys of the lines of a chunk that have no outcome yet."""
        async with guarded():
            items = await self._store.campaign_items(
                chunk.campaign, outcome=NOT_DONE, after=chunk.first - 1, until=chunk.last, limit=LINES
            )
            outcomes = _Outcomes(self._store, chunk.campaign)
            try:
                await self._enter(chunk, items, outcomes)
            finally:
                await outcomes.save()

    async def _enter(self, chunk: CampaignChunk, items: list[CampaignItem], outcomes: _Outcomes) -> None:
        clock = asyncio.get_running_loop()
        turn = clock.time()
        async with Concurrency(_AT_ONCE) as pool:
            for item in items:
                await pool.acquire()
                await asyncio.sleep(max(turn - clock.time(), 0.0))
                turn = max(turn, clock.time()) + 1 / chunk.rate
                if pool.has_failed:
                    break
                pool.start(self._start(chunk.campaign, item, outcomes))
                if outcomes.are_due:
                    await outcomes.save()

    async def _start(self, campaign: str, item: CampaignItem, outcomes: _Outcomes) -> None:
        """Start the journey of a line. A repeated request starts none."""
        request = uuid5(_REQUESTS, f"{campaign}/{item.line}")
        try:
            entry = await self._codec.decode(item.journey or "", item.entry or "")
            await self._entries.enter(TERMINAL, entry, settle=0, request=request, priority=CAMPAIGNS)
        except UnderWay:
            outcomes.add(item.line, "refused", "the contact's journey of this campaign was started by somebody else")
        except (NotEntered, Erased) as error:
            outcomes.add(item.line, "refused", str(error))
        else:
            outcomes.add(item.line, "entered")

    @activity.defn(name=RECORD)
    async def record_campaign(self, change: CampaignChange) -> None:
        """Record a change of a campaign."""
        async with guarded():
            match change.change:
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
    """Outcomes of lines that are not recorded yet."""

    def __init__(self, store: Store, campaign: str) -> None:
        self._store, self._campaign = store, campaign
        self._found: defaultdict[tuple[str, str | None], list[int]] = defaultdict(list)
        self._saved = asyncio.get_running_loop().time()

    @property
    def are_due(self) -> bool:
        return asyncio.get_running_loop().time() - self._saved >= _SAVED_EVERY

    def add(self, line: int, outcome: str, reason: str | None = None) -> None:
        self._found[outcome, reason].append(line)

    async def save(self) -> None:
        """Record them. Shielded: a pause of the campaign must lose no outcome."""
        self._saved = asyncio.get_running_loop().time()
        found, self._found = self._found, defaultdict(list)
        saving = asyncio.ensure_future(self._save(found))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await saving
            raise

    async def _save(self, found: Mapping[tuple[str, str | None], list[int]]) -> None:
        for (outcome, reason), lines in found.items():
            await self._store.record_campaign_outcome(self._campaign, lines, outcome, reason, datetime.now(UTC))
