"""English dates, such as ``March 29, 2026`` or ``Thu, 14 Mar 2024 16:49:00 +0100``, read by dateutil."""

from __future__ import annotations

import datetime as dt
from typing import Final

from dateutil import parser as dateutil

from scenario.errors import DateError

# Sources of the fields that a text omits. Its month or year is missing if they lead to different dates.
_DEFAULTS: Final = (dt.datetime(2000, 1, 1), dt.datetime(2001, 2, 1))  # noqa: DTZ001 - a date without a zone


class _ParserInfo(dateutil.parserinfo):
    def convertyear(self, year: int, century_specified: bool = False) -> int:
        if year < 100 and not century_specified:
            raise DateError("a date has a year of two digits")
        return year


_parser: Final = dateutil.parser(_ParserInfo())


def _zone_of_text(name: str | None, seconds: int | None) -> dt.tzinfo | None:
    """Return the zone in a date's text. Abbreviations other than UTC would depend on the machine's zone."""
    if seconds is not None:
        return dt.timezone(dt.timedelta(seconds=seconds))
    return dt.UTC if name in ("UTC", "GMT", "Z") else None


def parse_english(text: str) -> dt.datetime | None:
    """Return the date in a text with the name of a month, or None. A missing day is the first of the month.

    Raises:
        DateError: The year has two digits.
    """
    try:
        first, second = (_parser.parse(text, default=default, tzinfos=_zone_of_text) for default in _DEFAULTS)
    except (ValueError, OverflowError, AttributeError, TypeError):
        # dateutil raises the last two for some malformed texts.
        return None
    return first if first == second else None
