"""Retention of the store's rows, as set by SCENARIO_RETENTION and the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from scenario.errors import DurationError
from scenario.time import LONGEST, format_duration, parse_duration

Ages = Mapping[str, timedelta]
"""Retention by kind. Other kinds are kept for ever, unless they have a natural end (`NATURAL`)."""

LEAST: Final[Ages] = {
    "deliveries": timedelta(days=1),
    "responses": timedelta(days=1),
    "entries": timedelta(days=1),
    "claims": timedelta(days=32),
    "passages": timedelta(days=2),
    "operations": timedelta(days=1),
    "events": timedelta(days=1),
}
"""The kinds that may be set, and their minimum: caps look back 31 days by a contact's calendar, statistics a day."""

NATURAL: Final[Ages] = {
    "claims": timedelta(days=92),
    "soft_bounces": timedelta(days=30),
    "provider_events": timedelta(days=9),
    "non_members": timedelta(days=92),
    "answers": timedelta(hours=24),
    "events": timedelta(days=30),
}
"""Default retention of rows that become useless.

No cap looks back further than 31 days; a delivery that is retried for longer than its claim is kept claims another
slot. Soft bounces count within a week, and so do events from providers. Answers to requests with an
``Idempotency-Key`` are kept for a day. Members that a platform refused stay for people to see, and removed
ones because additions that were decided earlier may be held that long. Outgoing events are sent
within days.
"""

_YEARS: Final = re.compile(r"(\d{1,2})y", re.ASCII)
_YEAR: Final = timedelta(days=365)


class RetentionError(ValueError):
    """A retention cannot be used."""


def parse_age(what: str, text: str) -> timedelta:
    """Parse a duration of the scenario language, or years of 365 days (``2y``)."""
    years = _YEARS.fullmatch(text.strip())
    try:
        age = int(years[1]) * _YEAR if years else parse_duration(text)
    except DurationError:
        age = timedelta(0)
    if not LEAST[what] <= age <= LONGEST:
        least = format_duration(LEAST[what])
        raise RetentionError(f"'{text[:40]}' is not an age of {what}: from {least} to 10y, such as 90d, 26w or 2y")
    return age


def parse_ages(text: str) -> dict[str, timedelta]:
    """Parse a text such as ``deliveries=180d,responses=30d,entries=2y``."""
    ages: dict[str, timedelta] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        what, _, age = (word.strip() for word in part.partition("="))
        if what not in LEAST or what in ages:
            raise RetentionError(f"'{part[:40]}' is not one of {', '.join(LEAST)}, each once, with its age: entries=2y")
        ages[what] = parse_age(what, age)
    if not ages:
        raise RetentionError("give retention periods: deliveries=180d,responses=30d,entries=2y")
    return ages


def format_ages(ages: Ages) -> str:
    """Format ages as `parse_ages` reads them, in a fixed order."""
    return ",".join(f"{what}={format_duration(ages[what])}" for what in LEAST if what in ages)
