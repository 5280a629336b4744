"""The reason why an operation makes no progress, from its workflow's description."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

PATIENCE: Final = timedelta(seconds=10)
"""A task may wait this long for a gateway before it counts as stuck."""


def standstill(description: DescribeWorkflowExecutionResponse, now: datetime) -> str | None:
    """Return why an operation that has not ended makes no progress, or None if it does.

    Args:
        description: The operation's workflow, described by Temporal.
        now: The current time, UTC.
    """
    task = description.pending_workflow_task
    waited = _waited(task.original_scheduled_time, now)
    if description.HasField("pending_workflow_task") and waited > PATIENCE:
        return (
            f"its next task has waited {_seconds(waited)} for a gateway: check that one runs, and that Temporal is fast"
        )
    for activity in description.pending_activities:
        waited = _waited(activity.scheduled_time, now)
        if activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and waited > PATIENCE:
            return f"its work has waited {_seconds(waited)} for a gateway: check that one runs"
        if activity.attempt > 1:
            return f"its work has failed {activity.attempt - 1} times and is tried again: the gateway's log says why"
    return None


def _waited(since: Timestamp, now: datetime) -> timedelta:
    return now - since.ToDatetime(UTC)


def _seconds(waited: timedelta) -> str:
    return f"{int(waited.total_seconds())} s"
