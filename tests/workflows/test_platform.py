"""The platform is told of suppressions: each once, for as long as it takes, and by an address that nobody can read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.background import TELL, TELL_WORKFLOW, PlatformReply, SuppressionNotice
from activities.channel_registry import WEBHOOK, webhook_queue
from activities.interface import JOURNEYS
from activities.suppressions import PlatformNotifier, address_seal
from activities.webhook.destinations.destinations import Destination, Destinations, SuppressionReports
from scenario.policies.suppression import Suppression
from tests.workflows.conftest import failure_of
from workflows.background import TellPlatform

SEAL = address_seal([b"k" * 32])
ADDRESS = "zoe@example.com"
BOUNCE = Suppression("email", "ab" * 32, "bounce", datetime(2026, 11, 26, tzinfo=UTC))
BOOK = Destinations(
    {
        "splio": Destination(
            "splio", "https://a.example", suppressions=SuppressionReports("splio", frozenset({"bounce"}))
        ),
        "wax": Destination("wax", "https://b.example"),
    }
)


@dataclass
class Platform:
    """Takes no news at first."""

    deaf: int = 0
    heard: list[tuple[str, SuppressionNotice]] = field(default_factory=list[tuple[str, SuppressionNotice]])
    some: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name=TELL.name)
    async def tell(self, news: SuppressionNotice) -> PlatformReply:
        if self.deaf:
            self.deaf -= 1
            raise ApplicationError("splio answered 503")
        self.heard.append((activity.info().workflow_id or "", news))
        self.some.set()
        return PlatformReply(outcome="told", status=200)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def client(environment: WorkflowEnvironment, platform: Platform) -> AsyncIterator[Client]:
    async with (
        Worker(
            environment.client,
            task_queue=JOURNEYS,
            workflows=[TellPlatform],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
        Worker(environment.client, task_queue=WEBHOOK.queue, activities=[platform.tell]),
        Worker(environment.client, task_queue=webhook_queue("splio", 2), activities=[platform.tell]),
    ):
        yield environment.client


async def test_each_suppression_is_told_once(client: Client, platform: Platform) -> None:
    tell = PlatformNotifier(client, SEAL, lambda: BOOK, shards=2)
    for suppression in (BOUNCE, BOUNCE, Suppression("email", "ab" * 32, "stop", BOUNCE.suppressed_at)):
        await tell(suppression, ADDRESS)
    async with asyncio.timeout(60):
        await platform.some.wait()
    identifier, news = platform.heard[0]
    assert identifier.startswith("suppression/splio/")
    handle = client.get_workflow_handle(identifier, result_type=PlatformReply)
    assert await handle.result() == PlatformReply(outcome="told", status=200)
    await tell(BOUNCE, ADDRESS)  # it bounces again, weeks later
    assert len(platform.heard) == 1
    assert (news.destination, news.channel, news.source) == ("splio", "email", "bounce")
    assert SEAL.open_fields(news.address) == [ADDRESS]
    assert ADDRESS not in str((await handle.fetch_history()).to_json_dict())


async def test_it_is_told_for_days(client: Client, platform: Platform) -> None:
    platform.deaf = 40
    news = SuppressionNotice(destination="splio", channel="email", address=SEAL.seal_fields([ADDRESS]), source="bounce")
    handle = await client.start_workflow(TELL_WORKFLOW, news, id="x", task_queue=JOURNEYS, result_type=PlatformReply)
    assert (await handle.result()).outcome == "told"
    described = await handle.describe()
    assert described.close_time is not None
    assert described.close_time - described.start_time > timedelta(hours=24)


async def test_an_argument_that_is_none_fails_at_once(client: Client) -> None:
    arguments: list[Any] = [None, "x", {"destination": "splio"}, [1]]
    for argument in arguments:
        result = client.execute_workflow(TELL_WORKFLOW, argument, id=f"x{argument}", task_queue=JOURNEYS)
        assert (argument, (await failure_of(result))[0]) == (argument, "NotNews")
