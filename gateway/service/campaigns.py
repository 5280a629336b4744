"""Use cases about campaigns: one scenario for the contacts of a file.

The lines of the file are stored first, then the workflow is started: see `workflows.campaign`. A campaign's name is the
key of its journeys, so that a contact enters once, whatever restarts.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError
from typing_extensions import TypedDict

from activities.content import Content, UnknownVersion
from activities.entry_codec import EntryCodec
from activities.priority import CAMPAIGNS, priority_of
from gateway.campaigns.audience_file import open_audience
from gateway.campaigns.background import CampaignActivities
from gateway.campaigns.request import CampaignRequest, check_rate
from gateway.campaigns.survey import Survey, Surveyor
from gateway.errors import BadCursor, BadInput, NotAccepted, NotAnswered, UnknownOperation
from gateway.operations.request import check_record
from gateway.service.caller import Caller
from gateway.service.campaign_views import CampaignLineView, CampaignOperation, CampaignView
from gateway.service.entries import EntryService
from gateway.service.operations import standstill
from gateway.service.paging import PageRequest, encode_cursor
from gateway.service.view import PageView
from runtime.encryption.keyring import Erased
from runtime.store import Store, StoreError
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.temporal_faults import is_unknown_workflow
from scenario.words import LineOutcome
from workflows.campaign import WORKFLOW, CampaignState
from workflows.operation import QUEUE

_STORED_TOGETHER: Final = 500
_ANSWER: Final = timedelta(seconds=15)
_LEASE: Final = timedelta(minutes=1)
_STORING: Final = "another process is storing the lines of this campaign: try again in a minute"


class _NamePlace(TypedDict):
    campaign: str


class _LinePlace(TypedDict):
    line: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass
class PreparedCampaign:
    """A campaign whose lines are stored, and that may be started.

    Attributes:
        survey: The result of reading its file.
        is_started: True once it was started.
    """

    campaign: StoredCampaign
    survey: Survey
    is_started: bool = False


class CampaignService:
    """Use cases about campaigns. Each raises Forbidden if the caller may not use the scenario.

    Attributes:
        activities: The activities of their workflows.
    """

    def __init__(self, temporal: Client, store: Store, content: Content, entries: EntryService, zone: str) -> None:
        self._temporal, self._store, self._content, self._zone = temporal, store, content, zone
        self.activities = CampaignActivities(temporal, store, entries)

    @asynccontextmanager
    async def prepare(
        self, caller: Caller, request: CampaignRequest
    ) -> AsyncGenerator[PreparedCampaign | CampaignView]:
        """Read the file and store its lines, for `start`. Without a start, all is deleted at the end of the context.

        Yields:
            The campaign as it runs or has ended, if it was started before with the same scenario and file.

        Raises:
            BadInput: The request is invalid, the file cannot be used, or too many of its lines are invalid.
            NotAccepted: A campaign of this name has another scenario or file, or another process prepares it.
        """
        name, at, number = request.scenario.partition("@")
        caller.check(name, "scenario")
        request.check()
        try:
            opened = await self._content.open(name, int(number) if at else None)
        except (UnknownVersion, ValueError):
            raise BadInput(f"no {request.scenario[:80]} is published: publish it first", at=["scenario"]) from None
        surveyor = Surveyor(opened.scenario, opened.version, request.name, self._zone)
        campaign = StoredCampaign(
            name=request.name,
            scenario=opened.name,
            version=opened.version,
            digest="",
            form="",
            rate=request.rate,
            operator=request.operator,
            created_at=datetime.now(UTC),
            starts_at=request.starts_at,
        )
        async with _lease(self._store, request.name):
            known = await self._store.stored_campaign(request.name)
            if known is not None and known.loaded_at is not None:
                yield await self._again(caller, known, campaign, _read_all(request, surveyor))
                return
            if request.starts_at is not None and request.starts_at < campaign.created_at:
                raise BadInput("the start is in the past: leave it out to start now", at=["at"])
            if known is not None:  # of a process that was killed while it prepared
                await self._store.withdraw_campaign(known.name, known.created_at)
            await self._store.add_campaign(campaign)
            prepared: PreparedCampaign | None = None
            try:
                prepared = PreparedCampaign(campaign, await self._load(campaign, surveyor, request))
                yield prepared
            finally:
                if prepared is None or not prepared.is_started:
                    await self._store.withdraw_campaign(campaign.name, campaign.created_at)

    async def start(self, caller: Caller, prepared: PreparedCampaign) -> CampaignView:
        """Start a prepared campaign.

        Raises:
            NotAccepted: It was deleted, because this process did not renew its lease for too long.
        """
        campaign = prepared.campaign
        caller.check(campaign.scenario, "scenario")
        if not await self._store.complete_campaign(campaign.name, campaign.created_at, datetime.now(UTC)):
            raise NotAccepted(campaign.name, "another process has deleted its lines: start it again")
        prepared.is_started = True
        await self._begin(await self._stored(campaign.name))
        return await self.show(caller, campaign.name)

    async def show(self, caller: Caller, name: str) -> CampaignView:
        """Return a campaign's progress or result.

        Raises:
            UnknownOperation: There is none of this name.
        """
        stored = await self._stored(name)
        caller.check(stored.scenario, "scenario")
        if stored.ended_at is None and stored.loaded_at is not None and await self._settle(stored):
            stored = await self._stored(name)
        counts = (await self._store.campaign_counts([name]))[name]
        view = CampaignView.of(stored, counts)
        if view.over or stored.loaded_at is None:
            return view
        described = await self._temporal.get_workflow_handle(_workflow(name)).describe()
        return view.model_copy(update={"trouble": standstill(described.raw_description, datetime.now(UTC))})

    async def list(self, caller: Caller, page: PageRequest) -> PageView[CampaignView]:
        """List campaigns of scenarios that the caller may use, the newest first.

        Raises:
            BadCursor: The cursor is not one of this list.
        """
        place = page.place(_NamePlace)
        last = await self._store.stored_campaign(place["campaign"]) if place else None
        if place and last is None:
            raise BadCursor
        found = await self._store.stored_campaigns(after=last, limit=page.limit + 1)
        following = encode_cursor({"campaign": found[page.limit - 1].name}) if len(found) > page.limit else None
        shown = [one for one in found[: page.limit] if caller.may_use(one.scenario)]
        counts = await self._store.campaign_counts([one.name for one in shown])
        return PageView(items=[CampaignView.of(one, counts[one.name]) for one in shown], next=following)

    async def lines(
        self, caller: Caller, name: str, page: PageRequest, outcome: LineOutcome | None = None
    ) -> PageView[CampaignLineView]:
        """List the lines of a campaign in the order of the file.

        Raises:
            UnknownOperation: There is no campaign of this name.
            BadCursor: The cursor is not one of this list.
        """
        caller.check((await self._stored(name)).scenario, "scenario")
        place = page.place(_LinePlace)
        after = place["line"] if place else 0
        found = await self._store.campaign_items(name, outcome=outcome, after=after, limit=page.limit + 1)
        following = encode_cursor({"line": found[page.limit - 1].line}) if len(found) > page.limit else None
        return PageView(items=[CampaignLineView.of(item) for item in found[: page.limit]], next=following)

    async def change(
        self,
        caller: Caller,
        name: str,
        change: CampaignOperation,
        *,
        operator: str,
        reason: str,
        rate: float | None = None,
    ) -> CampaignView:
        """Pause, resume, retune or stop a campaign.

        Raises:
            UnknownOperation: There is no campaign of this name.
            BadInput: The operator, the reason or the rate is missing.
            NotAccepted: The campaign refuses it, for example because it has ended.
            NotAnswered: No gateway answered in time. One may still carry it out later.
        """
        view = await self.show(caller, name)
        check_record(operator, reason)
        if change == "retune":
            check_rate(rate)
        if view.over:
            raise NotAccepted(name, f"the campaign has ended ({view.state})")
        handle = self._temporal.get_workflow_handle(_workflow(name))
        argument = {"operator": operator, "reason": reason, "rate": rate}
        try:
            await handle.execute_update(change, argument, rpc_timeout=_ANSWER)  # pyright: ignore[reportUnknownMemberType]
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise NotAccepted(name, cause.message if isinstance(cause, ApplicationError) else str(cause)) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise NotAnswered(
                name, "no gateway answered in time, and one may still do so: check that one runs"
            ) from None
        except RPCError as error:
            if is_unknown_workflow(error):
                raise NotAccepted(name, "the campaign has ended, or has not started yet") from None
            raise
        return await self.show(caller, name)

    async def settle(self) -> None:
        """Start stored campaigns that have no workflow, and record the end of those terminated on the server.

        Delete those of processes that were killed while they prepared one.
        """
        for stored in await self._store.stored_campaigns(is_open=True, limit=1_000):
            if stored.loaded_at is not None:
                await self._settle(stored)
                continue
            with suppress(NotAccepted):  # it is being prepared
                async with _lease(self._store, stored.name):
                    await self._store.withdraw_campaign(stored.name, stored.created_at)

    # ---- steps

    async def _load(self, campaign: StoredCampaign, surveyor: Surveyor, request: CampaignRequest) -> Survey:
        """Store the lines of the file, and return its survey."""
        codec = EntryCodec(self._temporal)
        items: list[CampaignItem] = []
        last = 0
        with open_audience(request.audience, request.encoding) as file:
            for found in surveyor.entries(file):
                try:
                    text = await codec.encode(found.journey, found.entry)
                except Erased as error:
                    at = campaign.created_at
                    items.append(CampaignItem(line=found.line, outcome="refused", reason=str(error), answered_at=at))
                else:
                    items.append(
                        CampaignItem(line=found.line, contact_id=found.contact, journey=found.journey, entry=text)
                    )
                last = found.line
                if len(items) >= _STORED_TOGETHER:
                    await self._store.add_campaign_items(campaign.name, items)
                    items.clear()
            survey = surveyor.result(file)
        await self._store.add_campaign_items(campaign.name, items)
        if not survey.entries:
            raise BadInput(f"{request.audience}: no line can enter {campaign.scenario}: see 'scenario campaign check'")
        if not (survey.is_acceptable or request.accept):
            raise BadInput(
                f"{request.audience}: {survey.invalid:,} of {survey.lines:,} lines are invalid: see 'scenario campaign "
                "check', and accept them by --accept"
            )
        left_out = [
            CampaignItem(line=line, outcome=outcome, reason=reason, answered_at=campaign.created_at)
            for line, outcome, reason in surveyor.left_out
        ]
        await self._store.add_campaign_items(campaign.name, left_out)
        await self._store.describe_campaign(campaign.name, survey.digest, survey.form, last)
        return survey

    async def _again(
        self, caller: Caller, known: StoredCampaign, wanted: StoredCampaign, survey: Survey
    ) -> CampaignView:
        """Return the campaign that was started before, which must be the same."""
        if (known.scenario, known.version) != (wanted.scenario, wanted.version):
            version = f"{known.scenario}@{known.version}"
            raise NotAccepted(known.name, f"the campaign of this name is one of {version}: choose another name")
        if known.digest != survey.digest:
            raise NotAccepted(known.name, "the campaign of this name has another file: choose another name")
        if known.ended_at is None:
            await self._begin(known)
        return await self.show(caller, known.name)

    async def _begin(self, stored: StoredCampaign) -> None:
        state = CampaignState(
            campaign=stored.name,
            rate=stored.rate,
            lines=stored.lines,
            starts_at=stored.starts_at.isoformat() if stored.starts_at else "",
        )
        try:
            await self._temporal.start_workflow(
                WORKFLOW,
                state,
                id=_workflow(stored.name),
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"{stored.scenario}@{stored.version}, at most {stored.rate:g} lines a second",
                priority=priority_of(CAMPAIGNS),
            )
        except WorkflowAlreadyStartedError:
            return  # by another gateway

    async def _settle(self, stored: StoredCampaign) -> bool:
        """Return True if an open campaign had no running workflow, which is settled now."""
        try:
            described = await self._temporal.get_workflow_handle(_workflow(stored.name)).describe()
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
            await self._begin(stored)
            return True
        if described.status is WorkflowExecutionStatus.RUNNING:
            return False
        trouble = "its workflow was ended on the server: start a campaign of another name for the remaining lines"
        await self._store.end_campaign(stored.name, "failed", datetime.now(UTC), trouble=trouble)
        return True

    async def _stored(self, name: str) -> StoredCampaign:
        stored = await self._store.stored_campaign(name)
        if stored is None:
            raise UnknownOperation(f"there is no campaign '{name[:80]}'")
        return stored


@asynccontextmanager
async def _lease(store: Store, campaign: str) -> AsyncGenerator[None]:
    """Hold the right to prepare a campaign, which one process has at a time.

    Raises:
        NotAccepted: Another process has it.
    """
    name, holder = f"campaign/{campaign}", uuid.uuid4().hex

    async def renew() -> bool:
        now = datetime.now(UTC)
        return await store.lease(name, holder, now=now, expires_at=now + _LEASE)

    async def keep() -> None:
        while True:
            await asyncio.sleep(_LEASE.total_seconds() / 4)
            with suppress(StoreError):
                await renew()

    if not await renew():
        raise NotAccepted(campaign, _STORING)
    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await store.give_up(name, holder)


def _read_all(request: CampaignRequest, surveyor: Surveyor) -> Survey:
    """Read a file to its end, for its digest."""
    with open_audience(request.audience, request.encoding) as file:
        for _ in surveyor.entries(file):
            pass
        return surveyor.result(file)


def _workflow(name: str) -> str:
    return f"campaign/{name}"
