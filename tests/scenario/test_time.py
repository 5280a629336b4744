"""Waits end when people think that they do; and durations, as people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenario.errors import DurationError, EntryError
from scenario.time import (
    LONGEST,
    WEEKDAYS,
    _read_zone,  # pyright: ignore[reportPrivateUsage]
    format_duration,
    next_local,
    parse_duration,
    parse_moment,
    read_zone,
    shift,
    spell,
    unplaced,
    zone_of,
)

PARIS, TOKYO, NEW_YORK = "Europe/Paris", "Asia/Tokyo", "America/New_York"
WEEK = ("mon", "tue", "wed", "thu", "fri")

# It is this time in that zone; until the next such time of day on such a day; which is then.
UNTIL = (
    ("2026-03-03 10:00", PARIS, "10:00", (), "Tue 2026-03-03 10:00 Europe/Paris"),
    ("2026-03-03 10:01", PARIS, "10:00", (), "Wed 2026-03-04 10:00 Europe/Paris"),
    # The current minute counts, to its last moment.
    ("2026-03-03 10:00:00.020", PARIS, "10:00", (), "Tue 2026-03-03 10:00 Europe/Paris"),
    ("2026-03-03 10:00:59.999999", PARIS, "10:00", WEEK, "Tue 2026-03-03 10:00 Europe/Paris"),
    ("2026-03-07 10:00:20", PARIS, "10:00", WEEK, "Mon 2026-03-09 10:00 Europe/Paris"),
    ("2026-03-29 03:30:20", PARIS, "02:30", (), "Sun 2026-03-29 03:30 Europe/Paris"),
    ("2026-10-25 02:30:20", PARIS, "02:30", (), "Sun 2026-10-25 02:30 Europe/Paris"),
    # A Tuesday in Tokyo begins while it is Monday elsewhere.
    ("2026-03-02 23:30", TOKYO, "09:00", ("tue",), "Tue 2026-03-03 09:00 Asia/Tokyo"),
    ("2026-03-03 09:30", TOKYO, "09:00", ("tue",), "Tue 2026-03-10 09:00 Asia/Tokyo"),
    # Weekdays.
    ("2026-03-06 10:01", PARIS, "10:00", WEEK, "Mon 2026-03-09 10:00 Europe/Paris"),
    ("2026-03-05 12:00", PARIS, "10:00", ("sat", "sun"), "Sat 2026-03-07 10:00 Europe/Paris"),
    # 09:00 across the change of March, when Paris skips 02:00 to 03:00.
    ("2026-03-28 09:01", PARIS, "09:00", (), "Sun 2026-03-29 09:00 Europe/Paris"),
    # A local time that is skipped is taken with the offset from before: it shows an hour later.
    ("2026-03-28 12:00", PARIS, "02:30", (), "Sun 2026-03-29 03:30 Europe/Paris"),
    ("2026-03-29 04:00", PARIS, "02:30", (), "Mon 2026-03-30 02:30 Europe/Paris"),
    # A local time that comes twice means its first time.
    ("2026-10-24 12:00", PARIS, "02:30", (), "Sun 2026-10-25 02:30 Europe/Paris"),
    # The end of a year, a leap day, half-hour zones, a day that an island skipped.
    ("2026-03-03 10:01", "Asia/Kathmandu", "10:00", (), "Wed 2026-03-04 10:00 Asia/Kathmandu"),
    ("2011-12-29 12:00", "Pacific/Apia", "10:00", (), "Sat 2011-12-31 10:00 Pacific/Apia"),
)  # fmt: skip


def local(text: str, zone: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


@pytest.mark.parametrize(("now", "zone", "clock", "days", "then"), UNTIL)
def test_the_next_local_time(now: str, zone: str, clock: str, days: tuple[str, ...], then: str):
    assert spell(next_local(local(now, zone), clock, days, ZoneInfo(zone)), ZoneInfo(zone)) == then


def test_the_instant_of_a_repeated_local_time_is_its_first():
    zone = ZoneInfo(PARIS)
    assert next_local(local("2026-10-24 12:00", PARIS), "02:30", (), zone).isoformat() == "2026-10-25T00:30:00+00:00"
    # Between its two occurrences the first one is over, and the next comes on the day after.
    between = local("2026-10-25 02:10", PARIS, fold=1)
    assert spell(next_local(between, "02:30", (), zone), zone) == "Mon 2026-10-26 02:30 Europe/Paris"


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 hypothesis' way
    st.sampled_from((PARIS, TOKYO, NEW_YORK, "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "UTC")),
    st.times(),
    st.lists(st.sampled_from(WEEKDAYS), unique=True),
)
def test_the_next_local_time_is_in_the_current_minute_or_within_nine_days(
    now: datetime, zone: str, clock: object, days: list[str]
):
    moment = next_local(now, str(clock)[:5], days, ZoneInfo(zone))
    # A skipped day or hour pushes a time on; never by more than a day.
    assert timedelta(minutes=-1) < moment - now <= timedelta(days=9)


# A date in its zone, an offset, and what the offset makes of it.
SHIFTED = (
    ("2026-03-30 09:00", PARIS, "-3d", "Fri 2026-03-27 09:00 Europe/Paris"),
    ("2026-03-27 09:00", PARIS, "3d", "Mon 2026-03-30 09:00 Europe/Paris"),
    ("2026-10-26 09:00", PARIS, "-2d", "Sat 2026-10-24 09:00 Europe/Paris"),
    ("2026-03-28 02:30", PARIS, "1d", "Sun 2026-03-29 03:30 Europe/Paris"),
    # Hours are hours: a day of 24 of them is not the same time of day across a change.
    ("2026-03-28 09:00", PARIS, "24h", "Sun 2026-03-29 09:00 Europe/Paris"),
    ("2026-03-28 20:00", PARIS, "8h", "Sun 2026-03-29 05:00 Europe/Paris"),
    ("2026-03-28 20:00", PARIS, "1d8h", "Mon 2026-03-30 04:00 Europe/Paris"),
    ("2026-03-03 09:00", PARIS, "0s", "Tue 2026-03-03 09:00 Europe/Paris"),
    ("2026-03-03 09:00:30", PARIS, "-30m", "Tue 2026-03-03 08:30:30 Europe/Paris"),
)  # fmt: skip


@pytest.mark.parametrize(("moment", "zone", "offset", "then"), SHIFTED)
def test_an_offset_of_days_keeps_the_time_of_day(moment: str, zone: str, offset: str, then: str):
    assert spell(shift(local(moment, zone), parse_duration(offset), ZoneInfo(zone)), ZoneInfo(zone)) == then


@pytest.mark.parametrize(("year", "offset"), [(1, "-3d"), (9999, "3d"), (9999, "12h"), (1, "-12h")])
def test_an_offset_beyond_the_calendar_ends_at_its_edge(year: int, offset: str):
    edge = datetime(year, 1, 1, tzinfo=UTC) if year == 1 else datetime(year, 12, 31, 23, tzinfo=UTC)
    moment = shift(edge, parse_duration(offset), ZoneInfo(TOKYO))
    assert moment.year == year
    assert str(year) in spell(moment, ZoneInfo(NEW_YORK))


DATES = (
    ("2026-03-29", "2026-03-29T00:00:00+01:00"), ("2026-03-29 10:00:00", "2026-03-29T10:00:00+02:00"),
    ("2026-03-29T10:00", "2026-03-29T10:00:00+02:00"),
    (" 2026-03-29T10:00:00.5 ", "2026-03-29T10:00:00.500000+02:00"),
    ("2026-03-29T10:00:00Z", "2026-03-29T10:00:00+00:00"), ("2026-03-29T10:00:00-05:00", "2026-03-29T10:00:00-05:00"),
    ("2026-03-29 02:30:00", "2026-03-29T03:30:00+02:00"), ("2026-10-25 02:30:00", "2026-10-25T02:30:00+02:00"),
    ("20260329", "2026-03-29T00:00:00+01:00"), ("1774771200", "2026-03-29T08:00:00+00:00"),
    ("1774771200000", "2026-03-29T08:00:00+00:00"), ("9999-12-31 23:59:59", "9999-12-31T23:59:59+01:00"), ("", None),
    ("0", None), ("null", None), ("0000-00-00", None), ("0000-00-00 00:00:00", None), ("0000-00-00T00:00:00Z", None),
    ("0001-01-01", None), ("0001-01-01T00:00:00", None),
)  # fmt: skip


@pytest.mark.parametrize(("text", "moment"), DATES)
def test_a_date_is_read_as_platforms_write_it(text: str, moment: str | None):
    read = parse_moment(text, ZoneInfo(PARIS))
    assert (read and read.isoformat()) == moment


@pytest.mark.parametrize("text", ["tomorrow", "March 4", "2026-02-30", "2026-13-01", "12", "10:00", "2026-03-29 25:00"])
def test_what_is_no_date_is_refused_without_quoting_it(text: str):
    with pytest.raises(EntryError) as caught:
        parse_moment(text, ZoneInfo(PARIS))
    assert str(caught.value) == "a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00"


def test_never_is_a_date_in_every_zone():
    moment = parse_moment("9999-12-31 23:59:59", ZoneInfo(NEW_YORK))
    assert moment is not None
    assert moment.isoformat() == "9999-12-31T23:59:59+00:00"


ZONES = (
    (("Asia/Tokyo", "Europe/Paris"), "Asia/Tokyo"), ((None, "Europe/Paris"), "Europe/Paris"),
    (("", "Europe/Paris"), "Europe/Paris"), (("Mars/Olympus", "Europe/Paris"), "Europe/Paris"),
    (("../etc/passwd", "/etc/passwd", "Europe", "a\x00b", "\ud800"), "UTC"), ((12, True), "UTC"), ((), "UTC"),
)  # fmt: skip


@pytest.mark.parametrize(("names", "zone"), ZONES, ids=[zone for _, zone in ZONES])
def test_the_first_name_that_is_a_zone_counts(names: tuple[object, ...], zone: str):
    assert str(zone_of(*names)) == zone


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Europe/Paris", "Europe/Paris"), (" Europe/Paris ", "Europe/Paris"), ("+02:00", "UTC+02:00"),
        ("+0200", "UTC+02:00"), ("+02", "UTC+02:00"), ("+2", "UTC+02:00"), ("UTC+2", "UTC+02:00"),
        ("utc +2", "UTC+02:00"), ("GMT-3", "UTC-03:00"), ("UTC\u22123:30", "UTC-03:30"), ("+05:45", "UTC+05:45"),
        ("+14:00", "UTC+14:00"), ("Z", "UTC"), ("-00:00", "UTC"), ("UTC", "UTC"),
        ("GMT+0", "GMT+0"),  # a name of the IANA's
        ("Etc/GMT-2", "Etc/GMT-2"), ("Mars/Olympus", None), ("Europe", None), ("+14:01", None), ("+02:60", None),
        ("+2:0", None), ("+", None), ("2", None), ("\u0662", None), ("+\u0662", None), ("localtime", None),
        ("right/Europe/Paris", None),  # with leap seconds: 27 seconds late, where the machine has it at all
        ("posix/Europe/Paris", None), ("Factory", None), ("../../etc/passwd", None), ("a" * 5000, None),
        ("a\0b", None), ("", None), (" ", None), (None, None), (2, None), ({}, None),
    ],
)  # fmt: skip
def test_a_zone_is_a_name_or_an_offset(name: object, read: str | None):
    zone = read_zone(name)
    assert (zone and str(zone)) == read
    assert str(zone and read_zone(str(zone))) == str(zone), "its name can be read again"


def test_a_text_too_long_for_a_zone_is_not_kept_in_memory():
    before = _read_zone.cache_info().currsize
    assert read_zone("Europe/" + "P" * 100_000) is None
    assert _read_zone.cache_info().currsize == before


def test_a_zone_that_cannot_be_used_is_told_without_its_name():
    assert unplaced("Mars/Olympus", PARIS) == (
        "it is neither the name of a time zone, such as Europe/Paris, nor an offset, such as +02:00: "
        "the scenario's is used, Europe/Paris"
    )
    assert [unplaced(own, PARIS) for own in (None, "", "+02:00", TOKYO)] == [""] * 4


READ = (
    ("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("2h", timedelta(hours=2)),
    ("3d", timedelta(days=3)), ("2w", timedelta(weeks=2)), ("1h30m", timedelta(hours=1, minutes=30)),
    ("1h 30m 15s", timedelta(hours=1, minutes=30, seconds=15)), (" 2d ", timedelta(days=2)), ("0s", timedelta(0)),
    ("1.5h", timedelta(minutes=90)), ("0.25s", timedelta(milliseconds=250)), ("-3d", timedelta(days=-3)),
    ("+12h", timedelta(hours=12)), ("-1h30m", timedelta(minutes=-90)), ("P3D", timedelta(days=3)),
    ("P2W", timedelta(weeks=2)), ("PT90S", timedelta(seconds=90)), ("P3DT12H", timedelta(days=3, hours=12)),
    ("P1WT1M1.5S", timedelta(weeks=1, minutes=1, seconds=1.5)), ("-P1D", timedelta(days=-1)), ("3660d", LONGEST),
)  # fmt: skip


@pytest.mark.parametrize(("text", "length"), READ, ids=[text for text, _ in READ])
def test_a_duration_is_read(text: str, length: timedelta):
    assert parse_duration(text) == length


NONE = ("", "2", "d", "2 d", "2days", "2D", "1y", "1mo", "1,5h", "1.h", "--1d", "1e3s", "٣d", "2d!", "1.2345s", "-")
NONE_IN_ISO = ("P1Y", "P1M", "P", "PT", "P1DT", "p1d", "P1H", "PT1D")


@pytest.mark.parametrize("text", NONE + NONE_IN_ISO)
def test_what_is_no_duration_is_refused_with_the_forms_that_are(text: str):
    with pytest.raises(DurationError, match="is not a duration: write 90s, 15m, 2h, 3d, 2w or ISO 8601"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3661d", "-3661d", "999999999w", "P999999999W"])
def test_longer_than_ten_years_is_a_slip_of_the_pen(text: str):
    with pytest.raises(DurationError, match="longer than ten years"):
        parse_duration(text)


WRITTEN = (
    (timedelta(0), "0s"), (timedelta(seconds=90), "1m30s"), (timedelta(days=14), "14d"),
    (timedelta(hours=25), "1d1h"), (timedelta(milliseconds=250), "0.25s"), (timedelta(days=-3), "-3d"),
    (timedelta(minutes=-90), "-1h30m"),
)  # fmt: skip


@pytest.mark.parametrize(("length", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_a_duration_is_written_short(length: timedelta, text: str):
    assert format_duration(length) == text


@given(st.integers(-int(LONGEST.total_seconds()) * 1000, int(LONGEST.total_seconds()) * 1000))
def test_what_is_written_is_read_again(milliseconds: int):
    length = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(length)) == length
