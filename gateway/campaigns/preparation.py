"""The preparation of a campaign: its file is read, and its lines are stored.

It may be repeated: stored lines do not change.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from activities.entry_codec import EntryCodec
from gateway.campaigns.reading import AudienceReading, ReadLine, read_audience
from gateway.campaigns.survey import Survey
from gateway.errors import BadInput
from runtime.encryption.keyring import Erased
from runtime.store import Store
from runtime.store.campaigns import CampaignItem, StoredCampaign
from workflows.campaign import CampaignGroup

_NAMED: Final = 3
"""Invalid lines that a refusal quotes."""


class Preparation:
    """Prepares campaigns, one at a time in each process.

    Args:
        zone: IANA zone of the platform's dates without an offset.
    """

    def __init__(self, store: Store, codec: EntryCodec, zone: str) -> None:
        self._store, self._codec, self._zone = store, codec, zone
        self._turn = asyncio.Semaphore(1)

    async def prepare(self, name: str) -> list[CampaignGroup]:
        """Store the lines of a campaign, and delete its file.

        Raises:
            BadInput: The campaign, or its file, cannot be used, or too many lines are invalid.
        """
        campaign = await self._store.stored_campaign(name)
        if campaign is None or campaign.ended_at is not None:
            raise BadInput("the store has no open campaign of this name: check that all gateways use the same store")
        if campaign.loaded_at is None:
            async with self._turn:
                await self._load(campaign)
            await self._store.complete_campaign(name, datetime.now(UTC))
        await self._store.delete_audience(campaign.audience, besides=name)
        groups = await self._store.campaign_groups(name)
        return [CampaignGroup(lines=lines, due=due.isoformat() if due else "") for due, lines in groups]

    async def _load(self, campaign: StoredCampaign) -> None:
        version = await self._store.version(campaign.scenario, campaign.version)
        if version is None:
            raise BadInput(f"{campaign.scenario}@{campaign.version} is not published")
        reading = AudienceReading(
            document=version.document,
            version=campaign.version,
            campaign=campaign.name,
            zone=self._zone,
            file=campaign.file,
            encoding=campaign.encoding,
            local_start=campaign.local_start,
        )
        places = Counter[str | None]()
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

    async def _item(self, line: ReadLine, places: Counter[str | None]) -> CampaignItem:
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
            due_at=datetime.fromisoformat(line.due) if line.due else None,
            contact_id=line.contact,
            journey=line.journey,
            entry=text,
        )


def _check(campaign: StoredCampaign, survey: Survey) -> None:
    """Raise BadInput if no line can enter, or too many are invalid."""
    first = "; ".join(f"line {one.line}: {one.problem}" for one in survey.invalid_lines[:_NAMED])
    if not survey.entries:
        found = f": {first}" if first else ""
        raise BadInput(f"no line of {campaign.file} can enter {campaign.scenario}{found}")
    if not (survey.is_acceptable or campaign.accept):
        raise BadInput(
            f"{survey.invalid:,} of {survey.lines:,} lines of {campaign.file} are invalid, more than 1 %: correct "
            f"them, or accept them ('accept', or --accept); {first}"
        )
