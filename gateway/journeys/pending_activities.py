"""Deliveries under way as Temporal sees them: their attempts, their policy, when they are tried next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure as TemporalFailure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.failures import Failure, failure_of
from runtime.temporal_faults import is_unknown_workflow
from scenario.plan.retry import RetryPolicy


@dataclass(frozen=True)
class Pending:
    """A delivery under way, as Temporal sees it.

    Attributes:
        step: The step's id.
        state: ``scheduled`` (it waits for its turn or for the next attempt), ``started``, ``paused``, …
        attempt: Counted from 1, with those that were turned away before they were made.
        next_try_at: When the next attempt is due; None where one is running.
        last_failure: Why the attempt before failed.
        retry: Its policy now, an operator's changes included; None where the server does not tell.
        gives_up_at: The end of its deadline.
        activity: The activity's type, such as ``send_webhook``.
        fairness_key: What the server counts its rate by: the beginning of a webhook's destination, else empty.
        turned_away: Where the attempt before was turned away before it was made, why, in one word: ``breaker_open``,
            ``busy``, …
        why: The same in a few words, or why it failed: ``wax has failed too often and gets no requests for a while``.
    """

    step: str
    state: str
    attempt: int
    next_try_at: datetime | None = None
    last_failure: str | None = None
    retry: RetryPolicy | None = None
    gives_up_at: datetime | None = None
    activity: str = ""
    fairness_key: str = ""
    turned_away: str | None = None
    why: str | None = None


async def describe(
    temporal: Client, journey: str, run_id: str | None = None
) -> DescribeWorkflowExecutionResponse | None:
    """What the server knows of a journey, or None where it knows none."""
    # Not the handle's own describe(): it cannot read a workflow that was paused on the server.
    execution = WorkflowExecution(workflow_id=journey, run_id=run_id or "")
    try:
        return await temporal.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=temporal.namespace, execution=execution), retry=True
        )
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return None


async def pending(temporal: Client, described: DescribeWorkflowExecutionResponse) -> list[Pending]:
    """The deliveries under way of a journey."""
    return [
        _pending(activity, await _failure(temporal, activity.last_failure)) for activity in described.pending_activities
    ]


async def _failure(temporal: Client, told: TemporalFailure) -> Failure | None:
    """What an attempt said of itself; None where it is not one of ours, or cannot be read here."""
    if not told.application_failure_info.details.payloads:
        return None
    try:
        error = await temporal.data_converter.decode_failure(told)
    except Exception:  # of whatever codec: what can be shown without is shown
        return None
    return failure_of(error) if isinstance(error, ApplicationError) else None


def _pending(activity: PendingActivityInfo, failure: Failure | None) -> Pending:
    name = PendingActivityState.Name(activity.state)
    room = activity.activity_options.start_to_close_timeout.ToTimedelta()  # see `Delivery.room`
    return Pending(
        step=activity.activity_id,
        state=name.removeprefix("PENDING_ACTIVITY_STATE_").lower(),
        attempt=activity.attempt,
        next_try_at=_instant(activity.next_attempt_schedule_time)
        if activity.HasField("next_attempt_schedule_time")
        else None,
        last_failure=activity.last_failure.message or None,
        retry=_policy(activity),
        gives_up_at=_instant(activity.expiration_time) - room if activity.HasField("expiration_time") else None,
        activity=activity.activity_type.name,
        fairness_key=activity.priority.fairness_key,
        turned_away=failure.error if failure and failure.turned_away else None,
        why=(failure.why or failure.reason) if failure else activity.last_failure.message or None,
    )


def _policy(activity: PendingActivityInfo) -> RetryPolicy | None:
    options = activity.activity_options
    if not options.HasField("retry_policy"):
        return None
    policy = options.retry_policy
    return RetryPolicy(
        initial_interval=_seconds(policy.initial_interval.ToTimedelta()),
        backoff_coefficient=round(policy.backoff_coefficient, 6),
        maximum_interval=_seconds(policy.maximum_interval.ToTimedelta()),
        maximum_attempts=policy.maximum_attempts,
        deadline=_seconds(
            max(
                timedelta(0),
                options.schedule_to_close_timeout.ToTimedelta() - options.start_to_close_timeout.ToTimedelta(),
            )
        ),
    )


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)


def _instant(stamp: Timestamp) -> datetime:
    """A moment of Temporal's, aware and in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)
