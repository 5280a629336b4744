"""When waits end, by a clock that does not wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from scenario import liquid, plan
from scenario.errors import EntryError
from scenario.timing import LAST, next_local, parse_moment, shift


def wait_end(row: plan.Wait, now: datetime, zone: tzinfo, data: Mapping[str, Any]) -> datetime:
    """When a wait ends, which may be in the past.

    Args:
        row: The wait.
        now: When it begins, in UTC.
        zone: The contact's.
        data: What its date's template sees.

    Raises:
        TemplateError: The date cannot be worked out.
        EntryError: It is missing, or no date.
    """
    if row.seconds is not None:
        return later(now, row.seconds)
    if row.clock is not None:
        try:
            return next_local(now, row.clock, row.days, zone)
        except OverflowError:
            return LAST
    value = liquid.evaluate_value(row.date or "", data)
    moment = parse_moment(str(value), zone) if value is not None else None
    if moment is None:
        raise EntryError("the date to wait for is missing")
    return shift(moment, timedelta(seconds=row.offset), zone)


def later(moment: datetime, seconds: float) -> datetime:
    """So many seconds later, but not after the end of time: platforms write 9999-12-31 for "never"."""
    try:
        return min(moment + timedelta(seconds=seconds), LAST)
    except OverflowError:
        return LAST
