"""The one retry policy: how plans hold it, and what may be changed of it."""

from datetime import timedelta
from typing import Any

import pytest

from scenario.model import parts
from scenario.plan.retry import STORED, RetryPolicy, fit
from scenario.steps.delivery import Send
from scenario.steps.registry import dump_row, read_row


def test_plans_hold_it_by_short_names_without_what_has_its_default():
    policy = RetryPolicy(
        initial_interval=1, maximum_interval=60, backoff_coefficient=2, deadline=90, maximum_attempts=4
    )
    row = dump_row(Send(kind="webhook", retry=policy))
    assert row["retry"] == {"initial": 1.0, "coefficient": 2.0, "maximum": 60.0, "deadline": 90.0, "attempts": 4}
    assert list(row["retry"]) == ["initial", "coefficient", "maximum", "deadline", "attempts"]
    assert read_row(row) == Send(kind="webhook", retry=policy)
    assert dump_row(Send(kind="webhook")) == {"kind": "webhook"}
    assert dump_row(Send(kind="webhook", retry=RetryPolicy(maximum_attempts=3)))["retry"] == {"attempts": 3}


def test_it_is_read_by_its_own_names_too_and_what_a_newer_program_adds_is_passed_over():
    row: Any = read_row({"kind": "sms", "retry": {"initial_interval": 9, "attempts": 2, "jitter": 1}})
    assert row.retry == RetryPolicy(initial_interval=9.0, maximum_attempts=2)


def test_some_of_its_values_are_changed():
    changed = RetryPolicy(deadline=60).changed_by({"attempts": 5.0, "initial": 2, "of a later version": 1.0})
    assert changed == RetryPolicy(deadline=60, maximum_attempts=5, initial_interval=2.0)
    # More than any number of JSON's holds exactly: a journey must not fail over it.
    assert RetryPolicy().changed_by({"attempts": 1e20}).maximum_attempts == 10**20


def test_what_an_author_writes_is_the_policy_and_what_was_left_out_is_not_its_own():
    written = parts.Retry(initial_interval=timedelta(minutes=1), maximum_attempts=10**400)
    assert written.policy == RetryPolicy(initial_interval=60.0, maximum_attempts=10**400)
    assert parts.Retry().policy == RetryPolicy()
    assert parts.Retry(maximum_attempts=2, deadline=timedelta(days=1)).own == {"deadline": 86_400.0, "attempts": 2.0}
    assert set(STORED) == set(parts.Retry.model_fields)


@pytest.mark.parametrize(
    ("changes", "known", "fits"),
    [
        ({}, {}, True),
        ({"initial": 7200}, {}, True),
        ({"initial": 60, "maximum": 59}, {}, False),
        ({"initial": 61}, {"maximum": 60.0}, False),
        ({"initial": 60}, {"maximum": 60.0}, True),
        ({"maximum": 4}, {"initial": 5.0, "maximum": 60.0}, False),
        ({"initial": 3, "maximum": 4}, {"initial": 5.0, "maximum": 60.0}, True),
    ],
)
def test_no_pause_is_longer_than_the_longest(changes: Any, known: Any, fits: bool):
    assert fit(changes, **known) is fits
