from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from activities.webhook.outcome import MAX_SECONDS, parse_retry_after
from scenario.plan.retry import lengthen
from tests.activities.webhook.casefiles import table

NOW = datetime(2015, 10, 21, 7, 26, tzinfo=UTC)


@pytest.mark.parametrize("case", table("response_cases.json", "retry_after"))
def test_every_listed_value_is_read_as_expected(case: dict[str, Any]):
    asked = parse_retry_after(case["value"], datetime.fromisoformat(case["now"]))
    if case["expect_seconds"] == "clamp":
        assert lengthen(asked, planned=30, left=3600) == 3600
    else:
        assert asked == case["expect_seconds"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("007", 7),
        ("9" * 19, MAX_SECONDS),
        ("9" * 40, None),
        ("+5", None),
        ("5 5", None),
        ("Wed, 21 Oct 2015 07:26:60 GMT", 59),
        ("Wed, 21 Oct 2015 07:28:00 UTC", None),
        ("Wed, 21 Oct 2015 07:28:00 +0000", None),
        ("wed, 21 oct 2015 07:28:00 gmt", None),
        ("Wed, 31 Feb 2016 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 25:28:00 GMT", None),
        ("Wed Oct  1 07:28:00 2025", (datetime(2025, 10, 1, 7, 28, tzinfo=UTC) - NOW) // timedelta(seconds=1)),
        ("Thu, 31 Dec 9999 23:59:59 GMT", MAX_SECONDS),
        ("Friday, 21-Oct-94 07:28:00 GMT", 0),
        ("2015-10-21T07:28:00Z", None),
        ("٣٠", None),
    ],
)
def test_nothing_but_what_the_rfc_allows_is_read(value: str | None, seconds: int | None):
    expected = min(seconds, MAX_SECONDS) if seconds is not None else None
    assert parse_retry_after(value, NOW) == expected


def test_a_date_is_compared_in_whatever_zone_now_is():
    paris = NOW.astimezone(timezone(timedelta(hours=2)))
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", paris) == 120


def test_part_of_a_second_is_waited_out():
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", NOW + timedelta(milliseconds=1)) == 120


@pytest.mark.parametrize(
    ("asked", "planned", "left", "delay"),
    [
        (None, 30, 3600, None),
        (10, 30, 3600, None),
        (30, 30, 3600, None),
        (60, 30, 3600, 60),
        (7200, 30, 3600, 3600),
        (7200, 30, 10, None),
        (7200, 30, -5, None),
    ],
)
def test_it_only_lengthens_and_never_past_the_deadline(
    asked: int | None, planned: float, left: float, delay: float | None
):
    assert lengthen(asked, planned, left) == delay
