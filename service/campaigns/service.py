"""Use cases about campaigns: one scenario for the contacts of a file.

A campaign's workflow reads the file and stores its lines, then works on them: see `workflows.campaign`. A campaign's
name is the key of its journeys, so that a contact enters once, whatever restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.channel_registry import CHANNELS
from activities.content import Content, UnknownVersion
from activities.interface import CAMPAIGNS, priority_of
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.server_rates import SHARED
from authoring.errors import BadInput
from runtime.store import Store
from runtime.store.campaign_lines import StoredAudience
from runtime.store.campaigns import PENDING, StoredCampaign
from runtime.temporal_faults import is_unknown_workflow, unless_gone
from runtime.watched_file import UnusableFile
from scenario.entry.values import PlatformDates
from scenario.errors import ScenarioError
from scenario.plan.plan import Gear, gear_of
from scenario.words import LineOutcome, Operation
from service.audiences import AudienceService
from service.caller import Caller
from service.campaigns.background import CampaignActivities
from service.campaigns.views import (
    CampaignLineView,
    CampaignOperation,
    CampaignRequest,
    CampaignView,
    LeavingView,
    Speedometer,
    check_rate,
)
from service.entries import EntryService
from service.errors import NotAccepted, NotFound
from service.index import JourneyFilter
from service.operations.journey_operations import answer_to
from service.operations.request import RequestedOperation, check_record
from service.operations.service import OperationService, trouble_of
from service.view import PageRequest, PageView
from workflows.campaign import WORKFLOW, CampaignState
from workflows.operation import QUEUE

_OPERATIONS: Final = UUID("0e1c3f52-9d7a-4c8e-b0a5-5a1f6e2d7c44")
_EXPORTED: Final = 1_000  # lines that are exported together
_ANSWER: Final = 15.0  # seconds
_CURRENT: Final = 50
_FAILED: Final = timedelta(days=1)


class CampaignService:
    """Use cases about campaigns, with the `activities` of their workflows, and the uploaded `audiences`.

    They raise Forbidden if the caller may not use the scenario, and NotFound if there is none of a name.
    """

    def __init__(
        self,
        temporal: Client,
        store: Store,
        content: Content,
        entries: EntryService,
        operations: OperationService,
        platform: PlatformDates,
        destinations: Path | None = None,
    ) -> None:
        self._operations, self._speeds = operations, Speedometer()
        self._path = destinations
        self._destinations: DestinationsFile | None = None
        self.audiences = AudienceService(temporal, store)
        self._temporal, self._store, self._content = temporal, store, content
        self.activities = CampaignActivities(temporal, store, entries, platform)

    async def begin(
        self, caller: Caller, request: CampaignRequest, audience: StoredAudience | None = None
    ) -> CampaignView:
        """Begin a campaign: a gateway reads its file, then starts it, unless the request asks to wait.

        Begun again with the same scenario and file, it is the same campaign. `audience` is the uploaded file, if it is
        not the caller's newest one of that name. Raise BadInput if the request is invalid, or there is no such file,
        and NotAccepted if a campaign of this name has another scenario or file.
        """
        name, at, number = request.scenario.partition("@")
        caller.check(name, "scenario")
        now = datetime.now(UTC)
        try:
            opened = await self._content.open(name, int(number) if at else None)
        except (UnknownVersion, ValueError):
            raise BadInput(f"no {request.scenario[:80]} is published: publish it first", at=["scenario"]) from None
        except ScenarioError:
            text = f"{name} was published by a later release of this program: update it"
            raise BadInput(text, at=["scenario"]) from None
        audience = audience or await self._store.newest_audience(caller.id, request.audience)
        known = await self._store.stored_campaign(request.name)
        if known is not None:
            caller.check(known.scenario, "scenario")
        if known is not None and (known.ended_at is None or (known.loaded_at and known.confirmed_at)):
            if (known.scenario, known.version) != (opened.name, opened.version):
                version = f"{known.scenario}@{known.version}"
                raise NotAccepted(known.name, f"the campaign of this name is one of {version}: choose another name")
            if known.digest != (audience.digest if audience else request.digest or known.digest):
                raise NotAccepted(known.name, "the campaign of this name has another file: choose another name")
            if audience is not None:
                await self._store.delete_audience(audience.id)
            return await self.show(caller, known.name)
        request.check(now)
        if audience is None:
            raise BadInput(f"there is no uploaded file '{request.audience[:80]}': upload it first", at=["audience"])
        if request.digest not in (None, audience.digest):
            raise BadInput("the uploaded file is another one: its SHA-256 differs", at=["digest"])
        if known is not None:
            await self._store.withdraw_campaign(known.name)
        gear = gear_of(opened.table) if request.gear is None else Gear("enter", "it was asked for")
        campaign = StoredCampaign(
            name=request.name,
            scenario=opened.name,
            version=opened.version,
            audience=audience.id,
            file=audience.name,
            digest=audience.digest,
            encoding=request.encoding,
            accept=request.accept,
            gear=gear.name,
            gear_reason=gear.reason,
            destination=gear.destination,
            rate=request.rate,
            operator=request.operator,
            created_at=now,
            starts_at=request.starts_at,
            local_start=request.local_start.isoformat() if request.local_start else None,
            confirmed_at=None if request.ask else now,
        )
        if not await self._store.add_campaign(campaign):
            raise NotAccepted(request.name, "a campaign of this name was begun at this moment: try again")
        await self._begin(campaign)
        return await self.show(caller, request.name)

    async def show(self, caller: Caller, name: str) -> CampaignView:
        stored = await self._stored(name)
        caller.check(stored.scenario, "scenario")
        if stored.ended_at is None and await self._settle(stored):
            stored = await self._stored(name)
        return (await self._views([stored]))[0]

    async def list(self, caller: Caller, page: PageRequest) -> PageView[CampaignView]:
        """List campaigns of scenarios that the caller may use, the newest first."""
        last = await page.item(self._store.stored_campaign)
        found = await self._store.stored_campaigns(after=last, limit=page.limit + 1)
        items, following = page.split(found, lambda one: [one.name])
        shown = [one for one in items if caller.may_use(one.scenario)]
        return PageView(items=[*await self._views(shown)], next=following)

    async def current(self, caller: Caller) -> list[CampaignView]:
        """Return the newest campaigns that have not ended, or that failed within the last day."""
        since = datetime.now(UTC) - _FAILED
        found = {one.name: one for one in await self._store.stored_campaigns(is_open=True, limit=_CURRENT)}
        for one in await self._store.stored_campaigns(limit=_CURRENT):
            if one.outcome == "failed" and one.ended_at is not None and one.ended_at > since:
                found[one.name] = one
        return [*await self._views([one for one in found.values() if caller.may_use(one.scenario)])]

    async def lines(
        self, caller: Caller, name: str, page: PageRequest, outcome: LineOutcome | None = None
    ) -> PageView[CampaignLineView]:
        caller.check((await self._stored(name)).scenario, "scenario")
        found = await self._store.campaign_items(name, outcome=outcome, after=page.number, limit=page.limit + 1)
        some, following = page.split(found, lambda item: [item.line])
        view = CampaignLineView.from_record
        items = [view(one, contact=one.contact_id, outcome=one.outcome or PENDING, at=one.answered_at) for one in some]
        return PageView(items=items, next=following)

    async def all_lines(
        self, caller: Caller, name: str, outcome: LineOutcome | None = None
    ) -> AsyncGenerator[list[CampaignLineView]]:
        """Yield all lines of a campaign in the order of the file, many at a time; see `lines`."""
        page: PageRequest | None = PageRequest(_EXPORTED)
        while page is not None:
            found = await self.lines(caller, name, page, outcome)
            yield found.items
            page = PageRequest(_EXPORTED, found.next) if found.next else None

    async def change(
        self,
        caller: Caller,
        name: str,
        change: CampaignOperation,
        *,
        operator: str,
        reason: str,
        rate: float | None = None,
        leave: bool = False,
    ) -> CampaignView:
        """Start, pause, resume, retune or stop a campaign.

        A stop with `leave` also ends the journeys that it started, even if the campaign has ended.

        Raises:
            BadInput: The operator, the reason or the rate is missing.
            NotAccepted: The campaign refuses it, for example because it has ended.
            NotAnswered: No gateway answered in time. One may still carry it out later.
        """
        view = await self.show(caller, name)
        check_record(operator, reason)
        if change == "retune":
            check_rate(rate)
        if leave and change != "stop":
            raise BadInput(f"'leave' is for stop, not for {change}: leave it out", at=["leave"])
        if leave and view.over:
            return await self._end_journeys(caller, view, operator, reason)
        if view.over:
            raise NotAccepted(name, f"the campaign has ended ({view.state})")
        handle = self._temporal.get_workflow_handle(_workflow(name))
        argument = {"operator": operator, "reason": reason, "rate": rate}
        asking = handle.execute_update(change, argument)  # pyright: ignore[reportUnknownMemberType]
        silence = "no gateway answered in time, and one may still do so: check that one runs"
        try:
            await answer_to(asking, name, _ANSWER, silence)
        except RPCError as error:
            if is_unknown_workflow(error):
                raise NotAccepted(name, "the campaign has ended, or has not started yet") from None
            raise
        view = await self.show(caller, name)
        return await self._end_journeys(caller, view, operator, reason) if leave else view

    async def settle(self) -> None:
        """Start stored campaigns that have no workflow, and record the end of those terminated on the server."""
        for stored in await self._store.stored_campaigns(is_open=True, limit=1_000):
            await self._settle(stored)

    # ---- steps

    async def _end_journeys(self, caller: Caller, view: CampaignView, operator: str, reason: str) -> CampaignView:
        """End the journeys that a campaign started, by an operation. Repeated, it is the same one."""
        number = await self._store.count_campaign_journeys(view.name)
        request = RequestedOperation(
            operation=Operation.LEAVE,
            which=JourneyFilter(scenario=view.scenario.partition("@")[0], campaign=view.name),
            operator=operator,
            reason=reason,
            everybody=True,
        )
        identifier = uuid5(_OPERATIONS, f"{view.name}/{view.since.isoformat()}").hex[:20]
        begun = await self._operations.begin(caller, request, identifier)
        return view.model_copy(update={"leaving": LeavingView(operation=str(begun.id), journeys=number)})

    async def _views(self, stored: Sequence[StoredCampaign]) -> Sequence[CampaignView]:
        """Return the views of campaigns, with the reason why an open one makes no progress."""
        counts = await self._store.campaign_counts([one.name for one in stored])
        book = self._book()

        async def view(one: StoredCampaign) -> CampaignView:
            rate = SHARED * book.rates.get(one.destination, book.rate) if one.destination else inf
            made = CampaignView.of(one, counts[one.name], rate)
            if made.state == "running":
                made = made.moving(self._speeds.speed(one.name, made.done))
            else:
                self._speeds.forget(one.name)
            if made.over or made.trouble:
                return made
            trouble = await trouble_of(self._temporal, _workflow(one.name), "campaign")
            return made.model_copy(update={"trouble": trouble})

        return await asyncio.gather(*map(view, stored))

    def _book(self) -> Destinations:
        """Return the destinations; none if the file cannot be used, which workers report."""
        try:
            self._destinations = self._destinations or DestinationsFile(self._path)
        except UnusableFile:
            return Destinations()
        return self._destinations.book

    async def _begin(self, stored: StoredCampaign) -> None:
        opened = await self._content.open(stored.scenario, stored.version)
        channel = CHANNELS[gear_of(opened.table).channel] if stored.gear == "blast" else None
        state = CampaignState(
            campaign=stored.name,
            rate=stored.rate,
            preparing=True,
            confirmed=stored.confirmed_at is not None,
            starts_at=stored.starts_at.isoformat() if stored.starts_at else "",
            queue=channel.campaigns if channel else "",
        )
        with suppress(WorkflowAlreadyStartedError):  # by another gateway
            await self._temporal.start_workflow(
                WORKFLOW,
                state,
                id=_workflow(stored.name),
                task_queue=QUEUE,
                # One that ended before its start may be followed by another of its name.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=f"{stored.scenario}@{stored.version}, at most {stored.rate:g} lines a second",
                priority=priority_of(CAMPAIGNS),
            )

    async def _settle(self, stored: StoredCampaign) -> bool:
        """Return True if an open campaign had no running workflow, which is settled now."""
        described = None
        with unless_gone():
            described = await self._temporal.get_workflow_handle(_workflow(stored.name)).describe()
        if described is not None and described.status is WorkflowExecutionStatus.RUNNING:
            return False
        if described is None or described.start_time < stored.created_at:  # of one that ended before its start
            await self._begin(stored)
        else:
            trouble = "its workflow was ended on the server: start a campaign of another name for the remaining lines"
            await self._store.end_campaign(stored.name, "failed", datetime.now(UTC), trouble=trouble)
        return True

    async def _stored(self, name: str) -> StoredCampaign:
        stored = await self._store.stored_campaign(name)
        if stored is None:
            raise NotFound(f"there is no campaign '{name[:80]}'")
        return stored


def _workflow(name: str) -> str:
    # Without a slash, which would make the name a contact's id: see `runtime.encryption.codec.contact_of`.
    return f"campaign:{name}"
