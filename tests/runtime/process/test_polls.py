"""What Temporal says of a worker's polls, and when that is trouble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.errors import ConnectionFailed
from runtime.process.polls import AWAY, Polls
from runtime.process.watch import PATIENCE

ME = "worker 7@host"
STOPPED = "The Temporal server of the namespace scenarios does not answer (UNAVAILABLE): check that it is running."


@dataclass
class Temporal:
    """Answers with who polls, or with a status."""

    says: Sequence[str] | RPCStatusCode = (ME,)
    identity: str = ME
    namespace: str = "scenarios"
    asked: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    @property
    def workflow_service(self) -> Temporal:
        return self

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: object) -> DescribeTaskQueueResponse:
        self.asked.append((request.task_queue.name, request.task_queue_type))
        if isinstance(self.says, RPCStatusCode):
            raise RPCError("who knows what is in it", self.says, b"")
        return DescribeTaskQueueResponse(pollers=[PollerInfo(identity=one) for one in self.says])


@dataclass
class Worker:
    task_queue: str


@dataclass
class Place:
    temporal: Temporal
    polls: Polls
    workers: list[Worker]
    now: list[float]

    async def trouble(self) -> str | None:
        try:
            await self.polls.check()
        except ConnectionFailed as error:
            return str(error)
        return None


@pytest.fixture
def place() -> Place:
    temporal, workers, now = Temporal(), [Worker("journeys"), Worker("email")], [0.0]
    return Place(temporal, Polls(cast("Client", temporal), workers, "journeys", lambda: now[0]), workers, now)


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
    ("status", "sentence"),
    [
        (
            RPCStatusCode.NOT_FOUND,
            "The Temporal server has no namespace scenarios any more: create it again, or stop this worker.",
        ),
        (
            RPCStatusCode.PERMISSION_DENIED,
            "The Temporal server does not let this worker into the namespace scenarios any more: check "
            "TEMPORAL_API_KEY or the client certificate.",
        ),
        (RPCStatusCode.RESOURCE_EXHAUSTED, None),
        (RPCStatusCode.UNAVAILABLE, None),
    ],
)
async def test_what_the_server_says_is_believed_at_once(
    place: Place, status: RPCStatusCode, sentence: str | None, monkeypatch: pytest.MonkeyPatch
):
    registered: list[object] = []

    async def register(client: object, *, patience: float) -> None:
        assert patience < PATIENCE
        registered.append(client)

    monkeypatch.setattr("runtime.search_attributes.ensure", register)
    await place.polls.check()
    place.temporal.says = status
    assert await place.trouble() == sentence
    place.temporal.says = [ME]
    assert [await place.trouble() for _ in range(2)] == [None, None]
    created_again = status is RPCStatusCode.NOT_FOUND
    assert registered == [place.temporal] * created_again, "a namespace that is new knows none of the attributes"


async def test_a_server_may_be_away_for_as_long_as_its_replacement_takes(place: Place):
    await place.polls.check()
    place.temporal.says = RPCStatusCode.UNAVAILABLE
    said: list[Any] = []
    for place.now[0] in (1.0, AWAY - 1, AWAY, AWAY + 60):
        said.append(await place.trouble())
    assert said == [None, None, STOPPED, STOPPED]
    place.temporal.says = RPCStatusCode.RESOURCE_EXHAUSTED  # it is there
    assert await place.trouble() is None
    place.temporal.says = RPCStatusCode.UNAVAILABLE
    assert await place.trouble() is None


async def test_a_worker_that_may_poll_and_not_ask_is_well(place: Place):
    place.temporal.says = RPCStatusCode.PERMISSION_DENIED
    place.now[0] = AWAY * 2
    assert [await place.trouble() for _ in range(3)] == [None] * 3
