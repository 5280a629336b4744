"""What is asked of Temporal for a delivery under way, and how its answers read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse, UpdateActivityOptionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.interface import Retuning, RetuningResult
from activities.retry import Retunings, request_for


def retuning(**retry: float) -> Retuning:
    return Retuning(workflow_id="a/1", run_id="run", step="hook", retry=retry)


def test_only_what_is_given_is_changed() -> None:
    request = request_for(retuning(initial=1.5, attempts=3, unheard_of=1.0), "shop", "worker-1")
    assert (request.namespace, request.identity, request.id) == ("shop", "worker-1", "hook")
    assert (request.execution.workflow_id, request.execution.run_id) == ("a/1", "run")
    assert list(request.update_mask.paths) == ["retry_policy.initial_interval", "retry_policy.maximum_attempts"]
    policy = request.activity_options.retry_policy
    assert policy.initial_interval.ToTimedelta() == timedelta(seconds=1.5)
    assert policy.maximum_attempts == 3
    assert not policy.HasField("maximum_interval")


def test_every_word_of_the_policy_has_its_field() -> None:
    options = request_for(retuning(coefficient=2, maximum=3, deadline=5), "shop", "worker-1").activity_options
    assert options.retry_policy.backoff_coefficient == 2
    assert options.retry_policy.maximum_interval.seconds == 3
    assert options.schedule_to_close_timeout.seconds == 5


class Answering:
    def __init__(self, status: RPCStatusCode | None) -> None:
        self._status = status
        policy = RetryPolicy()
        policy.initial_interval.FromTimedelta(timedelta(minutes=1))
        policy.maximum_interval.FromTimedelta(timedelta(minutes=9))
        options = ActivityOptions(retry_policy=policy)
        self.pending = [PendingActivityInfo(activity_id="hook", activity_options=options)]
        self.asked: list[UpdateActivityOptionsRequest] = []

    async def describe_workflow_execution(self, *_: Any, **__: Any) -> DescribeWorkflowExecutionResponse:
        return DescribeWorkflowExecutionResponse(pending_activities=self.pending)

    async def update_activity_options(self, request: UpdateActivityOptionsRequest, **_: Any) -> None:
        self.asked.append(request)
        if self._status is not None:
            raise RPCError("MaximumInterval is too short", self._status, b"")


def client(status: RPCStatusCode | None) -> tuple[Client, Answering]:
    service = Answering(status)
    return cast("Client", SimpleNamespace(workflow_service=service, namespace="shop", identity="worker-1")), service


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (None, ""),
        (RPCStatusCode.NOT_FOUND, "the delivery is just being scheduled or has just ended: try again in a moment"),
        (RPCStatusCode.INVALID_ARGUMENT, "the server refuses this policy: MaximumInterval is too short"),
        (RPCStatusCode.UNIMPLEMENTED, "this Temporal server is too old to change a pending activity"),
    ],
)
async def test_an_answer_that_is_final_reads_as_a_sentence(status: RPCStatusCode | None, error: str) -> None:
    connected, service = client(status)
    assert await Retunings(connected).retune(retuning(initial=1)) == RetuningResult(error=error)
    assert len(service.asked) == 1


async def test_a_delivery_that_is_not_there_and_a_policy_that_does_not_fit_are_not_even_tried() -> None:
    connected, service = client(None)
    misfit = await Retunings(connected).retune(retuning(initial=600))
    assert misfit.error == "'maximum_interval' would be shorter than 'initial_interval': give both"
    service.pending = []
    gone = await Retunings(connected).retune(retuning(initial=1))
    assert gone.error == "the delivery is just being scheduled or has just ended: try again in a moment"
    assert service.asked == []


@pytest.mark.parametrize(
    ("state", "wanted", "told"),
    [("SCHEDULED", 7200.0, 7218.0), ("SCHEDULED", 60.0, 60.0), ("STARTED", 7200.0, 7218.0), ("STARTED", 60.0, 3618.0)],
)
async def test_an_attempt_under_way_has_its_time_and_what_is_overdue_ends_at_once(
    state: str, wanted: float, told: float
) -> None:
    connected, service = client(None)
    pending = service.pending[0]
    pending.state = PendingActivityState.Value(f"PENDING_ACTIVITY_STATE_{state}")
    pending.activity_options.start_to_close_timeout.FromTimedelta(timedelta(seconds=18))
    pending.activity_options.schedule_to_close_timeout.FromTimedelta(timedelta(days=3, seconds=18))
    pending.expiration_time.FromDatetime(datetime.now(UTC) + timedelta(days=3, seconds=18) - timedelta(hours=1))
    assert await Retunings(connected).retune(retuning(deadline=wanted)) == RetuningResult()
    asked = service.asked[0].activity_options.schedule_to_close_timeout.ToTimedelta().total_seconds()
    assert asked == pytest.approx(told, abs=5)


async def test_a_server_that_is_away_is_asked_again_by_temporal() -> None:
    connected, _ = client(RPCStatusCode.UNAVAILABLE)
    with pytest.raises(RPCError):
        await Retunings(connected).retune(retuning(initial=1))
