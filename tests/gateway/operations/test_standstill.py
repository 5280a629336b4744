"""Why an operation does not move, as Temporal's description of its workflow tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from gateway.operations.standstill import standstill

NOW = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


def pending(state: PendingActivityState.ValueType, ago: float, attempt: int = 1) -> DescribeWorkflowExecutionResponse:
    activity = PendingActivityInfo(state=state, attempt=attempt)
    activity.scheduled_time.FromDatetime(NOW - timedelta(seconds=ago))
    return DescribeWorkflowExecutionResponse(pending_activities=[activity])


@pytest.mark.parametrize(
    ("description", "why"),
    [
        (DescribeWorkflowExecutionResponse(), None),
        (pending(STARTED, 3600), None),
        (pending(SCHEDULED, 10), None),
        (pending(SCHEDULED, 11), "its work has waited 11 s for a gateway: check that one runs"),
        (pending(SCHEDULED, -30, 4), "its work has failed 3 times and is tried again: the gateway's log says why"),
    ],
)
def test_what_waits_for_a_gateway_or_fails_is_told(
    description: DescribeWorkflowExecutionResponse, why: str | None
) -> None:
    assert standstill(description, NOW) == why
