"""Deliveries between two attempts: the store knows of them, and Temporal whether that is still so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.flight import Change, InFlight, in_flight
from gateway.operating import targets
from gateway.orders import Target
from gateway.pending import Policy, pending
from runtime.store import Admission, Attempt, Store
from tests.gateway.journeys import attempt

NOW = datetime.now(UTC)


def activity(step: str) -> PendingActivityInfo:
    """A delivery under way, as the server describes it."""
    made = PendingActivityInfo(activity_id=step, state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED, attempt=3)
    made.next_attempt_schedule_time.FromDatetime(NOW + timedelta(minutes=5))
    made.expiration_time.FromDatetime(NOW + timedelta(days=3))
    made.last_failure.message = "wax answered 503 (attempt 2)"
    policy = made.activity_options.retry_policy
    policy.initial_interval.FromTimedelta(timedelta(seconds=4.8))
    policy.maximum_interval.FromTimedelta(timedelta(hours=6))
    policy.backoff_coefficient, policy.maximum_attempts = 3.0, 9
    made.activity_options.schedule_to_close_timeout.FromTimedelta(timedelta(days=3))
    return made


def temporal(under_way: dict[str, list[str]]) -> Client:
    """Stands in for Temporal's client: these journeys have these steps under way."""

    async def describe(request: DescribeWorkflowExecutionRequest, **_: Any) -> DescribeWorkflowExecutionResponse:
        name = request.execution.workflow_id
        if name not in under_way:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
        return DescribeWorkflowExecutionResponse(pending_activities=map(activity, under_way[name]))

    service = SimpleNamespace(describe_workflow_execution=describe)
    return cast("Client", SimpleNamespace(namespace="default", workflow_service=service))


async def record(store: Store, journey: str, **more: Any) -> Attempt:
    """Lets a journey in, whose delivery to wax has failed and is tried again in five minutes."""
    await store.admit(Admission("a", 3, journey, None, journey, "r1", "always", NOW - timedelta(days=30)))
    made = attempt("hook", 2, workflow_id=journey, destination="wax", delivery_id=f"msg_{journey}")
    made = replace(made, **{"started_at": NOW, "next_try_at": NOW + timedelta(minutes=5), **more})
    await store.record([made])
    return made


async def test_only_what_temporal_has_under_way_is_in_flight(store: Store) -> None:
    latest = await record(store, "a/1")
    for journey in ("a/2", "a/3"):  # one has gone on to another step, one was terminated
        await record(store, journey)
    await record(store, "a/4", destination="other.example.com")
    client = temporal({"a/1": ["hook"], "a/2": ["mail"], "a/4": ["hook"]})
    (found,) = await in_flight(client, store, "wax")
    assert (found.journey, found.step, found.latest, found.goes_to) == ("a/1", "hook", latest, "wax")
    assert found.pending.last_failure == "wax answered 503 (attempt 2)"
    assert targets([found]) == [Target("a/1", "hook")]


@pytest.mark.parametrize(("days", "since", "count"), [(6, None, 1), (8, None, 0), (8, NOW - timedelta(days=9), 1)])
async def test_what_is_long_overdue_is_not_looked_for(
    store: Store, days: int, since: datetime | None, count: int
) -> None:
    then = NOW - timedelta(days=days)
    await record(store, "a/1", started_at=then, next_try_at=then)
    assert len(await in_flight(temporal({"a/1": ["hook"]}), store, "wax", since=since)) == count


@pytest.mark.parametrize(("channel", "name"), [("webhook", "wax"), ("email", "email"), ("sms", "sms")])
def test_journeys_know_mail_servers_and_providers_by_their_channel(channel: Any, name: str) -> None:
    (item,) = pending(DescribeWorkflowExecutionResponse(pending_activities=[activity("hook")]))
    assert InFlight("a/1", "hook", attempt("hook", 1, channel=channel, destination="wax"), item).goes_to == name


def test_a_delivery_under_way_is_read_as_the_server_describes_it() -> None:
    bare = PendingActivityInfo(activity_id="mail", state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED, attempt=1)
    described = DescribeWorkflowExecutionResponse(pending_activities=[activity("hook"), bare])
    first, second = pending(described)
    assert (first.step, first.state, first.attempt) == ("hook", "scheduled", 3)
    assert first.next_try_at == NOW + timedelta(minutes=5)
    assert first.gives_up_at == NOW + timedelta(days=3)
    assert first.retry == Policy(
        initial_interval=4.8,
        backoff_coefficient=3.0,
        maximum_interval=21_600.0,
        maximum_attempts=9,
        deadline=259_200.0,
    )
    assert (second.step, second.state, second.next_try_at, second.last_failure) == ("mail", "started", None, None)
    assert (second.retry, second.gives_up_at) == (None, None)


def test_an_order_says_only_what_is_to_be_changed() -> None:
    assert Change(maximum_attempts=0).order() == {"maximum_attempts": 0}
    assert Change(initial_interval=1.0, deadline=60.0).order() == {"initial_interval": 1.0, "deadline": 60.0}
