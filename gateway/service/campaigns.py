"""Use cases about campaigns: one scenario for the contacts of a file.

The lines of the file are stored first, then the workflow is started: see `workflows.campaign`. A campaign's name is the
key of its journeys, so that a contact enters once, whatever restarts.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

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

from activities.content import Content
from activities.priority import CAMPAIGNS, priority_of
from gateway.campaigns.audience_file import open_audience
from gateway.campaigns.background import CampaignActivities, EntryCodec
from gateway.campaigns.survey import Survey, Surveyor
from gateway.errors import BadCursor, BadInput, BadOperation, NotAccepted, NotAnswered, UnknownOperation
from gateway.operations.request import check_record
from gateway.service.caller import Caller
from gateway.service.campaign_views import CampaignLineView, CampaignOperation, CampaignView, LineOutcome
from gateway.service.entries import EntryService
from gateway.service.operations import standstill
from gateway.service.paging import PageRequest, encode_cursor
from gateway.service.view import PageView
from runtime.encryption.keyring import Erased
from runtime.store import Store
from runtime.store.campaigns import CampaignItem, StoredCampaign
from runtime.temporal_faults import is_unknown_workflow
from workflows.campaign import FASTEST, SLOWEST, WORKFLOW, CampaignState
from workflows.operation import QUEUE

RATE: Final = 100.0
"""Default rate, in lines a second."""
_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_STORED_TOGETHER: Final = 500
_ANSWER: Final = timedelta(seconds=15)
_LEASE: Final = timedelta(minutes=1)
_STORING: Final = "another process is storing the lines of this campaign: try again in a minute"


@dataclass(frozen=True, kw_only=True)
class CampaignRequest:
    """A campaign to be started.

    Attributes:
        scenario: A published scenario, or ``name@version``.
        audience: The file of contacts.
        rate: Maximum number of lines a second.
        starts_at: Time of the start, with its zone; None: immediately.
        accept: Start even if more lines are invalid than usual.
    """

    name: str
    scenario: str
    audience: Path
    operator: str
    rate: float = RATE
    starts_at: datetime | None = None
    accept: bool = False


class _NamePlace(TypedDict):
    campaign: str


class _LinePlace(TypedDict):
    line: Annotated[int, Field(ge=0, le=2**31 - 1)]


class Prepared:
    """A campaign that was not started yet. Its lines are stored."""

    def __init__(self, campaign: StoredCampaign, survey: Survey) -> None:
        self.campaign, self.survey = campaign, survey


class CampaignService:
    """Use cases about campaigns. Each raises Forbidden if the caller may not use the scenario.

    Attributes:
        activities: The activities of their workflows.
    """

    def __init__(self, temporal: Client, store: Store, content: Content, entries: EntryService, zone: str) -> None:
        self._temporal, self._store, self._content, self._zone = temporal, store, content, zone
        self.activities = CampaignActivities(temporal, store, entries)

    async def prepare(self, caller: Caller, request: CampaignRequest) -> Prepared | CampaignView:
        """Read the file and store its lines. Return the campaign itself if it was started before with the same file.

        Raises:
            BadInput: The request is invalid, the file cannot be used, or too many of its lines are invalid.
            NotAccepted: A campaign of this name has another file.
        """
        name, _, number = request.scenario.partition("@")
        caller.check(name, "scenario")
        self._check(request)
        opened = await self._content.open(name, int(number) if number.isdigit() else None)
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
        surveyor = Surveyor(opened.scenario, opened.version, request.name, self._zone)
        known = await self._store.stored_campaign(request.name)
        if known is not None and known.loaded_at is not None:
            for _ in (found := _Reading(request.audience, surveyor)).entries():
                pass
            return await self._again(caller, known, found.survey)
        lease = _Lease(self._store, request.name)
        await lease.renew()
        await self._store.withdraw_campaign(request.name)  # of a process that ended while it stored the lines
        if not await self._store.add_campaign(campaign):
            raise NotAccepted(request.name, _STORING)
        try:
            survey = await self._load(campaign, surveyor, request, lease)
        except BaseException:
            await self._store.withdraw_campaign(request.name)
            raise
        return Prepared(campaign, survey)

    async def start(self, caller: Caller, prepared: Prepared) -> CampaignView:
        """Start a prepared campaign."""
        campaign = prepared.campaign
        caller.check(campaign.scenario, "scenario")
        stored = await self._stored(campaign.name)
        await self._start(stored)
        return await self.show(caller, campaign.name)

    async def withdraw(self, prepared: Prepared) -> None:
        """Delete a campaign that was not started."""
        await self._store.withdraw_campaign(prepared.campaign.name)

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
            _check_rate(rate)
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
        """Start stored campaigns that have no workflow, and record the end of those terminated on the server."""
        for stored in await self._store.stored_campaigns(is_open=True, limit=1_000):
            if stored.loaded_at is not None:
                await self._settle(stored)

    # ---- steps

    def _check(self, request: CampaignRequest) -> None:
        if not _NAME.fullmatch(request.name):
            message = "a campaign's name is lower-case words joined by '-', at most 64 letters"
            raise BadInput(f"'{request.name[:80]}' is not a campaign's name: {message}", at=["name"])
        _check_rate(request.rate)
        if request.starts_at is not None and request.starts_at.tzinfo is None:
            raise BadInput("the start has no offset: write such as 2026-11-27T09:00+01:00", at=["at"])

    async def _load(
        self, campaign: StoredCampaign, surveyor: Surveyor, request: CampaignRequest, lease: _Lease
    ) -> Survey:
        """Store the lines of the file, and return its survey."""
        codec, reading = EntryCodec(self._temporal), _Reading(request.audience, surveyor)
        items: list[CampaignItem] = []
        last = 0
        for found in reading.entries():
            try:
                text = await codec.encode(found.journey, found.entry)
            except Erased as error:
                items.append(
                    CampaignItem(line=found.line, outcome="refused", reason=str(error), answered_at=campaign.created_at)
                )
            else:
                contact = str(found.entry["contact"]["id"])
                items.append(CampaignItem(line=found.line, contact_id=contact, journey=found.journey, entry=text))
            last = found.line
            if len(items) >= _STORED_TOGETHER:
                await lease.renew()
                await self._store.add_campaign_items(campaign.name, items)
                items.clear()
        await self._store.add_campaign_items(campaign.name, items)
        survey = reading.survey
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

    async def _again(self, caller: Caller, known: StoredCampaign, survey: Survey) -> CampaignView:
        if known.digest != survey.digest:
            raise NotAccepted(known.name, "a campaign of this name has another file: choose another name")
        if known.ended_at is None:
            await self._start(known)
        return await self.show(caller, known.name)

    async def _start(self, stored: StoredCampaign) -> None:
        await self._store.complete_campaign(stored.name, datetime.now(UTC))
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
            await self._start(stored)
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


class _Lease:
    """The right to store a campaign's lines, which one process has at a time."""

    def __init__(self, store: Store, campaign: str) -> None:
        self._store, self._campaign, self._holder = store, campaign, uuid.uuid4().hex

    async def renew(self) -> None:
        """Take or keep it. Raise NotAccepted if another process has it."""
        now = datetime.now(UTC)
        if not await self._store.lease(f"campaign/{self._campaign}", self._holder, now=now, expires_at=now + _LEASE):
            raise NotAccepted(self._campaign, _STORING)


class _Reading:
    """A file that is read once, and its survey."""

    def __init__(self, path: Path, surveyor: Surveyor) -> None:
        self._path, self._surveyor = path, surveyor
        self._survey: Survey | None = None

    def entries(self) -> Any:
        """Yield the entries of the file."""
        with open_audience(self._path) as file:
            yield from self._surveyor.entries(file)
            self._survey = self._surveyor.result(file)

    @property
    def survey(self) -> Survey:
        """The survey, once all entries were read."""
        assert self._survey is not None  # noqa: S101 the file was read
        return self._survey


def _workflow(name: str) -> str:
    return f"campaign/{name}"


def _check_rate(rate: float | None) -> None:
    if rate is None or not SLOWEST <= rate <= FASTEST:
        raise BadOperation(f"a rate is {SLOWEST:g} to {FASTEST:g} lines a second", "rate")
