"""Quiet hours, windows and days off.

The contact's clock decides. A skipped time never occurs: a window of 02:00 to 03:00 does not open on that day. A
repeated time covers both occurrences. Days off are weekdays, and public holidays of countries: the `holidays` package,
which takes a quarter of a second to load, is loaded only if one is named.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator
from typing_extensions import override

from scenario.model.parts import Duration, Model, Weekday, read_clock, satisfies
from scenario.source.findings import Flaw, near
from scenario.time import LAST, WEEKDAYS, format_duration

COUNTRY: Final = r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?"
"""A country (ISO 3166-1), or a part of one (ISO 3166-2)."""
_COUNTRY: Final = re.compile(COUNTRY, re.ASCII)
_ADVICE: Final = "write mon to sun, or the code of a country such as FR, or of a part of one such as DE-BY"


def _form(value: str) -> str:
    if value in WEEKDAYS or _COUNTRY.fullmatch(value):
        return value
    raise ValueError(f"'{value[:40]}' is not a day off: {_meant(value)}")


def _meant(value: str) -> str:
    """Return a suggestion for a malformed day off."""
    word = value.strip()
    if (start := word[:3].lower()) in WEEKDAYS:
        return f"did you mean '{start}'?"
    if _COUNTRY.fullmatch(word.upper()):
        return f"did you mean '{word.upper()}'?"
    code = _codes().get(re.sub(r"[^a-z]+", "_", word.lower()))
    return f"did you mean '{code}'?" if code else _ADVICE


DayOff = Annotated[
    str,
    AfterValidator(_form),
    WithJsonSchema({"anyOf": [{"enum": list(WEEKDAYS)}, {"type": "string", "pattern": f"^{COUNTRY}$"}]}),
]
"""A weekday, or the code of a country whose public holidays apply. A check finds unknown countries."""


def unknown_day(day: str) -> str | None:
    """Return why a well-formed day off is unknown, or None."""
    if day in WEEKDAYS:
        return None
    code, _, part = day.partition("-")
    parts = _parts()
    if code not in parts:
        # United Kingdom, GBR and UK are what people write for GB.
        guess = _codes().get(day.lower()) or near(day, parts)
        hint = f"did you mean '{guess}'?" if guess else _ADVICE
        return f"the public holidays of '{day}' are not known: {hint}"
    if part and part not in parts[code]:
        guess = near(part, parts[code])
        hint = f"did you mean '{code}-{guess}'?" if guess else f"write {code} for those of the whole country"
        return f"the public holidays of '{day}' are not known: {hint}"
    return None


@lru_cache(maxsize=512)
def holidays_of(place: str, year: int) -> Mapping[date, str]:
    """Return a year's public holidays of a country, or a part of one, by day, with names; none if it is unknown."""
    from holidays import country_holidays

    code, _, part = place.partition("-")
    try:
        return dict(country_holidays(code, subdiv=part or None, years=year, language="en_US"))
    except NotImplementedError:  # an unknown country or part: the check of the policies has reported it
        return {}


@lru_cache
def _parts() -> Mapping[str, list[str]]:
    """Return the parts of each country with holidays of their own."""
    from holidays import list_supported_countries

    return list_supported_countries(include_aliases=False)


@lru_cache
def _codes() -> Mapping[str, str]:
    """Return the codes of countries by their English names and other codes, in lower case."""
    from holidays.registry import COUNTRIES

    return {word.lower(): codes[1] for name, codes in COUNTRIES.items() for word in (name, *codes)}


AHEAD: Final = timedelta(days=8)
"""Period in which an opening is searched: a week and a day."""
_HORIZON: Final = AHEAD + timedelta(days=2)
"""Period in which the closing of an opening is known."""
_DAY: Final = timedelta(days=1)
_DAY_MINUTES: Final = 24 * 60
MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""The start of a week that represents all others."""
EVERY_DAY: Final = range(7)
"""The days of a week, counted from Monday."""
MIDNIGHT: Final = (
    "messages kept back on a day off leave at 00:00 in the contact's zone, also text messages: "
    "add 'from' and 'to', such as {wanted}"
)


def _end(value: str) -> str:
    return value if value == "24:00" else read_clock(value)


_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d"
"""A time of day as a pattern, for editors."""
Clock = Annotated[
    str, AfterValidator(read_clock), WithJsonSchema({"type": "string", "pattern": f"^{_CLOCK}$", "examples": ["09:00"]})
]
End = Annotated[
    str,
    AfterValidator(_end),
    WithJsonSchema({"type": "string", "pattern": f"^({_CLOCK}|24:00)$", "examples": ["20:00"]}),
]
"""A time of day at which a period ends. Midnight is 24:00 or 00:00."""
Spread = Annotated[Duration, satisfies(lambda value: value <= _DAY, "'spread' is a day at most: write 15m or 2h")]
Days = Annotated[list[Weekday], Field(min_length=1)]


class Hours(Model):
    """Hours on some weekdays in the contact's zone, except days off.

    Attributes:
        on: Weekdays on which the hours begin; they may end on the next day.
    """

    start: Clock | None = Field(default=None, alias="from", description="Start of the hours.")
    end: End | None = Field(
        default=None, alias="to", description="When they end; a time before 'from' is one of the next day."
    )
    on: Days | None = Field(default=None, description="Days on which the hours begin, by default every day.")
    days_off: Annotated[list[DayOff], Field(min_length=1)] | None = Field(
        default=None,
        description="Whole days without messages: days of the week, and public holidays by the country's code.",
    )
    spread: Spread = Field(
        default=timedelta(0), description="Waiting messages are sent over this period after the opening."
    )

    @cached_property
    def minutes(self) -> tuple[int, int]:
        """Start and end in minutes of a day. An end before the start is on the next day."""
        first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (self.start or "00:00", self.end or "24:00"))
        return first, last or _DAY_MINUTES

    @cached_property
    def _days(self) -> frozenset[int]:
        """Weekdays on which the hours begin; Monday is 0."""
        return frozenset(range(7)) if self.on is None else frozenset(map(WEEKDAYS.index, self.on))

    @property
    def weekly(self) -> Self:
        """Return the hours without public holidays: the same in every week."""
        days = [day for day in self.days_off or () if day in WEEKDAYS]
        return self.model_copy(update={"days_off": days or None})

    def cover(self, local: datetime) -> bool:
        """Return True if a time on the contact's clock is within the hours."""
        first, last = self.minutes
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if first < last:
            return first <= minute < last and day in self._days
        return day in self._days if minute >= first else minute < last and (day - 1) % 7 in self._days

    def closed(self, local: datetime) -> str:
        """Return why nothing may be sent at a time on the contact's clock, or an empty text."""
        for day in self.days_off or ():
            if day in WEEKDAYS:
                if WEEKDAYS[local.weekday()] == day:
                    return f"day off ({day.capitalize()})"
            elif name := holidays_of(day, local.year).get(local.date()):
                return f"public holiday ({day}, {name})"
        return ""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.start is not None and self.start == self.end:
            raise ValueError(f"'from' and 'to' are both {self.start}: a whole day is from \"00:00\" to \"24:00\"")
        return self


class QuietHours(Hours):
    """Hours in which nothing is sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["from", "to"]}, {"required": ["days_off"]}],
            "dependentRequired": {"from": ["to"], "to": ["from"], "on": ["from"]},
        }
    )

    channels: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="Channels and destinations, by default all."
    )

    @property
    def words(self) -> str:
        """The hours in words: ``21:00 to 08:00, not on sun, for sms``."""
        parts = [f"{self.start} to {self.end}"] if self.start else []
        parts += [f"beginning on {', '.join(self.on)}"] if self.on else []
        parts += [f"not on {', '.join(self.days_off)}"] if self.days_off else []
        parts += [f"for {', '.join(self.channels)}"] if self.channels else []
        return ", ".join(parts)

    def applies_to(self, channel: str, destination: str | None = None) -> bool:
        """Return True if they apply to a delivery."""
        return self.channels is None or channel in self.channels or destination in self.channels

    @override
    def cover(self, local: datetime) -> bool:
        return self.start is not None and super().cover(local)

    @override
    def closed(self, local: datetime) -> str:
        return super().closed(local) or ("quiet hours" if self.cover(local) else "")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.start is None) != (self.end is None):
            raise ValueError("'from' and 'to' go together")
        if self.start is None and self.days_off is None:
            raise ValueError("quiet hours need 'from' and 'to', or 'days_off', or both")
        if self.start is None and self.on is not None:
            raise ValueError("'on' goes with 'from' and 'to': days on which nothing is sent at all are 'days_off'")
        return self


class Window(Hours):
    """Hours in which a step may send; by default from midnight, to midnight."""

    @override
    def closed(self, local: datetime) -> str:
        return super().closed(local) or ("" if self.cover(local) else "window")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.start is None and self.end is None and self.on is None and self.days_off is None:
            raise ValueError("a window needs 'from' and 'to', 'on' or 'days_off'")
        return self


@dataclass(frozen=True, slots=True)
class Opening:
    """The time at which something may be sent that may not be sent now."""

    moment: datetime | None
    """First time (UTC) at which nothing forbids it; None if there is none within `AHEAD`. Ask again then: a window on
    Mondays may fall on a holiday."""
    since: str
    """What forbids it now, in a few words."""
    spread: timedelta
    """Period over which waiting messages are spread: see `spread_by`. New messages are sent immediately."""


def opening(rules: Sequence[Hours], now: datetime, zone: tzinfo) -> Opening | None:
    """Return when something may be sent in the contact's zone, or None if it may be sent now."""
    since = _closed(rules, now.astimezone(zone))
    if not since:
        return None
    for start, end in stretches(rules, now, zone):
        # Waiting messages must be sent before the next closing.
        return Opening(start, since, min(end - start, max(rule.spread for rule in rules)))
    return Opening(None, since, timedelta(0))


def spread_by(delivery_id: str, spread: timedelta) -> timedelta:
    """Return a delivery's delay after an opening: whole seconds below the spread, always the same for one id."""
    number = int.from_bytes(hashlib.sha256(delivery_id.encode()).digest()[:8])
    return timedelta(seconds=int(spread.total_seconds()) * number >> 64)


def stretches(rules: Sequence[Hours], now: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield the periods up to `AHEAD`, start and end in UTC, in which all rules allow sending in a zone."""
    now = now.astimezone(UTC)
    if now > LAST - _HORIZON:
        return
    begun: datetime | None = None
    for moment in _changes(rules, now, zone):
        is_open = not _closed(rules, moment.astimezone(zone))
        if is_open and begun is None:
            if moment > now + AHEAD:
                return
            begun = moment
        elif not is_open and begun is not None:
            yield begun, moment
            begun = None
    if begun is not None:
        yield begun, now + _HORIZON


def _closed(rules: Sequence[Hours], local: datetime) -> str:
    return next((since for rule in rules if (since := rule.closed(local))), "")


def _changes(rules: Sequence[Hours], now: datetime, zone: tzinfo) -> list[datetime]:
    """Return the times at which something may open or close, beginning with now."""
    last = now + _HORIZON
    clocks = {minutes % _DAY_MINUTES for rule in rules for minutes in rule.minutes} | {0}
    today = now.astimezone(zone).date()
    moments = {
        datetime.combine(today + ahead * _DAY, time(*divmod(clock, 60), fold=fold), zone).astimezone(UTC)
        for ahead in range(_HORIZON.days + 1)
        for clock in clocks
        for fold in (0, 1)
    }
    days = [now + ahead * _DAY for ahead in range(_HORIZON.days + 1)]
    moments.update(_shift(*pair, zone) for pair in pairwise(days))
    return [now, *sorted(moment for moment in moments if now < moment < last)]


def _shift(start: datetime, end: datetime, zone: tzinfo) -> datetime:
    """Return the time of a clock change between two times, to the second, or the later time."""
    offset = start.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == offset:
        return end
    while end - start > timedelta(seconds=1):
        middle = start + (end - start) // 2
        start, end = (middle, end) if middle.astimezone(zone).utcoffset() == offset else (start, middle)
    return end.replace(microsecond=0)


# ---- the effect of hours in a typical week, for checks before any message waits


def openings(*rules: Hours) -> list[tuple[datetime, timedelta]]:
    """Return when all rules allow sending in a week without holidays and clock changes, and for how long."""
    weekly = [rule.weekly for rule in rules]
    return [(start, end - start) for start, end in stretches(weekly, MONDAY, UTC)]


def opened_at_midnight(rules: Sequence[Hours]) -> Hours | None:
    """Return the rule whose day off ends at a midnight at which all rules allow sending, or None.

    A public holiday may fall on any weekday.
    """
    for rule in rules:
        for day in [day for day in rule.days_off or () if not unknown_day(day)]:
            if is_open_at_midnight(rules, [WEEKDAYS.index(day) + 1] if day in WEEKDAYS else EVERY_DAY):
                return rule
    return None


def is_open_at_midnight(rules: Sequence[Hours], days: Iterable[int] = EVERY_DAY) -> bool:
    """Return True if all rules allow sending when one of the days begins, counted from a Monday."""
    midnights = [MONDAY + timedelta(days=day) for day in days]
    return not all(any(rule.weekly.closed(midnight) for rule in rules) for midnight in midnights)


def flaws(hours: Hours) -> Iterator[Flaw]:
    """Yield unknown countries, hours without any time, and a spread that does not fit."""
    for index, day in enumerate(hours.days_off or ()):
        if sentence := unknown_day(day):
            yield Flaw(("days_off", index), "value", sentence)
    found = openings(hours)
    if not found:
        yield Flaw((), "never-open", "nothing is ever sent: these hours leave no time of the week", key=True)
        return
    # Hours that are open at midnight on Monday may have begun on Sunday; they occur again as a whole.
    shortest = min((length for start, length in found if start > MONDAY), default=hours.spread)
    if hours.spread > shortest:
        given, most = format_duration(hours.spread), format_duration(shortest)
        message = f"'spread' ({given}) is longer than it is open at a time: write {most} at most"
        yield Flaw(("spread",), "spread", message)
