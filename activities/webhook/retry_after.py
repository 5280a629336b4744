"""``Retry-After``: when the receiver would like to hear from us again (RFC 9110 §10.2.3).

Seconds, or one of the three forms of an HTTP-date (RFC 9110 §5.6.7). Anything else is ignored: the standard library's
readers take too much (`int` reads ``１２０`` and ``1_000``; `email.utils` reads dates that HTTP does not know).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

MAX_SECONDS: Final = 366 * 24 * 3600
"""No receiver means more than a year; a larger value is cut to it, so that adding it to a date cannot overflow."""

_SECONDS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS: Final = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_LAST_SECOND: Final = 59
_SHORT_YEAR: Final = 2
_FAR: Final = timedelta(days=50 * 365.25)


def parse(value: str | None, now: datetime) -> int | None:
    """How many seconds the receiver asks us to wait.

    Args:
        value: The header's value, or None where there is none.
        now: The present, with a zone.

    Returns:
        Whole seconds, 0 for a date in the past, at most `MAX_SECONDS`; None where there is no value or no sense in it.
    """
    text = (value or "").strip(" \t")
    if _SECONDS.fullmatch(text):
        return min(int(text), MAX_SECONDS)
    moment = _date(text, now)
    if moment is None:
        return None
    return min(max(0, math.ceil((moment - now).total_seconds())), MAX_SECONDS)


def _date(text: str, now: datetime) -> datetime | None:
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    year = int(found["year"])
    short = len(found["year"]) == _SHORT_YEAR
    if short:
        year += now.astimezone(UTC).year // 100 * 100
    try:
        moment = datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"]), _LAST_SECOND),  # a leap second, which datetime does not know
            tzinfo=UTC,
        )
        # A two-digit year that seems more than 50 years ahead is the one a century before.
        return moment.replace(year=year - 100) if short and moment - now > _FAR else moment
    except ValueError:
        return None
