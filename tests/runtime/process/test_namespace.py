"""What is found of a namespace: whether it can be used, and when its search attributes are verified."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.errors import AttributesMissing, ConnectionFailed
from runtime.process.namespace import AWAY, VERIFIED, NamespaceCheck, PollerCheck
from tests.fakes import Clock


class Temporal:
    namespace = "scenarios"

    def __init__(self) -> None:
        self.says: RPCStatusCode | None = None
        self.id = "a"
        self.has_attributes = True
        self.may_register = True
        self.verified = 0
        self.workflow_service = self

    async def describe_namespace(self, *_: object, **__: object) -> DescribeNamespaceResponse:
        if self.says is not None:
            raise RPCError("who knows what is in it", self.says, b"")
        described = DescribeNamespaceResponse()
        described.namespace_info.id = self.id
        return described

    async def count_workflows(self, *_: object, **__: object) -> None:
        self.verified += 1
        if not self.has_attributes:
            raise RPCError("no such attribute", RPCStatusCode.INVALID_ARGUMENT, b"")


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Temporal:
    server = Temporal()

    async def ensure(client: object, *, patience: float) -> None:
        del client, patience
        if not server.may_register:
            raise AttributesMissing("have them registered")
        server.has_attributes = True

    monkeypatch.setattr("runtime.search_attributes.ensure", ensure)
    return server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def namespace(temporal: Temporal, clock: Clock) -> NamespaceCheck:
    return NamespaceCheck(cast("Client", temporal), clock)


async def trouble(namespace: NamespaceCheck) -> str | None:
    try:
        await namespace.check()
    except (ConnectionFailed, AttributesMissing) as error:
        return str(error)
    return None


async def test_attributes_are_verified_at_first_and_every_minute(
    namespace: NamespaceCheck, temporal: Temporal, clock: Clock
) -> None:
    seen: list[int] = []
    for clock.now in (0.0, 5.0, VERIFIED - 1, VERIFIED, VERIFIED + 5):
        assert await trouble(namespace) is None
        seen.append(temporal.verified)
    assert seen == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("what", ["a gap", "another namespace", "a suspicion"])
async def test_they_are_verified_after(what: str, namespace: NamespaceCheck, temporal: Temporal) -> None:
    await namespace.check()
    match what:
        case "a gap":
            temporal.says = RPCStatusCode.UNAVAILABLE
            await namespace.check()
            temporal.says = None
        case "another namespace":
            temporal.id = "b"
        case _:
            namespace.suspect()
    assert await trouble(namespace) is None
    assert temporal.verified == 2


async def test_missing_attributes_are_registered_again_and_that_is_logged(
    namespace: NamespaceCheck, temporal: Temporal, caplog: pytest.LogCaptureFixture
) -> None:
    temporal.has_attributes = False
    assert await trouble(namespace) is None
    assert temporal.has_attributes
    assert [record.getMessage() for record in caplog.records] == [
        "The namespace scenarios lacked search attributes: they have been registered again."
    ]
    temporal.has_attributes = temporal.may_register = False
    namespace.suspect()
    assert [await trouble(namespace) for _ in range(2)] == ["have them registered"] * 2
    temporal.has_attributes = True
    assert await trouble(namespace) is None


async def test_a_namespace_that_was_replaced_is_named(
    namespace: NamespaceCheck, temporal: Temporal, caplog: pytest.LogCaptureFixture
) -> None:
    await namespace.check()
    temporal.id = "b"
    for _ in range(2):
        await namespace.check()
    assert [(record.levelno, "scenario store reconcile" in record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            RPCStatusCode.NOT_FOUND,
            "The Temporal server no longer has the namespace scenarios: create it again, or stop this process.",
        ),
        (
            RPCStatusCode.PERMISSION_DENIED,
            "The Temporal server no longer grants access to the namespace scenarios: check "
            "TEMPORAL_API_KEY or the client certificate.",
        ),
        (RPCStatusCode.RESOURCE_EXHAUSTED, None),
        (RPCStatusCode.UNAVAILABLE, None),
    ],
)
async def test_what_the_server_says_is_believed_at_once(
    namespace: NamespaceCheck, temporal: Temporal, status: RPCStatusCode, sentence: str | None
) -> None:
    await namespace.check()
    temporal.says = status
    assert await trouble(namespace) == sentence
    temporal.says = None
    assert await trouble(namespace) is None
    # The server was there all the time, and only had too much to do.
    assert temporal.verified == (1 if status is RPCStatusCode.RESOURCE_EXHAUSTED else 2)


async def test_a_server_may_be_away_for_as_long_as_its_restart_takes(
    namespace: NamespaceCheck, temporal: Temporal, clock: Clock
) -> None:
    await namespace.check()
    temporal.says = RPCStatusCode.UNAVAILABLE
    said: list[Any] = []
    for clock.now in (1.0, AWAY - 1, AWAY, AWAY + 60):
        said.append(await trouble(namespace))
    stopped = "The Temporal server of the namespace scenarios does not answer (UNAVAILABLE): check that it is running."
    assert said == [None, None, stopped, stopped]
    temporal.says = RPCStatusCode.RESOURCE_EXHAUSTED  # it is there
    assert await trouble(namespace) is None
    temporal.says = RPCStatusCode.UNAVAILABLE
    assert await trouble(namespace) is None


async def test_a_process_that_may_poll_and_not_ask_is_well(namespace: NamespaceCheck, temporal: Temporal, clock: Clock):
    temporal.says = RPCStatusCode.PERMISSION_DENIED
    clock.now = AWAY * 2
    assert [await trouble(namespace) for _ in range(3)] == [None] * 3


ME = "worker 7@host"


class TemporalPolls(Temporal):
    identity = ME

    def __init__(self, *pollers: str, polled_at: float = 0.0) -> None:
        super().__init__()
        self.pollers, self.polled_at = pollers, polled_at
        self.asked: list[tuple[str, int]] = []

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: object) -> DescribeTaskQueueResponse:
        self.asked.append((request.task_queue.name, request.task_queue_type))
        found = DescribeTaskQueueResponse(pollers=[PollerInfo(identity=one) for one in self.pollers])
        for poller in found.pollers:
            poller.last_access_time.FromMicroseconds(round((self.polled_at if poller.identity == ME else 1e9) * 1e6))
        return found


@pytest.fixture
def polled() -> TemporalPolls:
    return TemporalPolls(ME)


@pytest.fixture
def polls(polled: TemporalPolls) -> PollerCheck:
    return PollerCheck(cast("Client", polled), ["journeys", "email"], "journeys")


async def test_it_asks_about_one_queue_at_a_time(polled: TemporalPolls, polls: PollerCheck):
    assert [await trouble(polls) for _ in range(3)] == [None] * 3
    assert polled.asked == [("journeys", 1), ("email", 2), ("journeys", 1)]


async def test_a_queue_without_its_poll_is_trouble_the_second_time_and_until_it_polls_again(
    polled: TemporalPolls, polls: PollerCheck
):
    polled.pollers = ("worker 8@host",)
    sentence = (
        "The Temporal server receives no polls from this worker on the queue 'journeys': check the network between "
        "them, or restart this worker."
    )
    assert [await trouble(polls) for _ in range(4)] == [None, None, sentence, sentence]
    polled.pollers = ("worker 8@host", ME)
    assert [await trouble(polls) for _ in range(3)] == [sentence.replace("journeys", "email"), None, None]


@pytest.mark.parametrize(
    ("ahead", "certain"), [(0.0, 0.0), (4.0, 0.0), (3600.0, 3596.0), (-3600.0, -3599.0)], ids=lambda one: f"{one:g}"
)
async def test_the_times_of_polls_tell_how_this_machines_clock_differs(ahead: float, certain: float):
    """A poll that is new was made since the look before; one that is old says nothing, however old it is."""
    temporal, clock = TemporalPolls("another", ME, polled_at=10_000.0), Clock()
    polls = PollerCheck(cast("Client", temporal), ["email"], "journeys", wall_clock=clock)
    for clock.now in (10_001.0 + ahead, 10_006.0 + ahead, 10_306.0 + ahead):
        await polls.check()
        assert polls.clock_offset is None
    temporal.polled_at = 10_310.0
    clock.now = 10_311.0 + ahead
    await polls.check()
    assert polls.clock_offset == pytest.approx(certain)


async def test_a_queue_that_is_paused_is_neither_asked_about_nor_trouble():
    temporal, polled = TemporalPolls("worker 8@host"), {"journeys": True, "email": False}
    polls = PollerCheck(cast("Client", temporal), ["journeys", "email"], "journeys", is_polled=polled.__getitem__)
    temporal.pollers = (ME,)
    assert [await trouble(polls) for _ in range(3)] == [None] * 3
    assert [queue for queue, _ in temporal.asked] == ["journeys"] * 3


async def test_a_poll_missed_before_a_pause_does_not_count_after_it():
    temporal, polled = TemporalPolls("worker 8@host"), {"email": True}
    polls = PollerCheck(cast("Client", temporal), ["email"], "journeys", is_polled=polled.__getitem__)
    assert await trouble(polls) is None
    polled["email"] = False
    assert await trouble(polls) is None
    polled["email"] = True
    assert await trouble(polls) is None


async def test_an_offset_is_unknown_while_no_queue_is_polled():
    temporal, wall, polled = TemporalPolls(ME, polled_at=10_000.0), Clock(), {"email": True}
    polls = PollerCheck(cast("Client", temporal), ["email"], "journeys", wall_clock=wall, is_polled=polled.__getitem__)
    for now in (10_001.0, 10_060.0):
        wall.now = now + 2_700.0
        await polls.check()
        temporal.polled_at = now + 30.0
    assert polls.clock_offset == pytest.approx(2_671.0 - 1.0)
    polled["email"] = False
    await polls.check()
    assert polls.clock_offset is None
