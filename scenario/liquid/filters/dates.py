"""Filters of dates: parsing, calculation, and formatting in the journey's time zone and a language.

``'now'`` and ``'today'`` are the variables of these names, not the machine's clock. They are fixed when a message may
leave, so that every attempt of a delivery sends the same bytes.
"""

from __future__ import annotations

import datetime as dt
from calendar import isleap
from functools import lru_cache
from typing import Final

from babel.dates import format_date, format_datetime
from dateutil import parser as dateutil
from liquid import RenderContext
from liquid.filter import with_context
from liquid.undefined import is_undefined

from scenario.errors import DurationError
from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import BoundReached
from scenario.liquid.engine.values import describe_type, to_text
from scenario.liquid.filters.numbers import find_locale
from scenario.liquid.filters.strftime import strftime
from scenario.time import parse_duration, read_zone, shift
from scenario.type_guards import is_mapping

_LONGEST_DATE: Final = 64
_LONGEST_FORMAT: Final = 256
_LAST_SECOND: Final = 10**11
_STYLES: Final = ("short", "medium", "long", "full")
_CLOCK_WORDS: Final = ("now", "today")


class _DateParserInfo(dateutil.parserinfo):
    """A reader of two-digit years that does not depend on today (POSIX: 69 to 99 are in the 1900s)."""

    def convertyear(self, year: int, century_specified: bool = False) -> int:
        if year >= 100 or century_specified:
            return year
        return year + (1900 if year >= 69 else 2000)


# Source of the fields that a text omits, instead of today.
_START: Final = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - dates without a zone stay without
_dateutil: Final = dateutil.parser(_DateParserInfo())


def _zone_of_text(name: str | None, seconds: int | None) -> dt.tzinfo | None:
    """Return the zone in a date's text. Abbreviations other than UTC would depend on the machine's zone."""
    if seconds is not None:
        return dt.timezone(dt.timedelta(seconds=seconds))
    return dt.UTC if name in ("UTC", "GMT", "Z") else None


def parse_date(text: str) -> dt.datetime | None:
    """Return the date in a text, or None. Accepts ISO 8601, seconds since 1970, and English dates."""
    text = text.strip()
    return _parse_cached(text) if len(text) <= _LONGEST_DATE else None


@lru_cache(maxsize=4096)
def _parse_cached(text: str) -> dt.datetime | None:
    if text.isascii() and text.isdigit():
        is_day = len(text) == len("20240131")
        return (_parse_iso(text) if is_day else None) or _from_seconds(int(text))
    return _parse_iso(text) or _parse_english(text)


def _parse_iso(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def _parse_english(text: str) -> dt.datetime | None:
    try:
        return _dateutil.parse(text, default=_START, tzinfos=_zone_of_text)
    except (ValueError, OverflowError, AttributeError, TypeError):
        # dateutil raises the last two for some malformed texts.
        return None


def _from_seconds(seconds: int) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(seconds, dt.UTC) if abs(seconds) < _LAST_SECOND else None


def _find_journey_zone(context: RenderContext | None) -> dt.tzinfo | None:
    """Return the zone in the data's `journey.timezone`. A template's own variable of this name has no effect."""
    journey = context.globals.get("journey") if context else None  # the linter evaluates constants without a context
    name = journey.get("timezone") if is_mapping(journey) else None
    return None if name is None else read_zone(name)


def _read_clock(context: RenderContext, word: str) -> object:
    for name in (word, "now"):
        found = context.resolve(name, default=None)
        if found is not None and not is_undefined(found):
            return found
    raise FilterValueError(f"'{word}' has no value here")


@with_context
def date(
    value: object, format_: object, zone: object = None, language: object = None, *, context: RenderContext
) -> str:
    """Format a date.

    Args:
        value: A date, ISO 8601 text, seconds since 1970, or ``'now'``.
        format_: Directives such as ``%d/%m/%Y``, or one of the styles ``short``, ``medium``, ``long`` and ``full``,
            followed by ``time`` to include the time (``long time``).
        zone: The zone in which to show an instant, such as ``Europe/Paris`` or ``+02:00``. The default is
            `journey.timezone`. Dates and times without an offset are not converted.
        language: The language of names and order, such as ``fr`` or ``contact.language``. The default is English.

    Returns: The text, or an empty text if there is no value. A text that is not a date is returned unchanged, as in
        Shopify's Liquid.
    """
    if value is None or is_undefined(value) or value == "":
        return ""
    pattern = to_text(format_)
    if not pattern:
        return to_text(value)
    if isinstance(value, str) and value in _CLOCK_WORDS:
        value = _read_clock(context, value)
    at = _to_datetime(value, "date")
    if at is None:
        return to_text(value)
    if zone is None or is_undefined(zone) or zone == "":
        shown_in = _find_journey_zone(context)
    elif (shown_in := read_zone(to_text(zone))) is None:
        raise FilterValueError("'date' takes a time zone such as 'Europe/Paris'")
    if shown_in is not None:
        at = _convert_zone(shown_in, at)
    if len(pattern) > _LONGEST_FORMAT:
        raise BoundReached(f"'date' takes a format of up to {_LONGEST_FORMAT} characters")
    names = None if language is None or is_undefined(language) else find_locale(to_text(language))
    style, _, with_time = pattern.partition(" ")
    if style in _STYLES and with_time in ("", "time"):
        write = format_datetime if with_time else format_date
        return write(at, style, locale=names or find_locale("en"))
    return strftime(at, pattern, names)


def is_literal_format(pattern: str) -> bool:
    """Return True if a format has no directive and is not a style, so that it prints itself."""
    style, _, with_time = pattern.partition(" ")
    return bool(pattern) and "%" not in pattern and not (style in _STYLES and with_time in ("", "time"))


def _convert_zone(zone: dt.tzinfo, at: dt.datetime) -> dt.datetime:
    """Return an instant in a zone. A date or time without an offset keeps its digits."""
    if at.tzinfo is None:
        return at.replace(tzinfo=zone)
    try:
        return at.astimezone(zone)
    except OverflowError:
        # 9999-12-31T23:59:59Z, a common value for "never", does not exist in Tokyo's time.
        return at


def _to_datetime(value: object, name: str) -> dt.datetime | None:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time())
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _from_seconds(value)
    raise FilterValueError(f"'{name}' cannot make a date of {describe_type(value)}")


def _read_date(name: str, value: object, context: RenderContext | None) -> dt.datetime | None:
    """Return the date for a filter's calculation, or None if there is no value. Instants are in the journey's zone."""
    if value is None or is_undefined(value) or value == "":
        return None
    if isinstance(value, str) and value in _CLOCK_WORDS and context is not None:
        value = _read_clock(context, value)
    at = _to_datetime(value, name)
    if at is None:
        raise FilterValueError(f"'{name}' needs a date, such as 2026-12-24 or 2026-12-24T09:00:00+01:00")
    zone = _find_journey_zone(context)
    return at if zone is None or at.tzinfo is None else _convert_zone(zone, at)


def _is_day(value: object, at: dt.datetime) -> bool:
    """Return True for a date without a time of day."""
    if isinstance(value, str):
        return at.tzinfo is None and at.time() == dt.time() and ":" not in value
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)


def _shift(name: str, value: object, length: object, sign: int, context: RenderContext | None) -> str | None:
    try:
        by = sign * parse_duration(to_text(length))
    except DurationError:
        raise FilterValueError(f"'{name}' takes a length of time such as '3d', '2h' or '1w2d'") from None
    at = _read_date(name, value, context)
    if at is None:
        return None
    is_day = _is_day(value, at) and by % dt.timedelta(days=1) == dt.timedelta()
    try:
        moved = at + by if at.tzinfo is None else shift(at, by, at.tzinfo).astimezone(at.tzinfo)
    except OverflowError:
        raise FilterValueError(f"'{name}' leads beyond the calendar") from None
    return moved.date().isoformat() if is_day else moved.isoformat()


@with_context
def add(value: object, length: object, *, context: RenderContext) -> str | None:
    """Return a later date. Whole days are calendar days, so the time of day stays. Nil stays nil."""
    return _shift("add", value, length, 1, context)


@with_context
def subtract(value: object, length: object, *, context: RenderContext) -> str | None:
    """Return an earlier date. See `add`."""
    return _shift("subtract", value, length, -1, context)


def _read_today(name: str, context: RenderContext | None) -> dt.date:
    now = _read_date(name, "now", context) if context is not None else _START
    assert now is not None  # noqa: S101 - a clock word that has no value is an error
    return now.date()


@with_context
def days_until(value: object, *, context: RenderContext) -> int | None:
    """Count the calendar days from today until a date: 0 for today, negative for the past, nil for nil."""
    at = _read_date("days_until", value, context)
    return None if at is None else (at.date() - _read_today("days_until", context)).days


@with_context
def next_anniversary(value: object, *, context: RenderContext) -> str | None:
    """Return the next day, or today, with the month and day of a date. 29 February becomes the 28th if necessary."""
    at = _read_date("next_anniversary", value, context)
    if at is None:
        return None
    today = _read_today("next_anniversary", context)
    is_leap_day = (at.month, at.day) == (2, 29)
    days = (
        dt.date(year, at.month, 28 if is_leap_day and not isleap(year) else at.day)
        for year in (today.year, today.year + 1)
    )
    return next(day for day in days if day >= today).isoformat()


FILTERS: Final = by_name(add, date, days_until, next_anniversary, subtract)
