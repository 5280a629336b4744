"""When a wait ends: local times, dates and offsets, right through changes of the clock.

Everything here is a pure function of its arguments. Local times that a change of the clock skips or repeats are read
as RFC 5545 §3.3.5 says: a skipped time is taken with the offset from before the change (02:30 on the night that skips
02:00 to 03:00 is 03:30), and a repeated one means its first occurrence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from scenario.errors import EntryError

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
# Two days from the ends of the calendar: every zone can show these.
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 29, tzinfo=UTC)
"""The end of time: what lies beyond it has no date."""
_NO_DATE: Final = re.compile(r"|null|0|0000-00-00.*|0001-01-01(?:[T ]00:00.*)?", re.DOTALL)
"""How platforms write "no date": MySQL's zero date and .NET's least one among them."""


_OFFSET: Final = re.compile(r"Z|(?:UTC|GMT)? ?([-+\u2212])(\d{1,2})(?::?([0-5]\d))?", re.ASCII | re.IGNORECASE)
_FARTHEST: Final = timedelta(hours=14)
_NO_ZONES: Final = re.compile("localtime|posixrules|Factory|(?:right|posix)/.*", re.DOTALL)
"""Names of files that a machine may have beside the zones: its own zone, none at all, and copies, the ones of ``right``
with leap seconds, 27 seconds late. A name means the same everywhere."""
_LONGEST_NAME: Final = 64
"""Characters of a zone's name: no longer ones are kept in memory."""


def read_zone(name: object) -> tzinfo | None:
    """A time zone, by its IANA name or by its offset from UTC: ``+02:00``, ``UTC+2``, ``GMT-3``, ``Z``.

    East of Greenwich is plus, as people write it; in the IANA's own names, ``Etc/GMT-2``, it is minus.

    Returns:
        The zone, whose text is a name that can be read again; None where it is neither.
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
    """The first of the names that is a time zone; UTC where none is.

    A contact's zone is data that somebody typed once: a wrong one must not stop a journey.
    """
    return next(filter(None, map(read_zone, names)), ZoneInfo("UTC"))


def unplaced(own: object, scenario: str) -> str:
    """Why a contact's own zone is not used, and what is; empty where it is used, or where the contact has none.

    Args:
        own: The contact's.
        scenario: The scenario's, which is used instead.
    """
    if own is None or own == "" or read_zone(own) is not None:
        return ""
    return (
        "it is neither the name of a time zone, such as Europe/Paris, nor an offset, such as +02:00: "
        f"the scenario's is used, {scenario}"
    )


def at_local(day: date, clock: time, zone: tzinfo) -> datetime:
    """The instant (UTC) at which clocks in `zone` show `clock` on `day`; see the module's rule for changes."""
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)


def next_local(now: datetime, clock: str, days: Sequence[str], zone: tzinfo) -> datetime:
    """The next time that clocks in `zone` show `clock` on one of `days`.

    Args:
        now: Aware; a time that is just now counts.
        clock: ``HH:MM``.
        days: Some of `WEEKDAYS`; empty means every day.
        zone: The contact's.

    Returns:
        An instant in UTC, not before `now`.
    """
    wanted = time.fromisoformat(clock)
    today = now.astimezone(zone).date()
    # A week and a day ahead there is always one: today's may be past, and the same weekday comes again.
    for ahead in range(9):
        day = today + ahead * _DAY
        if days and WEEKDAYS[day.weekday()] not in days:
            continue
        if (moment := at_local(day, wanted, zone)) >= now:
            return moment
    raise AssertionError("unreachable: every weekday comes within a week")


def parse_moment(text: str, zone: tzinfo) -> datetime | None:
    """Reads a date or a date and time as platforms write them.

    Args:
        text: ISO 8601, with ``T`` or a blank, with or without offset; a date alone is its midnight; ``""``, ``0``,
            ``0000-00-00 …`` and ``0001-01-01`` are "no date"; nine to eleven digits are seconds since 1970, twelve or
            thirteen milliseconds.
        zone: Of a text that carries none.

    Returns:
        An aware time in `zone` or with the text's own offset, or None for "no date".

    Raises:
        EntryError: The text is not a date.
    """
    text = text.strip()
    if _NO_DATE.fullmatch(text):
        return None
    if text.isascii() and text.isdigit() and 9 <= len(text) <= 13:
        return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise EntryError("a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00") from error
    if moment.tzinfo is not None:
        return moment
    # By way of UTC, so that a local time that does not exist becomes one that does.
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    except OverflowError:  # 9999-12-31 23:59 in America: "never" to many a platform
        return moment.replace(tzinfo=UTC)


def later(moment: datetime, seconds: float) -> datetime:
    """So many seconds later, but not after the end of time: platforms write 9999-12-31 for "never"."""
    try:
        return min(moment + timedelta(seconds=seconds), LAST)
    except OverflowError:
        return LAST


def shift(moment: datetime, offset: timedelta, zone: tzinfo) -> datetime:
    """Moves a moment by an offset whose whole days are days of the calendar in `zone`.

    Three days before Monday 09:00 is Friday 09:00, also where a change of the clock lies between.

    Returns:
        An instant in UTC; near the ends of the calendar (the years 1 and 9999) these.
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
    """A moment as people read it: ``Tue 2026-03-03 10:00 Europe/Paris`` (seconds only where there are some)."""
    local = moment.astimezone(zone)
    clock = local.strftime("%H:%M:%S") if local.second else local.strftime("%H:%M")
    return f"{WEEKDAYS[local.weekday()].capitalize()} {local:%Y-%m-%d} {clock} {zone}"
