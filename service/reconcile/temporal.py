"""Calls to Temporal that a comparison makes, at a rate; and the entry of a journey that the store has lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.converter import decode_typed_search_attributes

from activities.content import Content, UnknownVersion
from runtime.search_attributes import RUNNING, SCENARIO_VERSION
from runtime.store import StoredEntry
from runtime.temporal_faults import unless_gone
from scenario.entry.admission import branches, entry_data
from scenario.entry.entry import journey_root, parse_entry
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError
from scenario.policies.draw import WITHHELD
from scenario.type_guards import mapping_or_empty
from service.concurrency import Pace
from service.index import one_of
from service.journeys.snapshot import describe, end_of, last_run, progress_of, word_of

PAGE: Final = 1000  # workflows that search returns at a time
SEARCHES: Final = 5.0  # searches a second at most: a server allows some ten, and gateways search as well
_IDS: Final = 50  # in one query
_FIRST_EVENTS: Final = 1000
_RUNNING: Final = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
)


@dataclass(frozen=True)
class WorkflowEnd:
    """The end of a journey's workflow."""

    outcome: str  # in the store's words
    reason: str | None  # why, without personal data
    at: datetime
    version: str | None = None  # name and version that it followed, if its result says so


class Beginning(NamedTuple):
    """The beginning of a run."""

    argument: Any  # the workflow's argument; None if it cannot be read
    at: datetime | None  # the time that its code saw first; None if no worker has begun it


class PacedTemporal:
    """A client of Temporal that makes so many calls a second at most."""

    def __init__(self, client: Client, rate: float) -> None:
        self.client = client
        self._calls, self._searches = Pace(rate), Pace(min(rate, SEARCHES))

    async def search(self, query: str) -> AsyncIterator[list[WorkflowExecutionInfo]]:
        token = b""
        while True:
            await self._searches.turn()
            request = ListWorkflowExecutionsRequest(
                namespace=self.client.namespace, page_size=PAGE, next_page_token=token, query=query
            )
            found = await self.client.workflow_service.list_workflow_executions(request, retry=True)
            yield list(found.executions)
            if not (token := found.next_page_token):
                return

    async def running(self, journeys: Sequence[str]) -> set[str]:
        """Return which of these journeys run, as far as search has learned."""
        found: set[str] = set()
        for start in range(0, len(journeys), _IDS):
            some = journeys[start : start + _IDS]
            async for page in self.search(f"{RUNNING} AND {one_of('WorkflowId', some)}"):
                found.update(one.execution.workflow_id for one in page)
        return found

    async def info(self, workflow: str, run_id: str | None = None) -> WorkflowExecutionInfo | None:
        await self._calls.turn()
        described = await describe(self.client, workflow, run_id)
        return described and described.workflow_execution_info

    async def of_first_run(self, journey: str, first: str) -> WorkflowExecutionInfo | None:
        """Return the latest run of a journey, or None if Temporal has none of its runs."""
        info = await self.info(journey)
        if info is not None and info.first_run_id != first:
            await self._calls.turn()
            info = await self.info(journey, await last_run(self.client, journey, first))
        return info

    async def beginning(self, info: WorkflowExecutionInfo) -> Beginning:
        """Return how a run began, as far as its history is there and can be read."""
        await self._calls.turn()
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self.client.namespace, execution=info.execution, maximum_page_size=_FIRST_EVENTS
        )
        events: Sequence[HistoryEvent] = ()
        with unless_gone():
            history = await self.client.workflow_service.get_workflow_execution_history(request, retry=True)
            events = history.history.events
        if not events:
            return Beginning(None, None)
        completed = (
            event.workflow_task_completed_event_attributes.started_event_id
            for event in events
            if event.HasField("workflow_task_completed_event_attributes")
        )
        first = next(completed, None)
        at = next((event.event_time.ToDatetime(tzinfo=UTC) for event in events if event.event_id == first), None)
        try:
            given = events[0].workflow_execution_started_event_attributes.input.payloads
            argument = (await self.client.data_converter.decode(given))[0]
        except Exception:  # any codec's error, for example because a contact's key is lost
            argument = None
        return Beginning(argument, at)

    async def delivered(self, journey: str, run_id: str) -> Counter[str] | None:
        """Return how often each step of a run has delivered, or None if Temporal does not have the run."""
        scheduled, delivered = dict[int, str](), Counter[str]()
        await self._calls.turn()
        with unless_gone():
            async for event in self.client.get_workflow_handle(journey, run_id=run_id).fetch_history_events():
                if event.HasField("activity_task_scheduled_event_attributes"):
                    scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_id
                elif event.HasField("activity_task_completed_event_attributes"):
                    delivered[scheduled[event.activity_task_completed_event_attributes.scheduled_event_id]] += 1
            return delivered
        return None

    async def progress(self, info: WorkflowExecutionInfo) -> dict[str, Any] | None:
        await self._calls.turn()
        return await progress_of(self._handle(info))

    async def end(self, info: WorkflowExecutionInfo) -> WorkflowEnd:
        at = info.close_time.ToDatetime(tzinfo=UTC)
        match info.status:
            case WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED:
                await self._calls.turn()
                result, failure = await end_of(self._handle(info))
                if result is None or not isinstance(result.get("outcome"), str):
                    return WorkflowEnd("lost", failure or "its result is not a journey's", at)
                return WorkflowEnd(result["outcome"], result.get("reason") or None, at, result.get("version"))
            case WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED:
                return WorkflowEnd("exited", "cancelled", at)
            case _:
                return WorkflowEnd("lost", f"its workflow has ended: {word_of(info).replace('_', ' ')}", at)

    async def terminate(self, info: WorkflowExecutionInfo, reason: str) -> None:
        await self._calls.turn()
        with unless_gone():
            await self._handle(info).terminate(reason=reason)

    def _handle(self, info: WorkflowExecutionInfo) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(info.execution.workflow_id, run_id=info.execution.run_id)


def is_running(info: WorkflowExecutionInfo) -> bool:
    return info.status in _RUNNING


UNANSWERED: Final = "no worker answers: start one, and run this again"
UNREADABLE: Final = "its entry cannot be read: terminate it, and enter the contact again"
FORGOTTEN: Final = "it has ended, and its entry cannot be read: its contact counts as new"


@dataclass(frozen=True)
class LostEntry:
    """The entry of a journey, as far as its workflow has it."""

    entry: StoredEntry | None = None  # the row to write back; None if that is impossible
    lacks: str | None = None  # name and number of the version that the store has to have first
    trouble: str | None = None  # why it cannot be written back, and what to do


async def lost_entry(
    temporal: PacedTemporal,
    content: Content,
    platform: PlatformDates,
    info: WorkflowExecutionInfo,
    end: WorkflowEnd | None,
) -> LostEntry | None:
    """Read the entry of a journey from its workflow, or return None if it was not admitted, or not yet.

    `end` is how it has ended, if it has.
    """
    if end is not None and end.outcome == "refused":
        return None
    argument, entered = await temporal.beginning(info)
    if entered is None:
        return None
    if argument is None:
        return LostEntry(trouble=UNREADABLE if end is None else FORGOTTEN)
    given = mapping_or_empty(argument)
    # A run may have been started with the state of the run before.
    carried: dict[str, Any] = given["state"] if {"entry", "state"} <= given.keys() else {}
    campaign = mapping_or_empty(given.get("campaign"))
    searched = decode_typed_search_attributes(info.search_attributes).get(SCENARIO_VERSION)
    version = carried.get("version") or searched or (end and end.version)
    if not version and end is None:
        progress = await temporal.progress(info)
        if progress is None:
            return LostEntry(trouble=UNANSWERED)
        version = progress.get("scenario")
    if not version:  # it waits for its admission, or has ended before
        return None
    try:
        entry = parse_entry(argument["entry"] if carried or campaign else argument)
    except EntryError:
        return LostEntry(trouble=UNREADABLE)
    number = int(str(version).rpartition("@")[2])
    try:
        opened = await content.open(entry.name, number)
    except UnknownVersion:
        lacks = f"{entry.name}@{number}"
        return LostEntry(lacks=lacks, trouble=f"the store lacks {lacks}: publish its file again, and run this again")
    begun = mapping_or_empty(campaign.get("state"))
    if at := carried.get("entered_at") or begun.get("entered_at"):
        entered = datetime.fromisoformat(at)
    journey, goal = info.execution.workflow_id, opened.scenario.goal
    drawn = branches(opened.table.lots, journey, entry_data(entry, opened.scenario, number, platform, entered))
    return LostEntry(
        StoredEntry(
            scenario=entry.name,
            version=number,
            contact_id=entry.contact_id,
            key=journey_root(journey, entry.name, number, None)["key"],
            workflow_id=journey,
            run_id=info.first_run_id,
            ordinal=0,
            trigger=entry.trigger["type"],
            admitted_at=entered,
            ended_at=end and end.at,
            outcome=end and end.outcome,
            reason=end and end.reason,
            branches=None if end is not None and end.outcome in WITHHELD else drawn or None,
            goal_until=goal and entered + goal.within,
            root=carried.get("campaign_root") or campaign.get("root") or None,
        )
    )
