"""The journeys' stage, and a client of it."""

from datetime import datetime, timedelta, tzinfo

import pytest
from temporalio.client import Client

from scenario.entry.values import PlatformDates
from service.client import ScenarioClient
from tests.stage import Stage, stop_server


@pytest.fixture
def right_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let events be reported later than journeys were admitted by the server's clock, which is some minutes fast."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return super().now(tz) + timedelta(hours=1)

    stop_server()
    monkeypatch.setattr("service.events.datetime", Later)


@pytest.fixture
async def client(deserted: Stage, monkeypatch: pytest.MonkeyPatch) -> ScenarioClient:
    """A client of the stage's server and store. Waiting for a result skips no time, unlike with the stage's own.

    The server does not say whether tasks wait for a worker, so each event is preceded by a search.
    """
    monkeypatch.setattr("service.events.APART", 0.0)
    stages = deserted.client
    temporal = await Client.connect(
        stages.service_client.config.target_host, namespace=stages.namespace, data_converter=stages.data_converter
    )
    return ScenarioClient(temporal, deserted.store, PlatformDates("Europe/Paris"))
