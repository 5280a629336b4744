"""The journeys' stage, and a client of it."""

from __future__ import annotations

import pytest
from temporalio.client import Client

from gateway.client import ScenarioClient
from tests.workflows.conftest import Stage, environment, stage

__all__ = ["environment", "stage"]


@pytest.fixture
async def client(stage: Stage) -> ScenarioClient:
    """A client of the stage's server and store. Waiting for a result skips no time, unlike with the stage's own."""
    target = stage.client.service_client.config.target_host
    temporal = await Client.connect(target, data_converter=stage.client.data_converter)
    return ScenarioClient(temporal, stage.store, "Europe/Paris")
