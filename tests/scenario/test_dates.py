"""Tests of `scenario.dates`, and of the readers that use it."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from scenario import liquid
from scenario.dates import DateOrder, parse_date
from scenario.errors import DateError, TemplateError
from scenario.time import parse_moment

READ = (
    ("4.3.2030", "2030-03-04"), ("04.03.2030 10:00", "2030-03-04T10:00"), ("13/04/2030", "2030-04-13"),
    ("04/13/2030 5pm", "2030-04-13T17:00"), ("03/03/2030", "2030-03-03"), ("30-03-2004", "2004-03-30"),
    ("2026/3/9", "2026-03-09"), ("2026.03.09", "2026-03-09"), ("10:00 13/04/2030", "2030-04-13T10:00"),
    ("March 4, 2030", "2030-03-04"), ("March 2024", "2024-03-01"), ("24-Dec-2026", "2026-12-24"),
    ("Thu, 14 Mar 2024 16:49:00 +0100", "2024-03-14T16:49+01:00"), ("1898848800000", "2030-03-04T10:00Z"),
    ("1898848800", "2030-03-04T10:00Z"), ("20300304", "2030-03-04"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), READ)
def test_a_date_with_one_meaning_is_read(text: str, meant: str) -> None:
    assert parse_date(text) == parse_date(meant) is not None


@pytest.mark.parametrize(
    "text",
    [
        "10:00",
        "March 4",
        "Friday",
        "may",
        "2024",
        "86400",
        "4/3",
        "2026-02-30",
        "30.2.2026",
        "20260230",
        "1/13/13/2030",
    ],
)
def test_a_text_without_day_and_year_is_no_date(text: str) -> None:
    assert parse_date(text) is None


def test_two_times_of_day_are_no_date() -> None:
    assert parse_date("2030-06-01 10:00:00 10:00") is None
    assert parse_date("4.3.2030 10:00 11:00") is None


AMBIGUOUS = ("04/03/2030", "04-03-2030", "4/3/2030 10:00")


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_date_with_two_meanings_is_refused_with_both(text: str) -> None:
    with pytest.raises(DateError, match="04/03 is 4 March or 3 April"):
        parse_date(text)


@pytest.mark.parametrize("text", ["30-03-04", "4.3.30", "4/3/30 10:00", "4 March 30"])
def test_a_year_of_two_digits_is_refused(text: str) -> None:
    with pytest.raises(DateError, match="year of two digits"):
        parse_date(text)


@pytest.mark.parametrize(
    ("text", "order", "meant"),
    [
        ("04/03/2030", "dmy", "2030-03-04"),
        ("04/03/2030", "mdy", "2030-04-03"),
        ("04-03-2030 10:00", "mdy", "2030-04-03T10:00"),
        ("4.3.2030", "mdy", "2030-03-04"),
        ("2030-03-04", "mdy", "2030-03-04"),
        ("13/04/2030", "dmy", "2030-04-13"),
    ],
)
def test_a_known_order_decides(text: str, order: DateOrder, meant: str) -> None:
    assert parse_date(text, order) == parse_date(meant)


def test_a_date_of_the_other_order_is_none() -> None:
    assert parse_date("13/04/2030", "mdy") is None


@pytest.mark.parametrize("text", [text for text, _ in READ])
def test_a_wait_and_a_filter_read_the_same_day(text: str) -> None:
    waits_until = parse_moment(text, ZoneInfo("UTC"))
    assert waits_until is not None
    assert liquid.render_line("{{ x | date: '%F' }}", {"x": text}) == waits_until.date().isoformat()


@pytest.mark.parametrize("text", [*AMBIGUOUS, "30-03-04"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ x | date: '%F' }}",
        "{{ x | add: '1d' }}",
        "{{ x | days_until }}",
        "{{ x | next_anniversary }}",
        "{% if x < '2030-01-01' %}{% endif %}",
        "{% if '2030-01-01T10:00:00Z' >= x %}{% endif %}",
        "{% if x == '2030-03-04' %}{% endif %}",
    ],
)
def test_filters_and_comparisons_refuse_a_date_with_several_meanings(template: str, text: str) -> None:
    with pytest.raises(TemplateError, match=r"04/03 is 4 March or 3 April|year of two digits") as caught:
        liquid.render_line(template, {"x": text, "now": "2026-07-16T10:00:00+02:00"})
    assert text not in re.sub(r"04/03 is", "", str(caught.value))
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("'4.3.2030' < '2030-03-05'", True),
        ("'4.3.2030' > '2030-03-04'", False),
        ("'4.3.2030' == '2030-03-04'", True),
        ("'13.2.2030' < '4.3.2030'", True),
        ("'4.3.2030 10:00' <= '2030-03-04T10:00:00Z'", True),
        ("'1.10.2' < '1.9.2'", True),
        ("'04/03' < '2030-03-04'", True),
        ("'March 4, 2030' < '2030-03-05'", True),
        ("'abc' < '2030-03-04'", False),
    ],
)
def test_conditions_compare_dates_by_the_calendar(condition: str, holds: bool) -> None:
    assert liquid.evaluate_condition(condition, {}) is holds
