"""The journeys' stage, and a client of it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from temporalio.client import Client

from gateway.client import ScenarioClient
from runtime.store import Store
from tests.workflows.conftest import Stage, deserted, environment, pytest_runtest_makereport, stage, stop_server

__all__ = ["deserted", "environment", "pytest_runtest_makereport", "stage"]


@pytest.fixture
def right_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let events be reported later than journeys were admitted by the server's clock, which is some minutes fast."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return super().now(tz) + timedelta(hours=1)

    stop_server()
    monkeypatch.setattr("gateway.service.events.datetime", Later)


@pytest.fixture
async def client(deserted: Stage, monkeypatch: pytest.MonkeyPatch) -> ScenarioClient:
    """A client of the stage's server and store. Waiting for a result skips no time, unlike with the stage's own.

    The server does not say whether tasks wait for a worker, so each event is preceded by a search.
    """
    monkeypatch.setattr("gateway.service.events.APART", 0.0)
    stages = deserted.client
    temporal = await Client.connect(
        stages.service_client.config.target_host, namespace=stages.namespace, data_converter=stages.data_converter
    )
    return ScenarioClient(temporal, deserted.store, "Europe/Paris")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store, for tests without a server."""
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened
