# ruff: noqa: E501 - a case is a line
"""When something may be sent: local times as text, through nights, weeks, holidays and changes of the clock."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scenario.policies.hours import (
    AHEAD,
    Hours,
    QuietHours,
    Window,
    holidays_of,
    opening,
    openings,
    spread_by,
    unknown_day,
)
from scenario.policies.policies import examine
from scenario.source.source import Source
from scenario.time import WEEKDAYS, at_local, spell, zone_of

PARIS, TOKYO, NEW_YORK, BERLIN = "Europe/Paris", "Asia/Tokyo", "America/New_York", "Europe/Berlin"
NIGHT = 'quiet: {from: "21:00", to: "08:00"}'
HALF = 'quiet: {from: "02:30", to: "03:30"}'
OFFICE = 'window: {from: "09:00", to: "20:00", on: [mon, tue, wed, thu, fri]}'
LATE = 'window: {from: "22:00", to: "02:00", on: [fri]}'
FRENCH = "quiet: {days_off: [sun, FR]}"


def rules(text: str) -> list[Hours]:
    written = Source(f"{{{text}}}").data
    models = {"quiet": QuietHours, "window": Window}
    return [models[key].model_validate(value) for key, value in written.items()]


def local(text: str, zone: tzinfo) -> datetime:
    """A local time; one with a '+' behind it is the second of two."""
    return datetime.fromisoformat(text.rstrip("+")).replace(tzinfo=zone, fold=int(text.endswith("+")))


# These rules, at this time on the contact's clock: open, or closed since what and until when.
WHEN = (
    # A night.
    (NIGHT, "2026-03-03 21:00", PARIS, "quiet hours until Wed 2026-03-04 08:00 Europe/Paris"),
    (NIGHT, "2026-03-04 08:00", PARIS, "open"),
    # An hour that is skipped: 01:59 is followed by 03:00, of which half is quiet.
    (HALF, "2026-03-29 03:00", PARIS, "quiet hours until Sun 2026-03-29 03:30 Europe/Paris"),
    # An hour that comes twice: what the clock shows holds both times.
    (HALF, "2026-10-25 02:30", PARIS, "quiet hours until Sun 2026-10-25 02:00 Europe/Paris"),
    (HALF, "2026-10-25 02:30+", PARIS, "quiet hours until Sun 2026-10-25 03:30 Europe/Paris"),
    # Hours within the one that is skipped are not there on that day, and twice there on the other.
    ('window: {from: "02:00", to: "03:00"}', "2026-03-28 12:00", PARIS, "window until Mon 2026-03-30 02:00 Europe/Paris"),
    ('window: {from: "02:30", to: "03:30"}', "2026-03-29 01:30", PARIS, "window until Sun 2026-03-29 03:00 Europe/Paris"),
    ('window: {from: "02:15", to: "02:45"}', "2026-10-25 02:45+", PARIS, "window until Mon 2026-10-26 02:15 Europe/Paris"),
    # A midnight that is skipped, and an island's whole day.
    ('window: {from: "00:00", to: "02:00"}', "2026-04-23 20:00", "Africa/Cairo", "window until Fri 2026-04-24 01:00 Africa/Cairo"),
    (OFFICE, "2011-12-29 21:00", "Pacific/Apia", "window until Mon 2012-01-02 09:00 Pacific/Apia"),
    # Where the contact is: a Tuesday in Tokyo begins while it is Monday elsewhere.
    (OFFICE, "2026-03-02 20:00", TOKYO, "window until Tue 2026-03-03 09:00 Asia/Tokyo"),
    (NIGHT, "2026-03-02 23:30", "+05:45", "quiet hours until Tue 2026-03-03 08:00 UTC+05:45"),
    # Windows: weekdays, the end of a week, midnight as an end, an end or a beginning alone.
    (OFFICE, "2026-03-06 20:00", PARIS, "window until Mon 2026-03-09 09:00 Europe/Paris"),
    ('window: {from: "20:00", to: "00:00"}', "2026-03-07 00:00", PARIS, "window until Sat 2026-03-07 20:00 Europe/Paris"),
    ('window: {from: "18:00"}', "2026-03-07 00:00", PARIS, "window until Sat 2026-03-07 18:00 Europe/Paris"),
    ("window: {on: [mon]}", "2026-03-03 00:00", PARIS, "window until Mon 2026-03-09 00:00 Europe/Paris"),
    # Over midnight, hours belong to the day on which they begin.
    (LATE, "2026-03-07 02:00", PARIS, "window until Fri 2026-03-13 22:00 Europe/Paris"),
    (LATE, "2026-03-06 01:00", PARIS, "window until Fri 2026-03-06 22:00 Europe/Paris"),
    ('quiet: {from: "21:00", to: "08:00", on: [fri]}', "2026-03-07 07:00", PARIS, "quiet hours until Sat 2026-03-07 08:00 Europe/Paris"),
    # Days off, alone and with the nights around them.
    (FRENCH, "2026-03-08 00:00", PARIS, "day off (Sun) until Mon 2026-03-09 00:00 Europe/Paris"),
    ('quiet: {from: "21:00", to: "08:00", days_off: [sun]}', "2026-03-07 21:00", PARIS, "quiet hours until Mon 2026-03-09 08:00 Europe/Paris"),
    ('window: {from: "22:00", to: "02:00", days_off: [sun]}', "2026-03-08 00:00", PARIS, "day off (Sun) until Mon 2026-03-09 00:00 Europe/Paris"),
    # Public holidays of 2026 in France; a Sunday beside them.
    (FRENCH, "2026-01-01 10:00", PARIS, "public holiday (FR, New Year's Day) until Fri 2026-01-02 00:00 Europe/Paris"),
    (FRENCH, "2026-04-05 10:00", PARIS, "day off (Sun) until Tue 2026-04-07 00:00 Europe/Paris"),
    (FRENCH, "2026-08-15 10:00", PARIS, "public holiday (FR, Assumption Day) until Mon 2026-08-17 00:00 Europe/Paris"),
    # And in Germany, whose states have their own: Reformation Day in some.
    ("quiet: {days_off: [DE]}", "2026-10-31 10:00", BERLIN, "open"),
    ("quiet: {days_off: [DE-SN]}", "2026-10-31 10:00", BERLIN, "public holiday (DE-SN, Reformation Day) until Sun 2026-11-01 00:00 Europe/Berlin"),
    # The holiday is on the contact's calendar, wherever that may be.
    (FRENCH, "2026-07-14 00:00", TOKYO, "public holiday (FR, National Day) until Wed 2026-07-15 00:00 Asia/Tokyo"),
    (FRENCH, "2026-07-13 23:59", TOKYO, "open"),
    # The end of a year: holidays of the next one.
    ('quiet: {from: "21:00", to: "08:00", days_off: [DE, sat, sun]}', "2026-12-31 22:00", BERLIN, "quiet hours until Mon 2027-01-04 08:00 Europe/Berlin"),
    # All rules must be open.
    (f"{NIGHT}, {OFFICE}", "2026-03-06 22:00", PARIS, "quiet hours until Mon 2026-03-09 09:00 Europe/Paris"),
    (f'{NIGHT}, window: {{from: "21:00", to: "23:00"}}', "2026-03-06 22:00", PARIS, "quiet hours, for longer than a week"),
    # What opens, but not within a week and a day.
    ('window: {from: "09:00", to: "12:00", on: [mon], days_off: [FR]}', "2026-05-18 12:00", PARIS, "window, for longer than a week"),
    ('window: {from: "09:00", to: "12:00", on: [mon], days_off: [FR]}', "2026-05-26 12:00", PARIS, "window until Mon 2026-06-01 09:00 Europe/Paris"),
    ("window: {on: [mon], days_off: [FR]}", "2026-04-04 23:59", PARIS, "window, for longer than a week"),
    ("window: {on: [mon], days_off: [FR]}", "2026-04-05 00:00", PARIS, "window until Mon 2026-04-13 00:00 Europe/Paris"),
    # No rules.
    ("", "2026-03-08 03:00", PARIS, "open"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "now", "zone", "expected"), WHEN, ids=[f"{case[0]} {case[1]}" for case in WHEN])
def test_it_opens_when_people_think_that_it_does(written: str, now: str, zone: str, expected: str):
    place = zone_of(zone)
    found = opening(rules(written), local(now, place), place)
    if found is None:
        assert expected == "open"
    elif found.moment is None:
        assert expected == f"{found.since}, for longer than a week"
    else:
        assert f"{found.since} until {spell(found.moment, place)}" == expected


def opens(written: str, now: datetime, zone: tzinfo) -> datetime:
    found = opening(rules(written), now, zone)
    assert found is not None
    assert found.moment is not None
    return found.moment


DELIVERIES = [f"msg_{number:032x}" for number in range(1, 2001)]


def test_deliveries_are_spread_over_all_of_the_time():
    minutes = [0] * 15
    for delivery in DELIVERIES:
        after = spread_by(delivery, timedelta(minutes=15))
        assert after == spread_by(delivery, timedelta(minutes=15))
        assert after.microseconds == 0
        minutes[int(after.total_seconds()) // 60] += 1
    assert min(minutes) > len(DELIVERIES) / 15 * 0.7
    assert max(minutes) < len(DELIVERIES) / 15 * 1.3
    assert spread_by(DELIVERIES[0], timedelta(0)) == timedelta(0)


def test_nobody_is_spread_behind_the_end_of_the_time_that_is_open():
    zone = ZoneInfo(PARIS)
    both = rules('quiet: {from: "21:00", to: "08:00", spread: 2h}, window: {from: "07:30", to: "08:20"}')
    found = opening(both, local("2026-03-03 22:00", zone), zone)
    assert found is not None
    assert found.moment is not None
    assert found.spread == timedelta(minutes=20)
    latest = max(spread_by(delivery, found.spread) for delivery in DELIVERIES)
    assert opening(both, found.moment + latest, zone) is None


def test_quiet_hours_hold_for_the_channels_and_destinations_that_they_name():
    everything = QuietHours.model_validate({"days_off": ["sun"]})
    some = QuietHours.model_validate({"days_off": ["sun"], "channels": ["sms", "wax"]})
    deliveries = (("sms", None), ("email", None), ("webhook", "wax"), ("webhook", "crm"), ("webhook", None))
    assert [everything.applies_to(*one) for one in deliveries] == [True] * 5
    assert [some.applies_to(*one) for one in deliveries] == [True, False, True, False, False]


def test_where_no_date_can_be_worked_out_any_more_it_is_not_asked_for():
    """9999-12-31 is "never" to many a platform: previews get there."""
    found = opening(rules(NIGHT), datetime(9999, 12, 29, tzinfo=UTC), ZoneInfo("UTC"))
    assert found is not None
    assert found.moment is None


def test_hours_are_stored_as_they_were_written():
    written = {"from": "21:00", "to": "24:00", "on": ["fri"], "days_off": ["sun", "DE-BY"], "spread": "15m"}
    hours = QuietHours.model_validate(written)
    assert hours.model_dump(mode="json", exclude_none=True) == written
    assert QuietHours.model_validate(hours.model_dump(mode="json")) == hours


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ('quiet: {from: "21:00", to: "21:00"}', "'from' and 'to' are both 21:00"),
        ('window: {from: "00:00", to: "00:00"}', 'a whole day is from "00:00" to "24:00"'),
        ('quiet: {from: "21:00"}', "'from' and 'to' go together"),
        ("quiet: {}", "quiet hours need 'from' and 'to', or 'days_off', or both"),
        ("window: {spread: 15m}", "a window needs 'from' and 'to', 'on' or 'days_off'"),
        ("quiet: {days_off: [sun], on: [mon]}", "'on' goes with 'from' and 'to'"),
        ('window: {from: "24:00", to: "08:00"}', "'24:00' is not a time of day"),
        ('window: {from: "9:00"}', "'9:00' is not a time of day"),
        ("quiet: {days_off: [Sunday]}", "'Sunday' is not a day off: did you mean 'sun'?"),
        ("quiet: {days_off: [fr]}", "'fr' is not a day off: did you mean 'FR'?"),
        ("quiet: {days_off: [United Kingdom]}", "did you mean 'GB'?"),
        ("quiet: {days_off: [holidays]}", "write mon to sun, or the code of a country such as FR"),
    ],
)
def test_hours_that_say_nothing_are_refused_with_what_to_write(written: str, sentence: str):
    with pytest.raises(ValidationError) as raised:
        rules(written)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        ("sun", None),
        ("DE-BY", None),
        ("UK", "the public holidays of 'UK' are not known: did you mean 'GB'?"),
        ("DE-BYY", "the public holidays of 'DE-BYY' are not known: did you mean 'DE-BY'?"),
        ("DE-00", "the public holidays of 'DE-00' are not known: write DE for those of the whole country"),
    ],
)
def test_a_country_that_nobody_knows_is_told(day: str, sentence: str | None):
    assert unknown_day(day) == sentence


def test_where_nobody_knows_the_country_there_are_no_holidays():
    assert holidays_of("XX", 2026) == {}


# ---- against a slow and plain reading of the same words

ZONES = (PARIS, TOKYO, NEW_YORK, "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu")
CHANGES = (
    "2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-04-24", "2026-10-30", "2026-06-03",
)  # fmt: skip


def plainly_in(written: Mapping[str, Any], shown: datetime) -> bool:
    """Whether hours have begun on this day or the one before, and not ended."""
    midnight = shown.replace(hour=0, minute=0, second=0, microsecond=0)
    for begun in (midnight, midnight - timedelta(days=1)):
        if WEEKDAYS[begun.weekday()] not in written.get("on", WEEKDAYS):
            continue
        first, last = (
            timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (written["from"], written["to"])
        )
        last += timedelta(days=1) if last <= first else timedelta(0)
        if begun + first <= shown < begun + last:
            return True
    return False


def plainly_open(quiet: Mapping[str, Any] | None, window: Mapping[str, Any] | None, shown: datetime) -> bool:
    off = any(WEEKDAYS[shown.weekday()] in (written or {}).get("days_off", ()) for written in (quiet, window))
    return not off and not (quiet and plainly_in(quiet, shown)) and (window is None or plainly_in(window, shown))


CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from((0, 15, 30, 45)))
DAYS = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=6, unique=True)


@st.composite
def hours(draw: st.DrawFn) -> dict[str, Any]:
    start, end = draw(st.tuples(CLOCKS, CLOCKS).filter(lambda pair: pair[0] != pair[1]))
    written: dict[str, Any] = {"from": start, "to": end}
    if draw(st.booleans()):
        written["on"] = draw(DAYS)
    if draw(st.integers(0, 3)) == 0:
        written["days_off"] = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=2))
    return written


@settings(max_examples=60)
@given(
    quiet=st.none() | hours(),
    window=st.none() | hours(),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.sampled_from(CHANGES).map(date.fromisoformat),
    minutes=st.integers(-2 * 24 * 60, 24 * 60),
)
def test_the_opening_is_the_first_minute_at_which_all_is_open(
    quiet: Mapping[str, Any] | None, window: Mapping[str, Any] | None, zone: ZoneInfo, day: date, minutes: int
):
    asked: Sequence[Hours] = [
        *([QuietHours.model_validate(quiet)] if quiet else []),
        *([Window.model_validate(window)] if window else []),
    ]
    now = at_local(day, datetime.min.time(), zone) + timedelta(minutes=minutes)
    found = opening(asked, now, zone)
    moment, end = now, now + timedelta(days=3)
    while moment < end and not plainly_open(quiet, window, moment.astimezone(zone).replace(tzinfo=None)):
        moment += timedelta(minutes=1)
    if found is None:
        assert moment == now
    elif moment < end:
        assert found.moment == moment
    else:
        assert found.moment is None or end <= found.moment <= now + AHEAD


# ---- hours of the workspace that cannot be meant are told before anything waits for them


AT_MIDNIGHT = (
    "1:15: warning at-night: messages kept back on a day off leave at 00:00 in the contact's zone, also text messages: "
    "add 'from' and 'to', such as {from: \"21:00\", to: \"08:00\"}"
)
POLICIES = (
    ("quiet_hours: {from: 21:00, to: 08:00, days_off: [sun, FR], spread: 15m}", ()),
    ("quiet_hours: {days_off: [sun, UK]}", (AT_MIDNIGHT, "1:31: error value: the public holidays of 'UK' are not known: did you mean 'GB'?",)),
    ("quiet_hours: true", ("1:14: error type: 'quiet_hours' must be keys with values, not a true or false",)),
    ("quiet_hours: {days_off: [sun], zone: UTC}", ("1:32: error unknown-key: unknown key 'zone': the keys here are from, to, on, days_off, spread and channels",)),
    ("quiet_hours: {from: 00:00, to: 24:00}", ("1:1: error never-open: nothing is ever sent: these hours leave no time of the week",)),
    ("quiet_hours:\n- {days_off: [sun], channels: [email]}\n- {from: 21:00, to: 08:00, on: [fri], days_off: [NO]}", (AT_MIDNIGHT.replace("1:15", "3:39"),)),
    ("quiet_hours:\n- {days_off: [sun]}\n- {from: 08:00, to: 07:00, spread: 2h}", ("3:36: error spread: 'spread' (2h) is longer than it is open at a time: write 1h at most",)),
)  # fmt: skip


@pytest.mark.parametrize(("text", "reports"), POLICIES, ids=[text for text, _ in POLICIES])
def test_what_is_wrong_with_quiet_hours_of_all_scenarios_is_told(text: str, reports: tuple[str, ...]):
    found = examine(text, "policies.yaml").findings
    assert [str(one).removeprefix("policies.yaml:") for one in found] == list(reports)


def test_a_week_is_known_by_its_openings():
    hours = QuietHours.model_validate({"from": "21:00", "to": "08:00", "days_off": ["sat", "sun", "FR"]})
    week = [f"{start:%a %H:%M} for {length}" for start, length in openings(hours)]
    assert week[:5] == [f"{day} 08:00 for 13:00:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri")]
    assert week[5] == "Mon 08:00 for 13:00:00"
