"""Durations (``90s``, ``1h30m``, ISO 8601 ``P3DT12H``), and ends of waits: local times, dates and offsets.

All functions are pure. Local times at a clock change follow RFC 5545 §3.3.5: a skipped time uses the offset from before
the change (02:30 is 03:30 when 02:00 to 03:00 is skipped), and a repeated time means its first occurrence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from scenario.dates import DateOrder, parse_date
from scenario.errors import DurationError, EntryError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHORT = re.compile(r"(?P<sign>[-+]?)(?P<parts>(?:\d{1,9}(?:\.\d{1,3})?[smhdw]\s*)+)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?) ?/ ?([smh])", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
# ISO 8601 without years and months: their length depends on the date they are added to.
_ISO = re.compile(
    r"(?P<sign>[-+]?)P(?=\d|T\d)(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,3})?)S)?)?",
    re.ASCII,
)
LONGEST = timedelta(days=3660)
"""Ten years. A longer wait is a mistake."""


def parse_duration(text: str) -> timedelta:
    """Return the exact length of a duration; a day is 24 hours. `shift` handles calendar days.

    The text is ``90s 15m 2h 3d 2w``, combined (``1h30m``), or ISO 8601 weeks, days, hours, minutes and seconds; a
    leading ``-`` or ``+`` makes it an offset. Raise DurationError if it is malformed or longer than `LONGEST`.
    """
    text = text.strip()
    if found := _SHORT.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(found["parts"]))
    elif found := _ISO.fullmatch(text):
        seconds = sum(float(found[unit] or 0) * length for unit, length in _UNITS.items())
    else:
        raise DurationError(f"'{text[:40]}' is not a duration: write 90s, 15m, 2h, 3d, 2w or ISO 8601 such as P3DT12H")
    if seconds > LONGEST.total_seconds():
        raise DurationError(f"'{text[:40]}' is longer than ten years")
    return timedelta(seconds=-seconds if found["sign"] == "-" else seconds)


def per_second(rate: str) -> float:
    """Return the number per second of a rate (``10/s``, ``600/m``, ``100/h``), or 0 if it is malformed."""
    found = _RATE.fullmatch(rate)
    return float(found[1]) / _UNITS[found[2]] if found else 0.0


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads (``2d``, ``1h30m``, ``0s``)."""
    seconds = duration.total_seconds()
    sign, rest = ("-" if seconds < 0 else ""), abs(seconds)
    parts: list[str] = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{int(count)}{unit}")
    if rest or not parts:
        parts.append(f"{rest:.3f}".rstrip("0").rstrip(".") + "s")
    return sign + "".join(parts)


WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
# Two days from the ends of the calendar: every zone can show these.
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 29, tzinfo=UTC)
ENTRY_YEARS: Final = (1970, 9000)
"""The years of entries in previews and cases. Every moment that a scenario can wait for from there is a valid date."""
_NO_DATE: Final = re.compile(r"|null|0|0000-00-00.*|0001-01-01(?:[T ]00:00.*)?", re.DOTALL)
"""How platforms write a missing date, such as MySQL's zero date and .NET's minimum."""


_OFFSET: Final = re.compile(r"Z|(?:UTC|GMT)? ?([-+\u2212])(\d{1,2})(?::?([0-5]\d))?", re.ASCII | re.IGNORECASE)
_FARTHEST: Final = timedelta(hours=14)
_NO_ZONES: Final = re.compile("localtime|posixrules|Factory|(?:right|posix)/.*", re.DOTALL)
"""Files beside the zones of a machine: its own zone, none, and copies; ``right`` includes leap seconds.

A name must mean the same everywhere.
"""
_LONGEST_NAME: Final = 64
"""Maximum length of a zone's name. Longer ones are not cached."""


def read_zone(name: object) -> tzinfo | None:
    """Return a time zone by its IANA name or offset (``+02:00``, ``UTC+2``, ``GMT-3``, ``Z``), or None.

    Plus is east of Greenwich. In IANA's own names, ``Etc/GMT-2``, minus is east.
    """
    text = name.strip() if isinstance(name, str) else ""
    return _read_zone(text) if len(text) <= _LONGEST_NAME else None


@lru_cache(maxsize=1024)
def _read_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name and not _NO_ZONES.fullmatch(name) else None
    except (ValueError, OSError, KeyError):
        found = _OFFSET.fullmatch(name)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    # Its name is the one that Python gives: UTC+02:00.
    return timezone(offset if sign == "+" else -offset) if offset <= _FARTHEST else None


def zone_of(*names: object) -> tzinfo:
    """Return the first name that is a time zone, else UTC: people type them, and a wrong one must stop no journey."""
    return next(filter(None, map(read_zone, names)), ZoneInfo("UTC"))


def unplaced(own: object, scenario: str) -> str:
    """Return why a contact's own zone is not used, and which one is; empty if it is used or missing."""
    if own is None or own == "" or read_zone(own) is not None:
        return ""
    return (
        "it is neither the name of a time zone, such as Europe/Paris, nor an offset, such as +02:00: "
        f"the scenario's is used, {scenario}"
    )


def at_local(day: date, clock: time, zone: tzinfo) -> datetime:
    """Return the moment (UTC) at which clocks in a zone show a time on a day."""
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)


def next_local(now: datetime, clock: str, days: Sequence[str], zone: tzinfo) -> datetime:
    """Return the next moment (UTC) at which clocks in a zone show ``HH:MM`` on one of some days, by default all.

    The current minute counts: a journey begins a step some milliseconds after the timer that it waited for.
    """
    wanted = time.fromisoformat(clock)
    today = now.astimezone(zone).date()
    # A week and a day ahead there is always one: today's may be past, and the same weekday comes again.
    for ahead in range(9):
        day = today + ahead * _DAY
        if days and WEEKDAYS[day.weekday()] not in days:
            continue
        if (moment := at_local(day, wanted, zone)) + _MINUTE > now:
            return moment
    raise AssertionError("unreachable: every weekday comes within a week")


def parse_moment(text: str, zone: tzinfo, order: DateOrder | None = None) -> datetime | None:
    """Read a date, or a date and time, as platforms write them.

    Args:
        text: A text that `parse_date` reads; a day is its midnight. ``""``, ``0``, ``0000-00-00 …`` and
            ``0001-01-01`` are no date.
        zone: The zone of a text without an offset.
        order: See `parse_date`.

    Returns:
        A time in `zone` or with the text's own offset, or None for no date.

    Raises:
        EntryError: The text is not a date, or has several meanings (DateError).
    """
    text = text.strip()
    if _NO_DATE.fullmatch(text):
        return None
    moment = parse_date(text, order)
    if moment is None:
        raise EntryError("a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00")
    if moment.tzinfo is not None:
        return moment
    # By way of UTC, so that a local time that does not exist becomes one that does.
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    except OverflowError:  # 9999-12-31 23:59 in America: "never" to many a platform
        return moment.replace(tzinfo=UTC)


def later(moment: datetime, seconds: float) -> datetime:
    """Return a moment some seconds later, but not after the last one: platforms write 9999-12-31 for "never"."""
    try:
        return min(moment + timedelta(seconds=seconds), LAST)
    except OverflowError:
        return LAST


def shift(moment: datetime, offset: timedelta, zone: tzinfo) -> datetime:
    """Return a moment (UTC, years 1 to 9999) shifted by an offset whose whole days are calendar days in a zone.

    Three days before Monday 09:00 is Friday 09:00, also across a clock change.
    """
    days, rest = divmod(abs(offset), _DAY)
    sign = -1 if offset < timedelta(0) else 1
    try:
        local = moment.astimezone(zone)
        moved = at_local(local.date() + sign * days * _DAY, local.time(), zone) if days else moment.astimezone(UTC)
        return max(_FIRST, min(moved + sign * rest, LAST))
    except OverflowError:
        return _FIRST if moment.year < LAST.year // 2 else LAST


def spell(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as text: ``Tue 2026-03-03 10:00 Europe/Paris``, with seconds if there are any."""
    local = moment.astimezone(zone)
    clock = local.strftime("%H:%M:%S") if local.second else local.strftime("%H:%M")
    return f"{WEEKDAYS[local.weekday()].capitalize()} {local:%Y-%m-%d} {clock} {zone}"
