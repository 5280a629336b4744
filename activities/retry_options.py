"""The local activity that changes the retry policy of a delivery in progress, through Temporal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, UpdateActivityOptionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.interface import RETUNE, Retuning, RetuningResult
from scenario.plan.retry import STORED, fit

_PATIENCE: Final = timedelta(seconds=5)
_GONE: Final = "the delivery is just being scheduled or has just ended: try again in a moment"
_MISFIT: Final = "'maximum_interval' would be shorter than 'initial_interval': give both"
_REFUSED: Final = {
    RPCStatusCode.NOT_FOUND: _GONE,
    RPCStatusCode.FAILED_PRECONDITION: _GONE,
    RPCStatusCode.UNIMPLEMENTED: "this Temporal server is too old to change an activity under way",
    RPCStatusCode.PERMISSION_DENIED: "the worker's account may not change activities: give it the permission to write",
}
"""Errors that no retry would change."""


class Retunings:
    """Changes options of pending activities.

    Args:
        client: Client of the server that runs the journeys.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=RETUNE.name)
    async def retune(self, retuning: Retuning) -> RetuningResult:
        """Change the given values of a delivery's retry policy, and no other option.

        It checks first: if the server refuses a change, it also loses the workflow task that answers the operator's
        update.

        Raises:
            RPCError: The server is unavailable.
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
    passed = (datetime.now(UTC) - begun).total_seconds()
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
