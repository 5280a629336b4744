# ruff: noqa: E501 - findings are asserted as they are printed
"""The step `wait` until a date that the scenario names, or makes of another."""

from datetime import UTC, datetime

import pytest

from scenario.check.check import check
from scenario.plan.compile import compile_plan

HEAD = "scenario: s\ntrigger: order\ntimezone: Europe/Paris\nsteps:\n"
NOW = datetime(2026, 12, 24, 8, 30, tzinfo=UTC)
BAD = "is not a date: write 2026-12-24, or 2026-12-24T09:00 with a time"

DATES = (
    ("2026-12-24T09:31", None), ("2026-12-25", None), ("2026-12-24 10:00:30", None), ("2026-12-24T09:00Z", None),
    ("2026-12-24T09:30", "5:17: warning past: this date is in the past: contacts will not wait here"),
    ("2026-12-24", "5:17: warning past: this date is in the past: contacts will not wait here"),
    ("2026-12-24, offset: 3d", None),
    ("2026-02-30", f"5:17: error value: '2026-02-30' {BAD}"),
    ("24.12.2026", f"5:17: error value: '24.12.2026' {BAD}"),
    ("2026-12-24T9:00", f"5:17: error value: '2026-12-24T9:00' {BAD}"),
    ("2026-12", f"5:17: error value: '2026-12' {BAD}"),
    ("2027-12-24, on: [mon]", "5:9: error value: 'on' goes with a time of day, not with a date"),
    ("\"{{ order.ordered_at }} 09:00\"", "5:18: error date: 'order.ordered_at' has its time already: for another one of that day write {{ order.ordered_at | date: '%Y-%m-%d' }} 09:00"),
    ("\"{{ order.ordered_at | date: '%Y-%m-%d' }} 09:00\"", None),
    ("\" {{ order.ordered_at }} \"", None), ("\"{{ today }} 09:00\"", None), ("\"{{ contact.custom.day }} 09:00\"", None),
)  # fmt: skip


@pytest.mark.parametrize(("until", "report"), DATES)
def test_what_is_wrong_with_a_date_to_wait_for_is_said(until: str, report: str | None):
    found = check(HEAD + f"- wait: {{until: {until}}}\n", now=NOW).findings
    assert [str(one).removeprefix("scenario.yaml:") for one in found] == ([report] if report else [])


def test_a_date_in_the_place_of_a_length_is_told_where_it_stands():
    found = check(HEAD + "- wait: 2026-12-24T09:00\n").findings
    assert [one.message for one in found] == ["a date stands behind 'until': write {until: 2026-12-24T09:00}"]


def test_nothing_is_past_where_nobody_says_what_time_it_is():
    assert check(HEAD + "- wait: {until: 2001-12-24}\n").findings == ()


@pytest.mark.parametrize(
    ("until", "what"),
    [
        ("2027-12-24T09:00", "wait until 2027-12-24 09:00"),
        ("2027-12-24, offset: -3d", "wait until 3d before 2027-12-24"),
        ("2027-12-24, offset: 12h", "wait until 12h after 2027-12-24"),
        ("'{{ order.ordered_at }}'", "wait until a date"),
    ],
)
def test_what_is_waited_for_is_shown(until: str, what: str):
    made = check(HEAD + f"- wait: {{until: {until}}}\n").scenario
    assert made is not None
    assert compile_plan(made).steps["wait-1"].describe() == what
