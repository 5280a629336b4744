"""A journey as Temporal describes it: its id, and its deliveries in progress."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import Field, PlainSerializer
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure as TemporalFailure
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.failures import Failure, failure_of
from gateway.errors import NotFound
from gateway.service.view import View
from runtime.temporal_faults import is_unknown_workflow
from scenario.plan.retry import RetryPolicy
from scenario.words import JourneyState

LONGEST: Final = 1000
"""Maximum bytes of a workflow id in Temporal."""
_UNUSED: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def check_identifier(journey: str, run_id: str | None = None) -> None:
    """Raise NotFound if no workflow can have these ids, which Temporal would answer with a fault."""
    if not journey or len(journey) > LONGEST or _UNUSED.search(journey) or len(journey.encode()) > LONGEST:
        raise NotFound("there is no journey of this id: list the journeys to find its id")
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise NotFound(f"there is no such run of the journey '{journey}': leave the run out to see the newest")


class DeliveryStatus(View):
    """A delivery in progress, from Temporal."""

    step: str
    """Step id."""
    state: str
    """`scheduled` (waits for its turn or the next attempt), `started`, `paused`, …"""
    attempt: int
    """Number of the attempt, from 1; those that ended before sending do not count."""
    next_try_at: datetime | None = None
    """Time of the next attempt; null while one is running."""
    last_failure: str | None = None
    """Failure of the last attempt."""
    retry: Annotated[RetryPolicy, PlainSerializer(asdict)] | None = None
    """Retry policy with an operator's changes, durations in seconds; null if the server does not report it."""
    gives_up_at: datetime | None = None
    """End of the deadline."""
    activity: Annotated[str, Field(exclude=True)] = ""
    """Type of the activity, such as `send_webhook`."""
    fairness_key: Annotated[str, Field(exclude=True)] = ""
    """Key by which the server limits the rate: the beginning of a webhook's destination, or empty."""
    turned_away: str | None = None
    """Reason why the last attempt was refused before sending, in one word: `breaker_open`, `busy`, …"""
    why: str | None = None
    """The same in a few words, or the failure of the last attempt."""
    journey_state: Annotated[JourneyState, Field(exclude=True)] = JourneyState.RUNNING
    """State of the journey because of it."""


async def describe(
    temporal: Client, journey: str, run_id: str | None = None, *, patience: timedelta | None = None
) -> DescribeWorkflowExecutionResponse | None:
    """Return Temporal's description of a journey, or None if it does not exist."""
    # Not the handle's own describe(): it cannot read a workflow that was paused on the server, and omits the first run.
    execution = WorkflowExecution(workflow_id=journey, run_id=run_id or "")
    try:
        return await temporal.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=temporal.namespace, execution=execution),
            retry=True,
            timeout=patience,
        )
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return None


def word_of(info: WorkflowExecutionInfo) -> str:
    """Return the status of a run in a word, such as ``running`` or ``continued_as_new``."""
    try:
        name = WorkflowExecutionStatus.Name(info.status)
    except ValueError:  # of a newer server
        return "unknown"
    return name.removeprefix("WORKFLOW_EXECUTION_STATUS_").lower()


async def pending_of(temporal: Client, journey: str) -> list[DeliveryStatus]:
    """Return the deliveries in progress of a journey, perhaps an unknown one."""
    described = await describe(temporal, journey)
    return await pending(temporal, described) if described else []


async def pending(temporal: Client, described: DescribeWorkflowExecutionResponse) -> list[DeliveryStatus]:
    return [
        _pending(activity, await _failure(temporal, activity.last_failure)) for activity in described.pending_activities
    ]


async def _failure(temporal: Client, told: TemporalFailure) -> Failure | None:
    """Return the details of a failed attempt, or None if they are not ours or cannot be decrypted here."""
    if not told.application_failure_info.details.payloads:
        return None
    try:
        error = await temporal.data_converter.decode_failure(told)
    except Exception:  # of whatever codec: what can be shown without is shown
        return None
    return failure_of(error) if isinstance(error, ApplicationError) else None


def _journey_state(activity: PendingActivityInfo, failure: Failure | None) -> JourneyState:
    """Return ``retrying`` if an attempt has failed, ``waiting`` if the first one was put off, or else ``running``."""
    if not activity.HasField("last_failure"):
        return JourneyState.RUNNING
    if failure is None or failure.attempt - failure.unsent > 0:
        return JourneyState.RETRYING
    return JourneyState.WAITING


def _pending(activity: PendingActivityInfo, failure: Failure | None) -> DeliveryStatus:
    name = PendingActivityState.Name(activity.state)
    room = activity.activity_options.start_to_close_timeout.ToTimedelta()  # see `Delivery.room`
    return DeliveryStatus(
        step=activity.activity_id,
        state=name.removeprefix("PENDING_ACTIVITY_STATE_").lower(),
        # Temporal's number also counts attempts that sent nothing, such as while a circuit breaker was open.
        attempt=activity.attempt if failure is None else failure.attempt - failure.unsent + 1,
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
        journey_state=_journey_state(activity, failure),
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
    return stamp.ToDatetime(tzinfo=UTC)
