"""Filters of dates: parsing, calculation, and formatting in the journey's time zone and a language.

``'now'`` and ``'today'`` are the variables of these names, not the machine's clock. They are fixed when a message may
leave, so that every attempt of a delivery sends the same bytes.

Python's ``strftime`` takes names from the process's locale and unknown directives from the C library. The one here
supports Ruby's directives and flags, which Shopify's Liquid documents, takes names from babel, and has the same results
on every machine.
"""

from __future__ import annotations

import datetime as dt
import re
from calendar import isleap
from collections.abc import Callable
from typing import Any, Final

from babel import Locale
from babel.dates import format_date, format_datetime
from liquid import RenderContext
from liquid.filter import with_context
from liquid.undefined import is_undefined

from scenario.dates import from_timestamp, is_day, parse_date
from scenario.errors import DateError, DurationError
from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import BoundReached
from scenario.liquid.engine.values import describe_type, to_text
from scenario.liquid.filters.numbers import find_locale
from scenario.time import parse_duration, read_zone, shift
from scenario.type_guards import is_mapping

_DIRECTIVE: Final = re.compile(r"%([-0^#_]*)(\d{0,2})(:{0,2}[A-Za-z%+])")
_ENGLISH: Final = Locale("en")

_COMPOSED: Final = {
    "c": "%a %b %e %H:%M:%S %Y",
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "T": "%H:%M:%S",
    "v": "%e-%^b-%Y",
    "X": "%H:%M:%S",
    "x": "%m/%d/%y",
    "+": "%a %b %e %H:%M:%S %Z %Y",
}

_NUMBERS: Final[dict[str, tuple[int, str, Callable[[dt.datetime], int]]]] = {
    # directive: width, padding, value
    "C": (2, "0", lambda at: at.year // 100),
    "d": (2, "0", lambda at: at.day),
    "e": (2, " ", lambda at: at.day),
    "G": (4, "0", lambda at: at.isocalendar().year),
    "g": (2, "0", lambda at: at.isocalendar().year % 100),
    "H": (2, "0", lambda at: at.hour),
    "I": (2, "0", lambda at: at.hour % 12 or 12),
    "j": (3, "0", lambda at: at.timetuple().tm_yday),
    "k": (2, " ", lambda at: at.hour),
    "L": (3, "0", lambda at: at.microsecond // 1000),
    "l": (2, " ", lambda at: at.hour % 12 or 12),
    "M": (2, "0", lambda at: at.minute),
    "m": (2, "0", lambda at: at.month),
    "N": (9, "0", lambda at: at.microsecond * 1000),
    "S": (2, "0", lambda at: at.second),
    "s": (1, "0", lambda at: int(_aware(at).timestamp())),
    "U": (2, "0", lambda at: (at.timetuple().tm_yday + 6 - (at.weekday() + 1) % 7) // 7),
    "u": (1, "0", lambda at: at.isoweekday()),
    "V": (2, "0", lambda at: at.isocalendar().week),
    "W": (2, "0", lambda at: (at.timetuple().tm_yday + 6 - at.weekday()) // 7),
    "w": (1, "0", lambda at: at.isoweekday() % 7),
    "Y": (4, "0", lambda at: at.year),
    "y": (2, "0", lambda at: at.year % 100),
}


def strftime(at: dt.datetime, pattern: str, locale: Locale | None = None) -> str:
    """Format a date by directives.

    Args:
        at: The date. Without a zone it counts as UTC.
        pattern: Text with directives such as ``%d/%m/%Y``. Flags: ``-`` no padding, ``_`` spaces, ``0`` zeros, ``^``
            upper case, ``#`` opposite case.
        locale: The language of the names of days and months. The default is English.
    """
    names = locale or _ENGLISH

    def written(found: re.Match[str]) -> str:
        flags, width, directive = found.groups()
        return _format_directive(at, names, flags, int(width or 0), directive)

    return _DIRECTIVE.sub(written, pattern)


def _format_directive(at: dt.datetime, names: Locale, flags: str, width: int, directive: str) -> str:
    if directive in _NUMBERS:
        usual, padding, value = _NUMBERS[directive]
        if directive in ("L", "N"):  # here the width is a number of digits
            return f"{at.microsecond * 1000:09d}".ljust(width, "0")[: width or usual]
        padding = "0" if "0" in flags else " " if "_" in flags else padding
        return str(value(at)) if "-" in flags else str(value(at)).rjust(width or usual, padding)
    text = strftime(at, _COMPOSED[directive], names) if directive in _COMPOSED else _format_name(at, names, directive)
    if "^" in flags:
        text = text.upper()
    elif "#" in flags:
        text = text.lower() if directive in ("p", "Z") else text.upper()
    return text.rjust(width, "0" if "0" in flags else " ")


def _format_name(at: dt.datetime, names: Locale, directive: str) -> str:
    match directive:
        case "%":
            return "%"
        case "n":
            return "\n"
        case "t":
            return "\t"
        case "A" | "a":
            return _get_name(names.days["format"]["wide" if directive == "A" else "abbreviated"], at.weekday())
        case "B" | "b" | "h":
            return _get_name(names.months["format"]["wide" if directive == "B" else "abbreviated"], at.month)
        case "p":
            return "AM" if at.hour < 12 else "PM"
        case "P":
            return "am" if at.hour < 12 else "pm"
        case "q":
            return "th" if at.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(at.day % 10, "th")
        case "z" | ":z":
            return _format_offset(at, ":" if directive == ":z" else "")
        case "Z":
            return _aware(at).tzname() or ""
        case _:
            raise FilterValueError(f"'date' has no directive '%{directive}'")


def _get_name(table: Any, key: int) -> str:
    return str(table[key])


def _aware(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def _format_offset(at: dt.datetime, between: str) -> str:
    offset = _aware(at).utcoffset() or dt.timedelta()
    sign = "-" if offset < dt.timedelta() else "+"
    hours, minutes = divmod(abs(offset) // dt.timedelta(minutes=1), 60)
    return f"{sign}{hours:02d}{between}{minutes:02d}"


_LONGEST_FORMAT: Final = 256
_STYLES: Final = ("short", "medium", "long", "full")
_CLOCK_WORDS: Final = ("now", "today")


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
        value: A date, a text that `parse_date` reads, seconds since 1970, or ``'now'``.
        format_: Directives such as ``%d/%m/%Y``, or one of the styles ``short``, ``medium``, ``long`` and ``full``,
            followed by ``time`` to include the time (``long time``).
        zone: The zone in which to show an instant, such as ``Europe/Paris`` or ``+02:00``. The default is
            `journey.timezone`. Dates and times without an offset are not converted.
        language: The language of names and order, such as ``fr`` or ``contact.language``. The default is English.

    Returns: The text, or an empty text if there is no value. A text that is not a date is returned unchanged, as in
        Shopify's Liquid; one that may be several dates is an error.
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
        try:
            return parse_date(value)
        except DateError as error:
            raise FilterValueError(f"'{name}': {error}") from None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return from_timestamp(value)
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
        return is_day(value, at)
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
    now = _read_date(name, "now", context) if context is not None else dt.datetime(2000, 1, 1)  # noqa: DTZ001
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
