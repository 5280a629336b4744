"""Retry policies: what a destination asks for, and what is changed of a delivery under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from temporalio.testing import ActivityEnvironment

from activities.attempt import DeliveryRecords
from activities.interface import (
    DeliveryRef,
    DestinationPolicy,
    DestinationPolicyRequest,
    LastAttempt,
    Retuning,
    RetuningResult,
)
from activities.retry import DestinationPolicies, Retunings, request_for
from activities.webhook.destinations.reading import DestinationsFile
from runtime.store import Attempt, AttemptWriter, Store
from scenario.plan.retry import STORED
from tests.factories import NOW, present, retried_attempt

SERVER = datetime(2100, 3, 2, 12, 0, tzinfo=UTC)
"""The time by Temporal's clock, which decides, and not this machine's."""


def retuning(**retry: float) -> Retuning:
    return Retuning(workflow_id="a/1", run_id="run", step="hook", retry=retry, now=SERVER.isoformat())


def test_only_what_is_given_is_changed() -> None:
    request = request_for(retuning(initial=1.5, attempts=3, unheard_of=1.0), "shop", "worker-1")
    assert (request.namespace, request.identity, request.id) == ("shop", "worker-1", "hook")
    assert (request.execution.workflow_id, request.execution.run_id) == ("a/1", "run")
    assert list(request.update_mask.paths) == ["retry_policy.initial_interval", "retry_policy.maximum_attempts"]
    policy = request.activity_options.retry_policy
    assert policy.initial_interval.ToTimedelta() == timedelta(seconds=1.5)
    assert policy.maximum_attempts == 3
    assert not policy.HasField("maximum_interval")
    options = request_for(retuning(coefficient=2, maximum=3, deadline=5), "shop", "worker-1").activity_options
    assert (options.retry_policy.backoff_coefficient, options.retry_policy.maximum_interval.seconds) == (2, 3)
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
    pending.expiration_time.FromDatetime(SERVER + timedelta(days=3, seconds=18) - timedelta(hours=1))
    assert await Retunings(connected).retune(retuning(deadline=wanted)) == RetuningResult()
    asked = service.asked[0].activity_options.schedule_to_close_timeout.ToTimedelta().total_seconds()
    assert asked == pytest.approx(told, abs=5)


async def test_a_server_that_is_away_is_asked_again_by_temporal() -> None:
    connected, _ = client(RPCStatusCode.UNAVAILABLE)
    with pytest.raises(RPCError):
        await Retunings(connected).retune(retuning(initial=1))


TEXT = """
destinations:
  wax:
    url: https://wax.example
    timeout: 12s
    retry: {initial_interval: 2s, backoff_coefficient: 2, maximum_interval: 1h, deadline: 1d, maximum_attempts: 5}
  some: {url: https://some.example, retry: {deadline: 1d}}
  none: {url: https://none.example}
"""


async def told(destinations: DestinationsFile, name: str, shards: int = 1) -> DestinationPolicy:
    return await ActivityEnvironment().run(
        DestinationPolicies(destinations, shards).clear, DestinationPolicyRequest(destination=name)
    )


async def test_a_destination_asks_for_what_its_file_sets_and_for_nothing_else(tmp_path: Path):
    path = tmp_path / "destinations.yaml"
    path.write_text(TEXT)
    destinations = DestinationsFile(path)
    wax = await told(destinations, "wax")
    assert wax == DestinationPolicy(
        retry={"initial": 2.0, "coefficient": 2.0, "maximum": 3600.0, "deadline": 86400.0, "attempts": 5.0},
        timeout=12.0,
    )
    assert set(wax.retry) == set(STORED.values())
    assert await told(destinations, "some") == DestinationPolicy(retry={"deadline": 86400.0})
    assert await told(destinations, "none") == DestinationPolicy()
    assert await told(DestinationsFile(), "wax") == DestinationPolicy(), "nobody knows it"


async def test_with_several_queues_each_destination_has_one(tmp_path: Path):
    path = tmp_path / "destinations.yaml"
    path.write_text(TEXT)
    found = [await told(DestinationsFile(path), name, 3) for name in ("some", "none", "unknown")]
    assert [policy.queue for policy in found] == ["webhooks-1", "webhooks-2", "webhooks-2"]
    assert found[0].retry == {"deadline": 86400.0}


def retried(number: int, status: int | None, error: str | None, response: str | None, delivery: str) -> Attempt:
    started = NOW + timedelta(minutes=number)
    known: dict[str, Any] = {"status": status, "error": error, "response": response}
    return retried_attempt(delivery, attempt=number, started_at=started, **known)


async def test_the_latest_attempt_of_a_delivery_is_recalled(store: Store) -> None:
    await store.record(
        [
            retried(2, 503, "http_503", "moving house", "msg_1"),
            retried(1, None, "connect_refused", None, "msg_1"),
            retried(3, 422, "http_422", "no", "msg_2"),
            retried(1, None, "read_timeout", None, "msg_3"),
        ]
    )
    recall = DeliveryRecords(store).recall
    assert await recall(DeliveryRef(delivery="msg_1")) == LastAttempt(
        status=503, error="http_503", excerpt="moving house"
    )
    assert await recall(DeliveryRef(delivery="msg_3")) == LastAttempt(error="read_timeout")
    assert await recall(DeliveryRef(delivery="msg_4")) == LastAttempt()


async def test_a_delivered_attempt_is_recalled_also_if_a_later_one_is_unknown(store: Store) -> None:
    delivered = replace(retried(1, 201, None, "SM1", "msg_1"), outcome="delivered", next_try_at=None)
    lost = replace(retried(2, None, "worker_lost", None, "msg_1"), outcome="unknown", next_try_at=None)
    await store.record([delivered, lost])
    last = await DeliveryRecords(store).recall(DeliveryRef(delivery="msg_1"))
    sent = present(last.delivered)
    assert (last.error, sent.outcome, sent.status, sent.attempt) == ("worker_lost", "delivered", 201, 1)
    writer = AttemptWriter(store)
    assert present(await writer.delivered("msg_1")).attempt == 1
    assert await writer.delivered("msg_2") is None
    writer.put(replace(delivered, delivery_id="msg_2", attempt=3))
    assert present(await writer.delivered("msg_2")).attempt == 3, "its row is not stored yet"
    await writer.close()
