"""Campaigns share a destination's rate with each other, and leave a part of it to journeys."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.webhook.destinations.destinations import Destinations
from activities.webhook.server_rates import campaign_rates, left_by
from runtime.store.campaigns import StoredCampaign
from tests.factories import stored_campaign

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
