"""Caps: the maximum number of messages to a contact, over all scenarios.

A delivery claims a place before it is sent. A claim counts until its day, week or month ends, or until it is older than
a period. A full cap therefore knows when its next place is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Final, Literal, Protocol

from pydantic import BeforeValidator, Field, PlainSerializer, Tag, WithJsonSchema

from scenario.model.parts import DURATION, Interval, Model, Name, read_span, satisfies, written_as
from scenario.time import LAST, WEEKDAYS, at_local, format_duration

WAITS: Final = "<waits>"
"""The tag of `CappedWait` in pydantic's reports."""


class CappedWait(Model):
    """A wait for a free place, with a maximum; then the step is skipped."""

    wait: Interval


def _word(value: object) -> object:
    if value in ("skip", "hold"):
        return value
    raise ValueError("'capped' is skip, hold, or {wait: 2d}")


Capped = Annotated[
    Annotated[Literal["skip", "hold"], BeforeValidator(_word), Tag("<word>")] | Annotated[CappedWait, Tag(WAITS)],
    written_as(WAITS, CappedWait, other="<word>"),
]

CALENDAR: Final = ("day", "week", "month")
LONGEST: Final = timedelta(days=31)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_MINUTE: Final = timedelta(minutes=1)
_SECOND: Final = timedelta(seconds=1)


def _per(value: object) -> object:
    if value in CALENDAR:
        return value
    try:
        length = read_span(value)
    except ValueError:
        length = timedelta(0)
    if not timedelta(0) < length <= LONGEST:
        raise ValueError("'per' is day, week or month, or a length of time up to 31d: write day, 24h or 7d")
    return length


# Not pydantic's length, which also counts none where the only one is wrong.
_SOME: Final = satisfies(bool, "'channels' is empty: name a channel or a destination, or remove it")


def _written(value: str | timedelta) -> str:
    return format_duration(value) if isinstance(value, timedelta) else value


def _rate(at_most: int, per: str) -> str:
    return f"{at_most} a {per}" if per in CALENDAR else f"{at_most} in {per}"


Per = Annotated[
    Literal["day", "week", "month"] | timedelta,
    BeforeValidator(_per),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [{"enum": list(CALENDAR)}, {"type": "string", "pattern": f"^\\+?{DURATION}$"}],
            "description": "day, week (from Monday) or month by the contact's calendar, or a length of time up to 31d.",
            "examples": ["day", "week", "month", "24h", "7d"],
        }
    ),
]
"""A calendar period, or a duration."""


class Counted(Protocol):
    """A delivery's claim."""

    @property
    def channel(self) -> str: ...

    @property
    def destination(self) -> str: ...

    @property
    def claimed_at(self) -> datetime: ...


class Cap(Model):
    """A maximum number of messages to one contact."""

    name: Name
    channels: Annotated[tuple[Name, ...], _SOME] | None = Field(
        default=None,
        description="Channels (email, sms, webhook) and destinations that are counted together; all by default.",
    )
    at_most: int = Field(strict=True, ge=1, le=1000, description="Maximum number of messages.")
    per: Per

    def applies_to(self, channel: str, destination: str) -> bool:
        """Return True if a message counts under this cap."""
        return self.channels is None or channel in self.channels or destination in self.channels

    @property
    def words(self) -> str:
        """The cap as text: ``4 in 7d``, ``1 a day``."""
        return _rate(self.at_most, _written(self.per))

    def since(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the earliest time (UTC) whose claims count now. Later claims count too, also those of clocks ahead."""
        if isinstance(self.per, timedelta):
            # One that is exactly so old has left.
            return now.astimezone(UTC) - self.per + datetime.resolution
        return at_local(self._first_day(now.astimezone(zone).date()), time(), zone)

    def until(self, claimed_at: datetime, zone: tzinfo) -> datetime:
        """Return the time (UTC) from which a claim no longer counts."""
        try:
            if isinstance(self.per, timedelta):
                return claimed_at.astimezone(UTC) + self.per
            first = self._first_day(claimed_at.astimezone(zone).date())
            # From the first of a month, 31 days lead into the next one.
            days = {"day": _DAY, "week": _WEEK, "month": LONGEST}[self.per]
            return at_local(self._first_day(first + days), time(), zone)
        except OverflowError:
            return LAST

    def _first_day(self, day: date) -> date:
        match self.per:
            case "week":
                return day - day.weekday() * _DAY
            case "month":
                return day.replace(day=1)
            case _:
                return day


@dataclass(frozen=True, slots=True)
class Full:
    """A cap without a free place."""

    cap: str
    """Its name; of several, the one whose place is free last."""
    at_most: int
    per: str
    """Its period as written: ``day``, ``7d``."""
    free: datetime
    """Time (UTC, whole seconds) at which this cap and all others have a place, unless others take it."""

    def words(self, now: datetime, zone: tzinfo) -> str:
        """Return the reason: ``capped by week: 4 in 7d, next Thu 10:02``, in the contact's zone."""
        # Round up, so that there is a place at the minute that is shown.
        local = _up_to(_MINUTE, self.free).astimezone(zone)
        day = WEEKDAYS[local.weekday()].capitalize()
        # Within a week, a weekday says which day it is.
        if local.date() - now.astimezone(zone).date() >= _WEEK:
            day = f"{day} {local:%Y-%m-%d}"
        return f"capped by {self.cap}: {_rate(self.at_most, self.per)}, next {day} {local:%H:%M}"


def since(caps: Sequence[Cap], now: datetime, zone: tzinfo) -> datetime:
    """Return the earliest time (UTC) that any of the caps, at least one, considers."""
    return min(cap.since(now, zone) for cap in caps)


def full(caps: Iterable[Cap], claims: Iterable[Counted], now: datetime, zone: tzinfo) -> Full | None:
    """Return the cap that forbids one more message, or None. Of several, return the one that forbids it for longest.

    `claims` are the contact's other claims, at least those since `since`, and `zone` is the contact's.
    """
    counted = sorted((claim.claimed_at, claim.channel, claim.destination) for claim in claims)
    found: Full | None = None
    for cap in caps:
        times = [at for at, channel, destination in counted if cap.applies_to(channel, destination)]
        if len(times) < cap.at_most:
            continue
        # A place is free when so few of the last ones are left.
        free = cap.until(times[-cap.at_most], zone)
        if free > now and (found is None or free > found.free):
            # Timers and texts have whole seconds: who came back within the one before would be too early.
            found = Full(cap.name, cap.at_most, _written(cap.per), _up_to(_SECOND, free))
    return found


def _up_to(unit: timedelta, moment: datetime) -> datetime:
    """Round a time up to a whole unit, in UTC."""
    moment = moment.astimezone(UTC)
    rest = timedelta(seconds=moment.second, microseconds=moment.microsecond) % unit
    return moment + (unit - rest if rest else rest)
