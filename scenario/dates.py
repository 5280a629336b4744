"""The one reader of dates in texts, for waits, filters, comparisons and the platform's objects.

A date is read only if it has one meaning. All functions are pure, so that a replay reads what the journey read.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Final, Literal

from scenario.errors import DateError

DateOrder = Literal["dmy", "mdy"]
"""The order of the numbers in a date with slashes or hyphens."""


_LONGEST: Final = 64
_LAST_SECOND: Final = 10**11
_LAST_MILLISECOND: Final = 10**13
_NUMBERS: Final = re.compile(r"(?<!\d)(?<!\d[./-])(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?!\d|[./-]\d)", re.ASCII)
_WRITTEN_OUT: Final = re.compile(r"\s*\d{1,2}([/-])\d{1,2}\1\d{4}(?![\d/-])", re.ASCII)
_MONTH: Final = re.compile(r"(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(?<![-+\d:])\d{1,2}:\d\d|(?<=T)\d\d:\d\d", re.ASCII)


def parse_date(text: str, order: DateOrder | None = None) -> dt.datetime | None:
    """Return the date in a text, or None if it has none. A time of day, or a day without its year, is no date.

    Accepts ISO 8601, ``29.03.2026`` (always with the day first), ``2026/03/29``, dates with slashes or hyphens,
    English dates such as ``March 29, 2026``, and seconds (9 to 11 digits) or milliseconds (12 or 13) since 1970.

    Args:
        text: The text.
        order: The order of dates with slashes or hyphens. Without it, they are read if only one order is possible.

    Raises:
        DateError: The day or the month may stand first, or the year has two digits.
    """
    text = text.strip()
    return _parse(text, order) if len(text) <= _LONGEST else None


def needs_order(text: str) -> bool:
    """Return True if a text begins with a date with slashes or hyphens that ends with its year."""
    return len(text) <= _LONGEST and _WRITTEN_OUT.match(text) is not None


def is_day(text: str, at: dt.datetime) -> bool:
    """Return True if a text has a date without a time of day, given what `parse_date` returned for it."""
    return at.tzinfo is None and at.time() == dt.time() and ":" not in text


def from_timestamp(number: int) -> dt.datetime | None:
    """Return the moment of a number of seconds since 1970, or of milliseconds if it has 12 or 13 digits."""
    if abs(number) < _LAST_SECOND:
        return dt.datetime.fromtimestamp(number, dt.UTC)
    return dt.datetime.fromtimestamp(number / 1000, dt.UTC) if 0 < number < _LAST_MILLISECOND else None


@lru_cache(maxsize=4096)
def _parse(text: str, order: DateOrder | None) -> dt.datetime | None:
    if text.isascii() and text.isdigit() and len(text) != len("20240131"):
        return from_timestamp(int(text)) if len(text) >= 9 else None
    if (found := _parse_iso(text)) is not None:
        return found
    numbers = _NUMBERS.search(text)
    if numbers is None:
        return _parse_words(text) if _MONTH.search(text) else None
    day = _read_day(numbers, order)
    if day is None:
        return None
    text = f"{text[: numbers.start()]}{day}{text[numbers.end() :]}"
    return _parse_iso(text) or _parse_words(text)


def _read_day(found: re.Match[str], order: DateOrder | None) -> str | None:
    """Return a day of three numbers as ISO 8601, or None if the calendar has no such day."""
    first, separator, second, third = found.groups()
    if len(first) == 4:
        year, month, day = first, second, third
    elif len(third) == 4:
        year, day, month = third, first, second
        if separator != "." and (order == "mdy" or (order is None and _is_american(int(first), int(second)))):
            day, month = month, day
    elif len(first) < 3 and len(third) < 3:
        raise DateError("a date has a year of two digits")
    else:
        return None
    try:
        return dt.date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _is_american(first: int, second: int) -> bool:
    """Return True if only the second number can be the day."""
    if first != second and max(first, second) <= 12:
        raise DateError("a date may begin with its day or its month (04/03 is 4 March or 3 April)")
    return second > 12


def _parse_iso(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def _parse_words(text: str) -> dt.datetime | None:
    """Return an English date, or a day in ISO 8601 with a time in another form."""
    from scenario.english_dates import parse_english  # slow to load, and rarely needed

    return None if len(_CLOCK.findall(text)) > 1 else parse_english(text)
