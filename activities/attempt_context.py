"""The connection of an attempt to Temporal: data of the activity, the journey's status, marks for the next attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingWorkflowTaskInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    SignalWorkflowExecutionRequest,
)
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from activities.interface import DELIVERY_DELAYED, DelayReport
from runtime.data_converter import in_clear
from runtime.temporal_faults import is_unknown_workflow

_logger = logging.getLogger(__name__)
REPORTS: Final[set[asyncio.Task[None]]] = set()  # reports to journeys in progress
_REPORTED: Final = 10.0  # maximum seconds to report that a delivery is delayed
_NEWEST: Final = 30  # number of newest events that are searched for the cause of a pending workflow task
_TASKS: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    }
)
_DECIDED: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
    }
)
_WANTED: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
)


class JourneyStatus(Enum):
    """The state of a journey in regard to an attempt of its delivery."""

    CURRENT = auto()
    """The journey has acted on everything that it received, and wants the delivery."""
    BEHIND = auto()
    """The journey has not yet acted on a signal or an update that may end the step, or change its first attempt."""
    UNWANTED = auto()
    """The journey has ended, or the delivery was cancelled or paused."""


class AttemptContext:
    """The connection of an attempt to Temporal, if a Temporal activity makes this attempt alone."""

    def __init__(self, info: activity.Info | None = None) -> None:
        self.info = info or activity.info()

    @property
    def is_stopping(self) -> bool:
        """True if a stopping worker has cancelled the attempt."""
        details = activity.cancellation_details()
        return details is not None and details.worker_shutdown

    def mark(self, *values: str | float) -> None:
        """Leave values for the next attempt. They are sent with the failure of this one, and never encrypted."""
        activity.heartbeat(*map(in_clear, values))

    async def store_mark(self, *values: str | float, patience: timedelta) -> None:
        """Leave values for the next attempt, and return once they are durable.

        Raises:
            AsyncActivityCancelledError: The message is not wanted any longer.
            RPCError: The server has not stored them in time.
        """
        handle = activity.client().get_async_activity_handle(task_token=self.info.task_token)
        await handle.heartbeat(*map(in_clear, values), rpc_timeout=patience)

    async def journey_status(
        self, patience: timedelta, *, asked: datetime | None = None, ignored: Collection[str] = ()
    ) -> JourneyStatus:
        """Return the status of the attempt's journey, as the server reports it now, or raise RPCError.

        Args:
            asked: When the previous attempt found the journey behind, by the server's clock. The journey is then behind
                only if it has not yet acted on something that had arrived by that time.
            ignored: Signals for which the attempt does not wait.
        """
        try:
            found = await self._described(patience)
        except RPCError as error:
            if is_unknown_workflow(error):
                return JourneyStatus.UNWANTED
            raise
        running = found.workflow_execution_info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        if not running or all(one.state not in _WANTED for one in self._own(found)):
            return JourneyStatus.UNWANTED
        # A signal, an update or an answer schedules a workflow task, which is pending until it is completed.
        if not found.HasField("pending_workflow_task"):
            return JourneyStatus.CURRENT
        # Otherwise an attempt's own report would delay the next attempt while no worker can run the journey.
        is_behind = await self._is_behind(found.pending_workflow_task, patience, asked, {DELIVERY_DELAYED, *ignored})
        return JourneyStatus.BEHIND if is_behind else JourneyStatus.CURRENT

    async def signals_since_scheduled(self, patience: timedelta) -> set[str]:
        """Return the signals that the journey has received since it scheduled the delivery, or raise RPCError.

        The server shows them here once the workflow task that scheduled the delivery is completed.
        """
        signals = set[str]()
        for event in await self._newest_events(patience):
            if event.activity_task_scheduled_event_attributes.activity_id == self.info.activity_id:
                break
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signals.add(event.workflow_execution_signaled_event_attributes.signal_name)
        return signals

    def report_delay(self, report: DelayReport) -> None:
        """Report to the attempt's journey that the delivery is delayed. The attempt does not wait for it."""
        task = asyncio.create_task(self._report(report))
        REPORTS.add(task)
        task.add_done_callback(REPORTS.discard)

    async def was_lost(self, patience: timedelta) -> bool:
        """Return True if a worker was lost with the previous attempt: Temporal then reports that it timed out.

        Otherwise that attempt failed before it could begin, and could not report that it does not count: for example
        on a worker without the keys that encrypted its arguments. If the server does not answer, the worker counts as
        lost.
        """
        try:
            found = await self._described(patience)
        except RPCError:
            return True
        return all(one.last_failure.HasField("timeout_failure_info") for one in self._own(found))

    async def _is_behind(
        self, task: PendingWorkflowTaskInfo, patience: timedelta, asked: datetime | None, ignored: Collection[str]
    ) -> bool:
        """Return True if a workflow task is pending because of more than signals that are ignored or too late."""
        scheduled = task.original_scheduled_time.ToDatetime(UTC)
        is_started = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
        if asked is None and is_started:  # the server hides newer events
            return True
        by_ignored = None  # when the first signal arrived that is ignored
        for event in await self._newest_events(patience):
            happened = event.event_time.ToDatetime(UTC)
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED and (
                event.workflow_execution_signaled_event_attributes.signal_name in ignored
                or (asked is not None and happened > asked)
            ):
                by_ignored = happened
            elif event.event_type not in _TASKS:
                # An update has no event before it is accepted, but may have scheduled the task before the first signal.
                is_ignored = by_ignored is not None and scheduled >= by_ignored
                is_too_late = asked is not None and scheduled > asked
                return not ((is_ignored or is_too_late) and _is_decision(event))
        return True

    async def _newest_events(self, patience: timedelta) -> Sequence[HistoryEvent]:
        """Return the journey's newest events, the newest first. Temporal's test server returns none."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self.info.namespace, execution=self._journey, maximum_page_size=_NEWEST
        )
        service = activity.client().workflow_service
        try:
            read = await service.get_workflow_execution_history_reverse(request, timeout=patience)
        except RPCError as error:
            if error.status is RPCStatusCode.UNIMPLEMENTED:
                return ()
            raise
        return read.history.events

    async def _report(self, report: DelayReport) -> None:
        """Signal the journey, unless that fails or takes too long. The server drops a repeated report."""
        info = self.info
        try:
            async with asyncio.timeout(_REPORTED):
                client, name = activity.client(), info.workflow_id or ""
                converter = client.data_converter.with_context(WorkflowSerializationContext(client.namespace, name))
                # Not the client's own method, which makes a new request id for each call.
                request = SignalWorkflowExecutionRequest(
                    namespace=client.namespace,
                    workflow_execution=self._journey,
                    signal_name=DELIVERY_DELAYED,
                    input=Payloads(payloads=await converter.encode([asdict(report)])),
                    identity=client.identity,
                    request_id=f"{info.activity_id} {report.decided} {report.failed}",
                )
                await client.workflow_service.signal_workflow_execution(request, retry=True)
        except Exception as trouble:  # such as an erased contact's key, or the end of the journey
            _logger.debug("%s is not shown as delayed: %s", info.workflow_id, trouble)

    async def _described(self, patience: timedelta) -> DescribeWorkflowExecutionResponse:
        request = DescribeWorkflowExecutionRequest(namespace=self.info.namespace, execution=self._journey)
        return await activity.client().workflow_service.describe_workflow_execution(request, timeout=patience)

    @property
    def _journey(self) -> WorkflowExecution:
        return WorkflowExecution(workflow_id=self.info.workflow_id or "", run_id=self.info.workflow_run_id or "")

    def _own(self, found: DescribeWorkflowExecutionResponse) -> list[PendingActivityInfo]:
        return [one for one in found.pending_activities if one.activity_id == self.info.activity_id]


def _is_decision(event: HistoryEvent) -> bool:
    """Return True if the event is a completed workflow task, or recorded with one."""
    attributes = getattr(event, event.WhichOneof("attributes") or "", None)
    return event.event_type in _DECIDED or hasattr(attributes, "workflow_task_completed_event_id")
