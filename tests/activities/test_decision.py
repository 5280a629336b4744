"""Conditions and values that a journey asks for."""

from typing import Any

import pytest

from activities.decision import decide
from activities.interface import EvaluationRequest, EvaluationResult

DATE = "{{ reward.expiration_date }}"
MISSING = "the date to wait for is missing"
UNREADABLE = "a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00"


@pytest.mark.parametrize(
    ("value", "offset", "expected"),
    [
        ("2027-03-29 09:00:00", 0.0, EvaluationResult(end="2027-03-29T07:00:00+00:00")),
        # Three days of the calendar, with a change of the clocks between: 09:00 there, too.
        ("2027-03-29 09:00:00", -3 * 86_400.0, EvaluationResult(end="2027-03-26T08:00:00+00:00")),
        ("2027-03-29T09:00:00+02:00", 60.0, EvaluationResult(end="2027-03-29T07:01:00+00:00")),
        ("0000-00-00 00:00:00", 0.0, EvaluationResult(no_date=MISSING)),
        (None, 0.0, EvaluationResult(no_date=MISSING)),
        ("soon", 0.0, EvaluationResult(no_date=UNREADABLE)),
        ({"a": "x" * 10_000}, 0.0, EvaluationResult(no_date=UNREADABLE)),
    ],
)
async def test_a_date_to_wait_for_comes_with_the_end_of_the_wait(
    value: Any, offset: float, expected: EvaluationResult
) -> None:
    data = {"reward": {"expiration_date": value}}
    question = EvaluationRequest(text=DATE, data=data, kind="value", zone="Europe/Paris", offset=offset)
    assert await decide(question) == expected
