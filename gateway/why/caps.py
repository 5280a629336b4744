"""A contact's places under caps, as they are now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from scenario.policies.caps import Cap, Counted, full
from scenario.time.duration import format_duration


@dataclass(frozen=True)
class CapPlaces:
    """A contact's places under a cap, now.

    Attributes:
        cap: Its name.
        taken: How many are taken.
        at_most: How many there are.
        per: For which time: ``day``, ``7d``.
        free_at: When the next one is free; None where one is now.
    """

    cap: str
    taken: int
    at_most: int
    per: str
    free_at: datetime | None


def places(caps: Iterable[Cap], claims: Sequence[Counted], now: datetime, zone: tzinfo) -> tuple[CapPlaces, ...]:
    """A contact's places under each cap.

    Args:
        caps: All there are.
        claims: The contact's, of at least the time that they look back to.
        now: Aware.
        zone: The contact's.
    """
    found: list[CapPlaces] = []
    for cap in caps:
        since, none = cap.since(now, zone), full([cap], claims, now, zone)
        taken = sum(cap.applies_to(one.channel, one.destination) and one.claimed_at >= since for one in claims)
        per = cap.per if isinstance(cap.per, str) else format_duration(cap.per)
        found.append(CapPlaces(cap.name, taken, cap.at_most, per, none and none.free))
    return tuple(found)
