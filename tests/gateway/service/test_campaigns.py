"""Campaigns and their receivers: how long a campaign takes, and why it waits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from activities.background import BLAST
from gateway.campaigns.survey import Survey
from gateway.client import Services
from gateway.service.caller import TERMINAL
from gateway.service.operations import trouble_of
from runtime.encryption.codec import contact_of
from runtime.store import Store
from tests.factories import NOW, stored_campaign

NOTHING: dict[str, Any] = {"columns": (), "unknown_columns": (), "invalid": 0, "invalid_lines": (), "duplicates": 0}
SURVEY = Survey(form="CSV", digest="", lines=800, entries=800, **NOTHING)
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


@pytest.mark.parametrize(("rate", "share"), [(50.0, 8.0), (5.0, 5.0)])
async def test_an_estimate_counts_with_the_share_of_the_destinations_rate(
    store: Store, tmp_path: Path, rate: float, share: float
):
    destinations = tmp_path / "destinations.yaml"
    destinations.write_text("destinations: {crm: {url: 'https://crm.example.com', rate: 10/s}}")
    blast: dict[str, Any] = {"gear": "blast", "destination": "crm", "survey": SURVEY.model_dump(mode="json")}
    await store.add_campaign(stored_campaign(rate=rate, ended_at=NOW, **blast))
    services = Services(cast("Any", SimpleNamespace(namespace="default")), store, destinations=destinations)
    estimate = (await services.campaigns.show(TERMINAL, "sale")).estimate
    assert estimate is not None
    assert (estimate.rate, estimate.seconds) == (share, 800 / share)


@pytest.mark.parametrize(
    ("beaten", "details", "trouble"),
    [
        (5, ["crm has failed too often"], "its receiver takes no messages for the moment: crm has failed too often"),
        (5, [], None),
        (60, ["crm has failed too often"], None),
    ],
)
async def test_a_campaign_says_why_it_waits_for_its_receiver(beaten: float, details: list[str], trouble: str | None):
    activity = PendingActivityInfo(state=STARTED, attempt=1)
    activity.activity_type.name = BLAST
    activity.last_heartbeat_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=beaten))
    activity.heartbeat_details.payloads.extend(await DataConverter.default.encode(details))
    described = DescribeWorkflowExecutionResponse(pending_activities=[activity])
    describe = AsyncMock(return_value=SimpleNamespace(raw_description=described))
    handle = Mock(return_value=Mock(describe=describe))
    temporal = Mock(data_converter=DataConverter.default, get_workflow_handle=handle)
    assert await trouble_of(temporal, "campaign:sale", "campaign") == trouble


async def test_a_campaign_is_no_journey_of_a_contact_that_has_its_name(store: Store):
    """Otherwise the contact's key encrypts it, and an erasure destroys that key."""
    describe = AsyncMock(side_effect=RPCError("none", RPCStatusCode.UNAVAILABLE, b""))
    handle = Mock(return_value=Mock(describe=describe))
    await store.add_campaign(stored_campaign())
    services = Services(Mock(namespace="default", get_workflow_handle=handle), store)
    with pytest.raises(RPCError):
        await services.campaigns.show(TERMINAL, "sale")
    assert [contact_of(call.args[0]) for call in handle.call_args_list] == [None]
