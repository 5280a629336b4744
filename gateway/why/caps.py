"""A contact's current places under caps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

from gateway.service.view import View
from scenario.policies.caps import Cap, Counted, full
from scenario.time.duration import format_duration


class CapPlaces(View):
    """A contact's current places under a cap."""

    cap: str
    """Name of the cap."""
    taken: int
    """Places taken."""
    at_most: int
    """Maximum number of places."""
    per: str
    """Period: `day`, `7d`."""
    free_at: datetime | None
    """Time at which the next place is free; null if one is free now."""


def places(caps: Iterable[Cap], claims: Sequence[Counted], now: datetime, zone: tzinfo) -> list[CapPlaces]:
    """Return a contact's places under each cap.

    Args:
        caps: All caps.
        claims: The contact's claims within their periods.
        now: With a zone.
        zone: The contact's zone.
    """
    found: list[CapPlaces] = []
    for cap in caps:
        since, none = cap.since(now, zone), full([cap], claims, now, zone)
        taken = sum(cap.applies_to(one.channel, one.destination) and one.claimed_at >= since for one in claims)
        per = cap.per if isinstance(cap.per, str) else format_duration(cap.per)
        found.append(CapPlaces(cap=cap.name, taken=taken, at_most=cap.at_most, per=per, free_at=none and none.free))
    return found
