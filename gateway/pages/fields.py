"""Parses form fields: numbers, rates, moments. Each error is one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.api.problem import Problem
from gateway.operations.batch import RATE
from scenario.errors import DurationError
from scenario.time.duration import parse_duration

RATES: Final = (0.01, 1000.0)
"""Minimum and maximum operations per second."""
_MOST: Final = 1_000_000


def rate_in(given: Mapping[str, Any]) -> float:
    """Return the rate per second in the field ``rate``.

    Raises:
        Problem: It is not a number in the range.
    """
    text = str(given.get("rate", "")).strip() or str(RATE)
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    low, high = RATES
    if not low <= rate <= high:
        raise Problem("invalid", f"the rate is a number of journeys a second, from {low:g} to {high:g}")
    return rate


def most_in(given: Mapping[str, Any]) -> int | None:
    """Return the maximum number in the field ``most``, or None if it is empty.

    Raises:
        Problem: It is not a valid number.
    """
    text = str(given.get("most", "")).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= _MOST):
        raise Problem("invalid", "how many at most is a number from 1")
    return int(text)


def since_in(text: str | None) -> datetime | None:
    """Return a moment: a duration ago (``2h``), or an ISO 8601 date and time, in UTC by default.

    Raises:
        Problem: It is neither.
    """
    if text is None:
        return None
    try:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return datetime.now(UTC) - abs(parse_duration(text))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (DurationError, OverflowError):
        raise Problem("invalid", "'since' is neither a time nor a duration: write 2026-03-31T10:00 or 2h") from None


def seconds_in(given: Mapping[str, Any], name: str) -> float | None:
    """Return the seconds of a duration field, such as ``30s`` or ``3d``, or None if it is empty.

    Raises:
        Problem: It is not a duration.
    """
    text = str(given.get(name, "")).strip()
    if not text:
        return None
    try:
        return parse_duration(text).total_seconds()
    except (DurationError, OverflowError):
        what = name.replace("_", " ")
        raise Problem("invalid", f"the {what} is a duration: write 30s, 15m, 2h or 3d") from None


def number_in(given: Mapping[str, Any], name: str) -> float | None:
    """Return the number of a field, or None if it is empty.

    Raises:
        Problem: It is not a number.
    """
    text = str(given.get(name, "")).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Problem("invalid", f"the {name.replace('_', ' ')} is a number")
    return number
