"""The rates at which campaigns without journeys send, and the rest for journeys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from activities.webhook.destinations.destinations import Destinations
from runtime.store.campaigns import StoredCampaign

SHARED: Final = 0.8
"""Share of a destination's rate that campaigns have together at most. Journeys have the rest."""


def campaign_rates(campaigns: Iterable[StoredCampaign], book: Destinations, now: datetime) -> dict[str, float]:
    """Return the lines a second of each campaign that sends now, by name. A destination's rate is divided equally."""
    sending = _sending(campaigns, now)
    numbers = Counter(one.destination for one in sending)
    return {
        one.name: min(one.rate, SHARED * book.rates.get(one.destination, book.rate) / numbers[one.destination])
        for one in sending
    }


def left_by(campaigns: Iterable[StoredCampaign], book: Destinations, now: datetime) -> dict[str, float]:
    """Return the deliveries a second of journeys, for destinations that differ from the default."""
    sending, left = _sending(campaigns, now), dict(book.rates)
    for name, rate in campaign_rates(sending, book, now).items():
        destination = next(one.destination for one in sending if one.name == name)
        left[destination] = left.get(destination, book.rate) - rate
    return left


def _sending(campaigns: Iterable[StoredCampaign], now: datetime) -> list[StoredCampaign]:
    return [
        one
        for one in campaigns
        if one.destination
        and one.loaded_at
        and one.confirmed_at
        and not one.paused_by
        and (one.starts_at is None or one.starts_at <= now)
    ]
