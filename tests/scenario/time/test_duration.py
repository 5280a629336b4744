"""Durations are read as people write them, and written in a form that is read again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenario.errors import DurationError
from scenario.time import LONGEST, format_duration, parse_duration

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
