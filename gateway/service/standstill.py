"""The reasons why the workflow of an operation or a campaign makes no progress."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.service import RPCError

from activities.background import BLAST
from runtime.temporal_faults import is_unknown_workflow

PATIENCE: Final = timedelta(seconds=10)  # a task may wait this long for a gateway before it counts as stuck
_BEATEN: Final = timedelta(seconds=20)  # more than the time between heartbeats


async def trouble_of(temporal: Client, workflow_id: str, what: str) -> str | None:
    """Return why the workflow of an ``operation`` or a ``campaign`` makes no progress, or None if it does."""
    try:
        described = await temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        return None if is_unknown_workflow(error) else f"Temporal does not answer: the {what} continues once it does"
    now = datetime.now(UTC)
    return standstill(described.raw_description, now) or await _of_receiver(
        temporal, described.raw_description.pending_activities, now
    )


async def _of_receiver(temporal: Client, pending: Iterable[PendingActivityInfo], now: datetime) -> str | None:
    """Return why the receiver of a campaign takes no messages, as the worker's heartbeats report it."""
    for activity in pending:
        if activity.activity_type.name == BLAST and _is_working(activity, now):
            details = activity.heartbeat_details.payloads
            for why in await temporal.data_converter.decode(details, [str] * len(details)):
                return f"its receiver takes no messages for the moment: {why}"
    return None


def standstill(description: DescribeWorkflowExecutionResponse, now: datetime) -> str | None:
    """Return why a described workflow of an operation makes no progress, or None if it does, or has ended."""
    waited = _waited(description.pending_workflow_task.original_scheduled_time, now)
    if description.HasField("pending_workflow_task") and waited > PATIENCE:
        return (
            f"its next task has waited {_seconds(waited)} for a gateway: check that one runs, and that Temporal is fast"
        )
    for activity in description.pending_activities:
        waited = _waited(activity.scheduled_time, now)
        by = "worker" if activity.activity_type.name == BLAST else "gateway"
        if activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and waited > PATIENCE:
            return f"its work has waited {_seconds(waited)} for a {by}: check that one runs"
        if activity.attempt > 1 and not _is_working(activity, now):  # a chunk that works again has only lost its worker
            failed = f"{activity.attempt - 1} time{'s' if activity.attempt > 2 else ''}"
            return f"its work has failed {failed} and is tried again: the {by}'s log says why"
    return None


def _is_working(activity: PendingActivityInfo, now: datetime) -> bool:
    beaten = activity.HasField("last_heartbeat_time") and _waited(activity.last_heartbeat_time, now) <= _BEATEN
    return activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED and beaten


def _waited(since: Timestamp, now: datetime) -> timedelta:
    return now - since.ToDatetime(UTC)


def _seconds(waited: timedelta) -> str:
    return f"{int(waited.total_seconds())} s"
