"""Deliveries between two attempts, and journeys that are to go on in another version."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client

from authoring.errors import BadInput
from runtime.store import Attempt, Store
from scenario.plan.plan import Plan, dump_plan
from scenario.plan.retry import RetryPolicy
from scenario.steps.delivery import Send
from service.client import ScenarioClient
from service.destinations import PendingDelivery, pending_deliveries
from service.journeys.snapshot import DeliveryStatus, pending
from service.operations.journey_operations import targets
from service.operations.migration import MigrationForecast, forecast
from service.operations.request import JourneyTarget, RetryPolicyChange
from tests.factories import admission_request
from tests.factories import publish as publish_text
from tests.journey import attempt
from tests.search import Search

NOW = datetime.now(UTC)


def activity(step: str, kind: str = "webhook", destination: str = "wax") -> PendingActivityInfo:
    """A delivery under way, as the server describes it."""
    made = PendingActivityInfo(activity_id=step, state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED, attempt=3)
    made.activity_type.name = f"send_{kind}"
    made.priority.fairness_key = destination
    made.next_attempt_schedule_time.FromDatetime(NOW + timedelta(minutes=5))
    made.expiration_time.FromDatetime(NOW + timedelta(days=3))
    made.last_failure.message = "wax answered 503 (attempt 2)"
    policy = made.activity_options.retry_policy
    policy.initial_interval.FromTimedelta(timedelta(seconds=4.8))
    policy.maximum_interval.FromTimedelta(timedelta(hours=6))
    policy.backoff_coefficient, policy.maximum_attempts = 3.0, 9
    made.activity_options.schedule_to_close_timeout.FromTimedelta(timedelta(days=3))
    return made


def temporal(under_way: dict[str, list[PendingActivityInfo]]) -> Client:
    """Stands in for Temporal's client: these journeys have these deliveries under way."""
    return Search(sending=under_way).client


async def publish(store: Store, name: str, *steps: Send) -> None:
    """Publishes a scenario of these steps, named by their kinds, as its first version."""
    plan = Plan(start=steps[0].kind, steps={step.kind: step for step in steps})
    await store.publish(name, {}, dump_plan(plan), "h")


async def let_in(store: Store, *journeys: str) -> None:
    for journey in journeys:
        name, _, contact = journey.partition("/")
        await store.admit(admission_request(contact, name, now=NOW - timedelta(days=30)))


async def in_flight(
    store: Store, under_way: dict[str, list[PendingActivityInfo]], destination: str = "wax", **given: Any
) -> list[PendingDelivery]:
    """What the Python client finds under way."""
    return await ScenarioClient(temporal(under_way), store).in_flight(destination, **given)


async def record(store: Store, journey: str, step: str = "webhook", **more: Any) -> Attempt:
    """Lets a journey in, whose delivery to wax has failed and is tried again in five minutes."""
    await let_in(store, journey)
    made = attempt("hook", 2, workflow_id=journey, destination="wax", delivery_id=f"msg_{journey}")
    made = replace(made, **{"step": step, "started_at": NOW, "next_try_at": NOW + timedelta(minutes=5), **more})
    await store.record([made])
    return made


async def test_only_what_temporal_has_under_way_is_in_flight(store: Store):
    latest = await record(store, "a/1")
    for journey in ("a/2", "a/3"):  # one has gone on to another step, one was terminated
        await record(store, journey)
    await record(store, "a/4", destination="other.example.com")
    mail, hook = [activity("mail", "email", "")], [activity("hook")]
    (found,) = await in_flight(store, {"a/1": [activity("webhook")], "a/2": mail, "a/4": hook})
    assert (found.journey, found.step, found.latest, found.goes_to) == ("a/1", "webhook", latest, "wax")
    assert found.pending.last_failure == "wax answered 503 (attempt 2)"
    assert targets([found]) == [JourneyTarget("a/1", "webhook")]


async def test_what_has_not_been_attempted_is_found_at_those_who_could_send_it(store: Store):
    await publish(store, "a", Send(kind="webhook", to="wax", next="email"), Send(kind="email"))
    await publish(store, "b", Send(kind="webhook", to="other.example.com"))
    latest = await record(store, "a/1")
    await let_in(store, "a/2", "a/3", "a/4", "a/5", "b/6")
    under_way = {
        "a/1": [activity("webhook")],
        "a/2": [activity("webhook")],  # turned away, or waiting for its turn
        "a/3": [activity("webhook", destination="other.example.com")],  # retried by another version
        "a/4": [activity("email", "email", "")],
        "a/5": [],
        "b/6": [activity("webhook")],  # never asked: no step of its version goes there
    }
    found = [(item.journey, item.goes_to, item.latest) for item in await in_flight(store, under_way)]
    assert found == [("a/1", "wax", latest), ("a/2", "wax", None)]
    assert [item.journey for item in await in_flight(store, under_way, limit=1)] == ["a/1"]
    assert [item.journey for item in await in_flight(store, under_way, "email")] == ["a/4"]


async def test_a_glance_looks_up_a_few_of_many(store: Store):
    """Of what was attempted the log tells; the journeys that may be about to send for the first time are counted."""
    await publish(store, "a", Send(kind="webhook", to="wax", next="email"), Send(kind="email"))
    tried = [await record(store, f"a/{number}", next_try_at=NOW + timedelta(minutes=number)) for number in (1, 2, 3)]
    for number in range(4, 9):
        await let_in(store, f"a/{number}")
    client = temporal({"a/1": [activity("webhook")], "a/8": [activity("webhook")]})
    seen = await pending_deliveries(client, store, "wax", look_up=2)
    first, third = seen.found  # the second was looked up, and has gone on
    failure = "wax answered 503 (attempt 2)"
    assert (first.journey, first.latest, first.pending.last_failure) == ("a/1", tried[0], failure)
    assert (third.journey, third.latest, third.goes_to) == ("a/3", tried[2], "wax")
    due = NOW + timedelta(minutes=3)
    assert third.pending == DeliveryStatus(step="webhook", state="scheduled", attempt=3, next_try_at=due)
    assert seen.unseen == 5
    every = await pending_deliveries(client, store, "wax")
    assert ([item.journey for item in every.found], every.unseen) == (["a/1", "a/8"], 0)
    some = await pending_deliveries(client, store, "wax", look_up=4)
    assert ([item.journey for item in some.found], some.unseen) == (["a/1", "a/8"], 4)
    assert len((await pending_deliveries(client, store, "wax", look_up=1, limit=1)).found) == 1


async def test_a_long_host_is_known_by_its_beginning(store: Store):
    host = f"{'a' * 60}.{'b' * 60}.example.com"
    await publish(store, "a", Send(kind="webhook", to=host))
    await let_in(store, "a/1")
    under_way = {"a/1": [activity("webhook", destination=host[:64])]}
    assert [item.goes_to for item in await in_flight(store, under_way, host)] == [host]


async def test_what_is_long_overdue_is_not_looked_for_in_the_log(store: Store):
    for number, days in enumerate((6, 8)):
        then = NOW - timedelta(days=days)
        await record(store, f"a/{number}", started_at=then, next_try_at=then)
    found = await in_flight(store, {f"a/{number}": [activity("webhook")] for number in range(2)})
    assert [item.journey for item in found] == ["a/0"]


async def test_journeys_know_mail_servers_and_providers_by_their_channel(store: Store):
    for channel, goes_to in (("webhook", "webhook.mx"), ("email", "email"), ("sms", "sms")):
        await record(store, f"a/{channel}", step=channel, channel=channel, destination=f"{channel}.mx")
        (found,) = await in_flight(store, {f"a/{channel}": [activity(channel, channel, "")]}, f"{channel}.mx")
        assert found.goes_to == goes_to


async def test_a_delivery_under_way_is_read_as_the_server_describes_it():
    bare = PendingActivityInfo(activity_id="mail", state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED, attempt=1)
    described = DescribeWorkflowExecutionResponse(pending_activities=[activity("hook"), bare])
    first, second = await pending(temporal({}), described)
    assert (first.step, first.state, first.attempt) == ("hook", "scheduled", 3)
    assert first.next_try_at == NOW + timedelta(minutes=5)
    assert first.gives_up_at == NOW + timedelta(days=3)
    assert first.retry == RetryPolicy(
        initial_interval=4.8, backoff_coefficient=3.0, maximum_interval=21_600.0, maximum_attempts=9, deadline=259_200.0
    )
    assert (second.step, second.state, second.next_try_at, second.last_failure) == ("mail", "started", None, None)
    assert (second.retry, second.gives_up_at) == (None, None)


def test_a_change_says_only_what_is_to_be_changed_and_no_more_than_a_policy_may_have():
    assert RetryPolicyChange(maximum_attempts=0, deadline=60.0).given() == {"maximum_attempts": 0, "deadline": 60.0}
    with pytest.raises(BadInput, match=r"^the deadline is too long$"):
        RetryPolicyChange(deadline=1e9)


HOOK = '{webhook: hook, url: "https://x.example.com", body: {a: 1}}'
MAIL = '{email: mail, subject: "hi", text: "hi"}'


@pytest.fixture
async def two(store: Store) -> Store:
    """A store with three versions, and six journeys in the first two; one of them was terminated."""
    for steps in (
        (MAIL, "{wait: 2d}", HOOK),
        ("{wait: 1d, id: early}", MAIL, "{wait: 2d}", HOOK),
        (MAIL, "{wait: 2d, id: rest}", HOOK.replace("a: 1", "a: 2")),
    ):
        await publish_text(store, f"scenario: a\ntrigger: order\nsteps: [{', '.join(steps)}]\n")
    for number, version in enumerate((1, 1, 1, 2, 2, 2, 3)):
        await store.admit(admission_request(str(number), "a", version=version))
    return store


def standing() -> Search:
    """Search knows of all but one of them; one that it takes for waiting has a delivery under way."""
    steps = {"a/0": "mail", "a/3": "early"}
    found = Search(sending={name: [PendingActivityInfo(activity_id=step)] for name, step in steps.items()})
    for number, state in ((0, "waiting"), (3, "waiting"), (1, "held"), (4, "held"), (6, "held")):
        found.put(f"a/{number}", state)
    return found


def told(found: MigrationForecast) -> list[str]:
    return [f"{found.scenario}@{one.version}: {one}" for one in found.standing]


async def test_journeys_are_counted_by_where_they_stand(two: Store):
    found = await forecast(standing().client, two, "a")
    assert (found.to, found.left_out, found.fitting) == (3, 1, ["a/4", "a/0", "a/1"])
    assert told(found) == [
        "a@2: 1 is at early, which is gone: map it, for example to rest",
        "a@2: 1 is held at hook, which stays",
        "a@1: 1 is at mail, which stays",
        "a@1: 1 is held at hook, which stays",
    ]
    assert {number: str(one) for number, one in found.differences.items()} == {
        2: "added: rest; removed: early, wait-3; changed: hook (body)",
        1: "added: rest; removed: wait-2; changed: hook (body)",
    }
    assert found.targets("hook")[0] == JourneyTarget("a/4", "hook")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"version": 1}, ["a@1: 1 is at mail, which stays", "a@1: 1 is held at hook, which stays"]),
        ({"state": "held", "version": 2}, ["a@2: 1 is held at hook, which stays"]),
        ({"version": 2, "state": "running", "names": {"early": "rest"}}, ["a@2: 1 is at early, which becomes rest"]),
        ({"limit": 1}, ["a@2: 1 is held at hook, which stays"]),
        ({"step": "wait-2"}, []),
    ],
)
async def test_only_those_that_are_meant_are_counted(two: Store, wanted: dict[str, Any], expected: list[str]):
    assert told(await forecast(standing().client, two, "a", **wanted)) == expected


@pytest.mark.parametrize(
    ("scenario", "wanted", "why"),
    [
        ("b", {}, "there is no scenario 'b': check its name"),
        ("a", {"to": 9}, "a has no version 9: the newest is 3"),
        ("a", {"version": 9}, "a has no version 9: the newest is 3"),
        ("a", {"version": 3}, "a@3 is the target version: name another version to migrate from, or none"),
        ("a", {"names": {"early": "rests"}}, "there is no step 'rests' in a@3: did you mean 'rest'?"),
        ("a", {"names": {"erly": "rest"}}, "there is no step 'erly' in their versions: did you mean 'early'?"),
        ("a", {"version": 1, "step": "xyz"}, "there is no step 'xyz' in their versions: there are mail, wait-2, hook"),
    ],
)
async def test_what_is_not_there_is_said(two: Store, scenario: str, wanted: dict[str, Any], why: str):
    with pytest.raises(BadInput) as caught:
        await forecast(standing().client, two, scenario, **wanted)
    assert str(caught.value) == why
