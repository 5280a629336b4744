"""The status of an attempt's journey, as the server reports it while the attempt is in flight."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    SignalWorkflowExecutionRequest,
)
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError

from activities.interface import DELIVERY_DELAYED, DelayReport
from runtime.temporal_faults import is_unknown_workflow

_WANTED: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
)


class JourneyStatus(Enum):
    """The state of a journey in regard to an attempt of its delivery."""

    CURRENT = auto()
    """The journey has acted on everything that it received, and wants the delivery."""
    BEHIND = auto()
    """The journey has received something that it has not yet acted on, perhaps an exit."""
    UNWANTED = auto()
    """The journey has ended, or the delivery was cancelled or paused."""


async def journey_status(info: activity.Info, patience: timedelta) -> JourneyStatus:
    """Return the status of the attempt's journey."""
    try:
        found = await _described(info, patience)
    except RPCError as error:
        if is_unknown_workflow(error):
            return JourneyStatus.UNWANTED
        raise
    running = found.workflow_execution_info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    if not running or all(one.state not in _WANTED for one in _own(found, info)):
        return JourneyStatus.UNWANTED
    # A signal, an update or an answer schedules a workflow task, which is pending until it is completed.
    return JourneyStatus.BEHIND if found.HasField("pending_workflow_task") else JourneyStatus.CURRENT


async def was_lost(info: activity.Info, patience: timedelta) -> bool:
    """Return True if a worker was lost with the previous attempt: Temporal then reports that it timed out.

    Otherwise that attempt failed before it could begin, and could not report that it does not count. This happens while
    the store is away and encrypted data cannot be read. If the server does not answer, the worker counts as lost.
    """
    try:
        found = await _described(info, patience)
    except RPCError:
        return True
    return all(one.last_failure.HasField("timeout_failure_info") for one in _own(found, info))


async def report_delay(info: activity.Info, report: DelayReport) -> None:
    """Signal the attempt's journey that the delivery is delayed. The server drops a repeated report.

    Raises:
        RPCError: The journey has ended, or the server refuses the signal.
    """
    client, name = activity.client(), info.workflow_id or ""
    converter = client.data_converter.with_context(WorkflowSerializationContext(client.namespace, name))
    # Not the client's own method, which makes a new request id for each call.
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=name, run_id=info.workflow_run_id or ""),
        signal_name=DELIVERY_DELAYED,
        input=Payloads(payloads=await converter.encode([asdict(report)])),
        identity=client.identity,
        request_id=f"{info.activity_id} {report.decided} {report.failed}",
    )
    await client.workflow_service.signal_workflow_execution(request, retry=True)


async def _described(info: activity.Info, patience: timedelta) -> DescribeWorkflowExecutionResponse:
    request = DescribeWorkflowExecutionRequest(
        namespace=info.namespace,
        execution=WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""),
    )
    return await activity.client().workflow_service.describe_workflow_execution(request, timeout=patience)


def _own(found: DescribeWorkflowExecutionResponse, info: activity.Info) -> list[PendingActivityInfo]:
    return [one for one in found.pending_activities if one.activity_id == info.activity_id]
