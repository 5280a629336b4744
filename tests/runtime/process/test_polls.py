"""What Temporal says of a worker's polls, and when that is trouble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)
from temporalio.client import Client

from runtime.errors import ConnectionFailed
from runtime.process.polls import Polls
from tests.fakes import Clock

ME = "worker 7@host"


@dataclass
class Temporal:
    """Answers with who polls."""

    says: Sequence[str] = (ME,)
    identity: str = ME
    namespace: str = "scenarios"
    polled_at: float = 0.0
    asked: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    @property
    def workflow_service(self) -> Temporal:
        return self

    async def describe_namespace(self, *_: object, **__: object) -> DescribeNamespaceResponse:
        return DescribeNamespaceResponse()

    async def count_workflows(self, *_: object, **__: object) -> None: ...

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: object) -> DescribeTaskQueueResponse:
        self.asked.append((request.task_queue.name, request.task_queue_type))
        pollers = [PollerInfo(identity=one) for one in self.says]
        for poller in pollers:
            poller.last_access_time.FromMicroseconds(round((self.polled_at if poller.identity == ME else 1e9) * 1e6))
        return DescribeTaskQueueResponse(pollers=pollers)


@dataclass
class Worker:
    task_queue: str


@dataclass
class Place:
    temporal: Temporal
    polls: Polls
    workers: list[Worker]

    async def trouble(self) -> str | None:
        try:
            await self.polls.check()
        except ConnectionFailed as error:
            return str(error)
        return None


@pytest.fixture
def place() -> Place:
    temporal, workers = Temporal(), [Worker("journeys"), Worker("email")]
    return Place(temporal, Polls(cast("Client", temporal), workers, "journeys"), workers)


async def test_it_asks_about_one_queue_at_a_time(place: Place):
    assert [await place.trouble() for _ in range(3)] == [None] * 3
    assert place.temporal.asked == [("journeys", 1), ("email", 2), ("journeys", 1)]


async def test_a_queue_without_its_poll_is_trouble_the_second_time_and_until_it_polls_again(place: Place):
    place.temporal.says = ["worker 8@host"]
    sentence = (
        "The Temporal server sees nothing of this worker on the queue 'journeys': look at what is between them, or "
        "restart this worker."
    )
    assert [await place.trouble() for _ in range(4)] == [None, None, sentence, sentence]
    place.temporal.says = ["worker 8@host", ME]
    assert [await place.trouble() for _ in range(3)] == [sentence.replace("journeys", "email"), None, None]


@pytest.mark.parametrize(
    ("ahead", "certain"), [(0.0, 0.0), (4.0, 0.0), (3600.0, 3596.0), (-3600.0, -3599.0)], ids=lambda one: f"{one:g}"
)
async def test_the_times_of_polls_tell_how_this_machines_clock_differs(ahead: float, certain: float):
    """A poll that is new was made since the look before; one that is old says nothing, however old it is."""
    temporal, clock = Temporal(says=("another", ME), polled_at=10_000.0), Clock()
    polls = Polls(cast("Client", temporal), [Worker("email")], "journeys", wall_clock=clock)
    for clock.now in (10_001.0 + ahead, 10_006.0 + ahead, 10_306.0 + ahead):
        await polls.check()
        assert polls.clock_offset is None
    temporal.polled_at = 10_310.0
    clock.now = 10_311.0 + ahead
    await polls.check()
    assert polls.clock_offset is not None
    assert polls.clock_offset.certain == pytest.approx(certain)
