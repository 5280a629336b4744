"""``strftime`` with the same results on every machine.

Python's ``strftime`` takes names from the process's locale and unknown directives from the C library. This one supports
Ruby's directives and flags, which Shopify's Liquid documents, and takes names from babel.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Final

from babel import Locale

from scenario.liquid.engine.instrument import FilterValueError

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
            return _ordinal_suffix(at.day)
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


def _ordinal_suffix(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
