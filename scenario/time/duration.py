"""Durations: ``90s``, ``15m``, ``2h``, ``3d``, ``2w``, ``1h30m``, or ISO 8601 (``P3DT12H``)."""

from __future__ import annotations

import re
from datetime import timedelta

from scenario.errors import DurationError

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
    """Return a duration.

    Args:
        text: ``90s 15m 2h 3d 2w``, combined (``1h30m``), or ISO 8601 weeks, days, hours, minutes and seconds; a leading
            ``-`` or ``+`` makes it an offset.

    Returns:
        The exact length; a day is 24 hours. `scenario.time.timing` handles calendar days.

    Raises:
        DurationError: The text is malformed or longer than `LONGEST`.
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
