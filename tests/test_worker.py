"""What the worker process makes of `destinations.yaml`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import SecretStr

from activities.signatures import QUEUES
from activities.webhook.destinations import Destinations
from activities.webhook.pacing import pacing
from activities.webhook.route import Direct, Diverted
from runtime.errors import SettingsError
from runtime.settings import Settings
from worker import drain_of, services, workers

TEXT = "default: {rate: 50/s}\ndestinations: {wax: {url: https://wax.example, rate: 10/s}}\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "destinations.yaml"
    file.write_text(TEXT)
    return Settings(store=SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"), destinations=file)


async def test_it_sends_to_the_destinations_of_the_file(settings: Settings):
    async with services(settings) as opened:
        assert isinstance(opened.routes, Direct)
        assert opened.destinations.names == ("wax",)
        assert opened.routes.named("wax").url == "https://wax.example"


async def test_it_does_not_start_with_a_bad_file_and_says_where_it_is_bad(settings: Settings):
    assert settings.destinations is not None
    settings.destinations.write_text("destinations:\n  wax: {url: https://wax.example, rate: 10}\n")
    with pytest.raises(SettingsError) as caught:
        async with services(settings):
            pass
    assert str(caught.value) == (
        f"{settings.destinations}:2: a rate is a number of deliveries and a unit: write 10/s, 600/m or 100/h"
    )


async def test_a_trial_run_does_not_look_at_the_file(settings: Settings):
    assert settings.destinations is not None
    settings.destinations.write_text("nonsense")
    async with services(settings, routes=Diverted("http://127.0.0.1:4000")) as opened:
        assert opened.destinations.names == ()


@pytest.mark.parametrize(
    ("timeouts", "seconds"), [([], 20), ([None, 1.0], 20), ([15.0], 20), ([16.0, None], 21), ([15.0, 300.0, 60.0], 305)]
)
async def test_the_webhooks_under_way_have_the_longest_time_out_of_a_destination_to_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, timeouts: list[float | None], seconds: int
):
    given: dict[str, timedelta] = {}

    def made(_client: Any, *, task_queue: str, graceful_shutdown_timeout: timedelta, **_: Any) -> None:
        given[task_queue] = graceful_shutdown_timeout

    monkeypatch.setattr("worker.Worker", made)
    entries = [f"  d{n}: {{url: https://a.example{f', timeout: {t:g}s' if t else ''}}}" for n, t in enumerate(timeouts)]
    assert settings.destinations is not None
    settings.destinations.write_text("\n".join(["destinations:", *entries]) if entries else "destinations: {}")
    client: Any = None
    async with services(settings) as opened:
        workers(client, opened)
        assert drain_of(opened.destinations.book) == timedelta(seconds=seconds)
    assert given == {name: timedelta(seconds=seconds if name == "webhooks" else 20) for name in QUEUES}


class Keeper:
    """A stand-in for the rate keeper: it keeps what it was told."""

    told: tuple[float, Mapping[str, float]] | None = None
    asked = asyncio.Event()

    def __init__(self, client: object) -> None:
        pass

    async def keep(self, wanted: Callable[[], tuple[float, Mapping[str, float]]]) -> NoReturn:
        while True:
            Keeper.told = wanted()
            Keeper.asked.set()
            await asyncio.sleep(0.01)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> type[Keeper]:
    Keeper.told, Keeper.asked = None, asyncio.Event()
    monkeypatch.setattr("activities.webhook.pacing.RateKeeper", Keeper)
    return Keeper


async def test_the_server_s_rates_follow_the_file(settings: Settings, keeper: type[Keeper]):
    assert settings.destinations is not None
    client: Any = None
    destinations = Destinations(settings.destinations, every=0)
    async with pacing(client, destinations):
        await keeper.asked.wait()
        assert keeper.told == (50.0, {"wax": 10.0})
        settings.destinations.write_text(TEXT.replace("10/s", "300/m").replace("50/s", "20/s"))
        async with asyncio.timeout(5):
            while keeper.told != (20.0, {"wax": 5.0}):
                await asyncio.sleep(0.01)


async def test_without_a_file_the_server_s_rates_are_left_alone(keeper: type[Keeper]):
    client: Any = None
    async with pacing(client, Destinations()):
        await asyncio.sleep(0.05)
    assert keeper.told is None
