"""The journey of an attempt as the server sees it while the attempt is under way."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.service import RPCError

from runtime.temporal_faults import is_unknown_workflow

_WANTED: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
)


class JourneyStatus(Enum):
    """What a journey has to do with an attempt of its delivery."""

    CURRENT = auto()
    """It has acted on everything that it was told, and wants the delivery."""
    BEHIND = auto()
    """It was told something that it has not yet acted on: an exit, perhaps."""
    UNWANTED = auto()
    """It is over, or the delivery was cancelled or paused."""


async def journey_status(info: activity.Info, patience: timedelta) -> JourneyStatus:
    """Return the status of the attempt's journey.

    Args:
        info: Of the attempt.
        patience: How long the server may take.

    Raises:
        RPCError: The server did not answer.
    """
    try:
        found = await _described(info, patience)
    except RPCError as error:
        if is_unknown_workflow(error):
            return JourneyStatus.UNWANTED
        raise
    running = found.workflow_execution_info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    if not running or all(one.state not in _WANTED for one in _own(found, info)):
        return JourneyStatus.UNWANTED
    # Whatever it is told (a signal, an update, an answer) schedules a workflow task, which is pending until it is done.
    return JourneyStatus.BEHIND if found.HasField("pending_workflow_task") else JourneyStatus.CURRENT


async def was_lost(info: activity.Info, patience: timedelta) -> bool:
    """Return whether a worker was lost with the attempt before, as far as Temporal tells: then it timed out.

    Otherwise it came to nothing before it could begin, and could not even say that it does not count: while the store
    is away, what is encrypted cannot be read.
    """
    try:
        found = await _described(info, patience)
    except RPCError:
        return True
    return all(one.last_failure.HasField("timeout_failure_info") for one in _own(found, info))


async def _described(info: activity.Info, patience: timedelta) -> DescribeWorkflowExecutionResponse:
    asked = DescribeWorkflowExecutionRequest(
        namespace=info.namespace,
        execution=WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""),
    )
    return await activity.client().workflow_service.describe_workflow_execution(asked, timeout=patience)


def _own(found: DescribeWorkflowExecutionResponse, info: activity.Info) -> list[PendingActivityInfo]:
    return [one for one in found.pending_activities if one.activity_id == info.activity_id]
