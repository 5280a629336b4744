import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    UpdateTaskQueueConfigRequest,
    UpdateTaskQueueConfigResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.interface import fairness_key
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.server_rates import MOST, RateKeeper, campaign_rates, left_by
from runtime.store.campaigns import StoredCampaign
from tests.factories import stored_campaign


class Server:
    def __init__(self) -> None:
        self.config = TaskQueueConfig()
        self.writes: list[UpdateTaskQueueConfigRequest] = []
        self.fail: Exception | None = None
        self.wrote = asyncio.Event()

    @property
    def client(self) -> Client:
        return cast("Client", SimpleNamespace(namespace="shop", identity="worker 1", workflow_service=self))

    @property
    def weights(self) -> dict[str, float]:
        return {key: round(weight, 4) for key, weight in self.config.fairness_weight_overrides.items()}

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, **_: Any) -> DescribeTaskQueueResponse:
        assert (request.namespace, request.task_queue.name, request.report_config) == ("shop", "webhooks", True)
        return DescribeTaskQueueResponse(config=self.config)

    async def update_task_queue_config(
        self, request: UpdateTaskQueueConfigRequest, **_: Any
    ) -> UpdateTaskQueueConfigResponse:
        if self.fail:
            self.fail, failure = None, self.fail
            raise failure
        assert not set(request.set_fairness_weight_overrides) & set(request.unset_fairness_weight_overrides)
        self.writes.append(request)
        if request.HasField("update_fairness_key_rate_limit_default"):
            self.config.fairness_keys_rate_limit_default.rate_limit.CopyFrom(
                request.update_fairness_key_rate_limit_default.rate_limit
            )
        for key, weight in request.set_fairness_weight_overrides.items():
            self.config.fairness_weight_overrides[key] = weight
        for key in request.unset_fairness_weight_overrides:
            del self.config.fairness_weight_overrides[key]
        self.wrote.set()
        return UpdateTaskQueueConfigResponse(config=self.config)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_default_rate_is_scaled_by_weights(server: Server):
    long = "a" + "é" * 40
    keeper = RateKeeper(server.client)
    assert await keeper.apply(100, {"wax": 10, "push": 250, "same": 100, long: 10})
    assert server.config.fairness_keys_rate_limit_default.rate_limit.requests_per_second == 100
    assert server.weights == {"wax": 0.1, "push": 2.5, fairness_key(long): 0.1}  # as journeys schedule deliveries
    await keeper.apply(50, {"wax": 10})
    assert server.weights == {"wax": 0.2}


async def test_nothing_is_written_where_all_is_as_it_should_be(server: Server):
    rates: dict[str, float] = {"wax": 1 / 3, "push": 7}
    keeper = RateKeeper(server.client)
    await keeper.apply(100, rates)
    await keeper.apply(100, dict(rates))
    await RateKeeper(server.client).apply(100, rates)  # another worker; weights came back as 32-bit floats
    assert len(server.writes) == 1


async def test_what_is_gone_is_unset_and_only_changes_are_written(server: Server):
    keeper = RateKeeper(server.client)
    await keeper.apply(100, {"wax": 10, "push": 20, "pull": 30})
    await keeper.apply(100, {"wax": 10, "push": 40})
    last = server.writes[-1]
    assert dict(last.set_fairness_weight_overrides) == {"push": pytest.approx(0.4)}
    assert list(last.unset_fairness_weight_overrides) == ["pull"]
    assert not last.HasField("update_fairness_key_rate_limit_default")


async def test_what_an_operator_sets_by_hand_stays_until_the_destinations_change(server: Server):
    keeper = RateKeeper(server.client)
    await keeper.apply(100, {"wax": 10})
    server.config.fairness_weight_overrides["hooks.example.com"] = 0.01
    await keeper.apply(100, {"wax": 10})
    assert "hooks.example.com" in server.weights
    await keeper.apply(100, {"wax": 11})
    assert "hooks.example.com" not in server.weights


async def test_a_rate_that_the_server_cannot_keep_is_told(server: Server, caplog: pytest.LogCaptureFixture):
    keeper = RateKeeper(server.client)
    for _ in range(2):
        await keeper.apply(100, {"slow": 0.01, "wax": 10, "torrent": 1_000_000})
    assert server.weights == {"slow": 0.001, "wax": 0.1, "torrent": 1000}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "slow, torrent" in warnings[0]


async def test_an_old_server_is_told_once_and_asked_again_rarely(server: Server, caplog: pytest.LogCaptureFixture):
    now = 0.0
    keeper = RateKeeper(server.client, clock=lambda: now)
    for moment in (0.0, 600.0):
        now = moment
        server.fail = RPCError("unknown method", RPCStatusCode.UNIMPLEMENTED, b"")
        assert not await keeper.apply(100, {"wax": 10})
        assert server.fail is None
        now = moment + 599.0
        assert not await keeper.apply(100, {"wax": 20})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not server.writes
    now += 600.0  # it was upgraded meanwhile
    assert await keeper.apply(100, {"wax": 20})
    assert await keeper.apply(100, {"wax": 30})
    assert server.weights == {"wax": 0.3}


@pytest.mark.parametrize(
    ("default", "rates"),
    [(0, {}), (-1, {}), (float("nan"), {}), (100, {"wax": 0}), (100, {f"d{n}": 1.0 for n in range(MOST + 1)})],
)
async def test_rates_that_make_no_sense_are_refused(server: Server, default: float, rates: dict[str, float]):
    with pytest.raises(ValueError):
        await RateKeeper(server.client).apply(default, rates)


async def test_it_keeps_up_with_changes_and_gets_over_trouble(server: Server, caplog: pytest.LogCaptureFixture):
    wanted: list[Any] = [100.0, {"wax": 10.0}]
    server.fail = RPCError("try later", RPCStatusCode.UNAVAILABLE, b"")

    async def asked() -> Any:
        return wanted[0], wanted[1]

    task = asyncio.create_task(RateKeeper(server.client).keep(asked, every=0.001))
    async with asyncio.timeout(60):
        await server.wrote.wait()
        assert server.weights == {"wax": 0.1}
        server.wrote.clear()
        wanted[1] = {"wax": -1.0}
        while "must be more than 0" not in caplog.text:
            await asyncio.sleep(0.001)
        server.fail = RuntimeError("nobody foresaw it")
        wanted[1] = {"wax": 20.0}
        await server.wrote.wait()
    assert server.weights == {"wax": 0.2}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 3
    assert "UNAVAILABLE" in warnings[0]
    assert "'wax' must be more than 0" in warnings[1]
    assert "(RuntimeError)" in warnings[2]


NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def campaign(name: str, destination: str, rate: float, *, paused: str | None = None, hours: int = 0) -> StoredCampaign:
    times = {"loaded_at": NOW, "confirmed_at": NOW, "starts_at": NOW + timedelta(hours=hours)}
    return stored_campaign(name, rate=rate, paused_by=paused, destination=destination, **times)


@pytest.mark.parametrize(
    ("campaigns", "rates", "left"),
    [
        ([campaign("a", "wax", 200.0)], {"a": 80.0}, {"wax": 20.0}),
        ([campaign("a", "wax", 10.0)], {"a": 10.0}, {"wax": 90.0}),
        ([campaign("a", "wax", 200.0), campaign("b", "wax", 10.0)], {"a": 40.0, "b": 10.0}, {"wax": 50.0}),
        ([campaign("a", "wax", 200.0), campaign("b", "wax", 200.0, paused="ann")], {"a": 80.0}, {"wax": 20.0}),
        ([campaign("a", "wax", 200.0, hours=1), campaign("b", "", 200.0)], {}, {}),
    ],
)
def test_a_destination_s_rate_is_divided(
    campaigns: list[StoredCampaign], rates: dict[str, float], left: dict[str, float]
) -> None:
    book = Destinations(rate=100.0)
    assert campaign_rates(campaigns, book, NOW) == pytest.approx(rates)
    assert left_by(campaigns, book, NOW) == pytest.approx(left)
