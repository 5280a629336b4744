"""Retries as Temporal makes them: the next attempt, a destination's retry policy, and changes in flight."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from google.protobuf.duration_pb2 import Duration
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, UpdateActivityOptionsRequest
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.channel_registry import WEBHOOK, webhook_queue
from activities.interface import CLEAR, RETUNE, DestinationPolicy, DestinationPolicyRequest, Retuning, RetuningResult
from scenario.plan.retry import LAST, STORED, fit, lengthen
from scenario.plan.retry import RetryPolicy as Planned

if TYPE_CHECKING:  # `tests/replay/test_pythons.py` replays journeys without the packages of deliveries
    from activities.webhook.destinations.reading import DestinationsFile

SOON: Final = timedelta(seconds=5)
"""Average pause after an attempt that sent nothing."""
LATER: Final = timedelta(minutes=1)
"""The same if only a new release of the program can help."""


def jittered(pause: timedelta, identifier: str, attempt: int) -> timedelta:
    """Return a pause up to half shorter or longer, by a hash of the delivery's id and the attempt's number.

    Deliveries that one outage delayed would otherwise all return at the same time.
    """
    share: float = crc32(f"{identifier}/{attempt}".encode()) / 0xFFFF_FFFF
    return pause * (0.5 + share)


def pause(policy: RetryPolicy | None, attempt: int) -> float:
    """Return the seconds between an attempt and the next one, by the current policy; 0 without one."""
    if policy is None:
        return 0.0
    longest = policy.maximum_interval or 100 * policy.initial_interval
    return Planned(
        initial_interval=policy.initial_interval.total_seconds(),
        backoff_coefficient=policy.backoff_coefficient,
        maximum_interval=longest.total_seconds(),
    ).pause(attempt)


def deadline(info: activity.Info, room: float) -> datetime | None:
    """Return the last moment at which an attempt may start, or None. Temporal's own limit is `room` seconds later."""
    whole = info.schedule_to_close_timeout
    return info.scheduled_time + whole - timedelta(seconds=room) if whole else None


def time_left(info: activity.Info, room: float, now: datetime) -> timedelta:
    """Return the time from `now` until the last moment at which an attempt should start; see `deadline`."""
    end = deadline(info, room)
    return timedelta.max if end is None else end - now - LAST


def replacement_pause(
    info: activity.Info, number: int, asked: int | None, room: float, now: datetime
) -> timedelta | None:
    """Return the pause to use instead of Temporal's own, or None.

    Temporal's is too long after attempts that were turned away, which it counts, and too short if attempts preceded a
    deferral, which it does not count. `number` counts neither. The receiver asked for `asked` seconds.
    """
    planned = pause(info.retry_policy, number)
    delay = lengthen(asked, planned, time_left(info, room, now).total_seconds())
    if delay is None and planned != pause(info.retry_policy, info.attempt):
        delay = planned
    return None if delay is None else timedelta(seconds=delay)


def next_try(
    info: activity.Info, ended: datetime, delay: timedelta | None = None, *, room: float = 0.0
) -> datetime | None:
    """Return when Temporal will retry after a retryable failure, or None if attempts or the deadline are exhausted."""
    policy = info.retry_policy
    if policy is None or (policy.maximum_attempts and info.attempt >= policy.maximum_attempts):
        return None
    due = ended + (delay or timedelta(seconds=pause(policy, info.attempt)))
    end = deadline(info, room)
    return None if end and due >= end else due


_PATIENCE: Final = timedelta(seconds=5)
_GONE: Final = "the delivery is just being scheduled or has just ended: try again in a moment"
_MISFIT: Final = "'maximum_interval' would be shorter than 'initial_interval': give both"
_REFUSED: Final = {
    RPCStatusCode.NOT_FOUND: _GONE,
    RPCStatusCode.FAILED_PRECONDITION: _GONE,
    RPCStatusCode.UNIMPLEMENTED: "this Temporal server is too old to change a pending activity",
    RPCStatusCode.PERMISSION_DENIED: "the worker's account may not change activities: give it the permission to write",
}
"""Errors that no retry would change."""


class Retunings:
    """Changes options of pending activities."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=RETUNE.name)
    async def retune(self, retuning: Retuning) -> RetuningResult:
        """Change only the given values of a delivery's retry policy.

        It checks first: if the server refuses a change, it also loses the workflow task that answers the operator's
        update.
        """
        try:
            pending = await self._pending(retuning)
            if pending is None:
                return RetuningResult(error=_GONE)
            now = pending.activity_options.retry_policy
            known = (length.ToTimedelta().total_seconds() for length in (now.initial_interval, now.maximum_interval))
            if not fit(retuning.retry, *known):
                return RetuningResult(error=_MISFIT)
            await self._client.workflow_service.update_activity_options(
                request_for(_with_room(retuning, pending), self._client.namespace, self._client.identity),
                timeout=_PATIENCE,
            )
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:  # its text is about the policy alone
                return RetuningResult(error=f"the server refuses this policy: {error.message}")
            if (reason := _REFUSED.get(error.status)) is None:
                raise
            return RetuningResult(error=reason)
        return RetuningResult()

    async def _pending(self, retuning: Retuning) -> PendingActivityInfo | None:
        described = await self._client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=self._client.namespace,
                execution=WorkflowExecution(workflow_id=retuning.workflow_id, run_id=retuning.run_id),
            ),
            timeout=_PATIENCE,
        )
        return next((one for one in described.pending_activities if one.activity_id == retuning.step), None)


def _with_room(retuning: Retuning, pending: PendingActivityInfo) -> Retuning:
    """Return the change with the deadline for Temporal, which leaves time for a running attempt, as in `Delivery.room`.

    If the deadline is over and no attempt is running, the delivery ends immediately.
    """
    wanted = retuning.retry.get("deadline")
    if wanted is None:
        return retuning
    options = pending.activity_options
    begun = pending.expiration_time.ToDatetime(tzinfo=UTC) - options.schedule_to_close_timeout.ToTimedelta()
    passed = (datetime.fromisoformat(retuning.now) - begun).total_seconds()
    if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED or wanted > passed:
        wanted = max(wanted, passed) + options.start_to_close_timeout.ToTimedelta().total_seconds()
    return replace(retuning, retry={**retuning.retry, "deadline": wanted})


def request_for(retuning: Retuning, namespace: str, identity: str) -> UpdateActivityOptionsRequest:
    """Return the request to Temporal, with a mask of the given fields."""
    request = UpdateActivityOptionsRequest(
        namespace=namespace,
        execution=WorkflowExecution(workflow_id=retuning.workflow_id, run_id=retuning.run_id),
        identity=identity,
        id=retuning.step,
    )
    policy = request.activity_options.retry_policy
    for name, key in STORED.items():
        if (value := retuning.retry.get(key)) is None:
            continue
        is_deadline = name == "deadline"
        holder: Any = request.activity_options if is_deadline else policy
        field = "schedule_to_close_timeout" if is_deadline else name
        if isinstance(known := getattr(holder, field), Duration):
            known.FromTimedelta(timedelta(seconds=value))
        else:
            setattr(holder, field, type(known)(value))
        request.update_mask.paths.append(field if is_deadline else f"retry_policy.{field}")
    return request


class DestinationPolicies:
    """A local activity: the answer is in memory."""

    def __init__(self, destinations: DestinationsFile, shards: int = 1) -> None:
        self._destinations, self._shards = destinations, shards

    @activity.defn(name=CLEAR.name)
    async def clear(self, given: DestinationPolicyRequest) -> DestinationPolicy:
        """Return a destination's policy. If this process does not know the destination, only its queue is set.

        Workers of the queue `webhooks` may know other destinations than those of `journeys`, and judge unknown ones.
        """
        queue = webhook_queue(given.destination, self._shards)
        stated = "" if queue == WEBHOOK.queue else queue
        found = self._destinations.book.get(given.destination)
        if found is None:
            return DestinationPolicy(queue=stated)
        return DestinationPolicy(retry=dict(found.retry), timeout=found.timeout, queue=stated)
