"""The arguments of updates."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from workflows.updates import read_retry, read_version

KNOWN = "initial_interval, backoff_coefficient, maximum_interval, deadline, maximum_attempts"
LENGTH = "must be a duration, such as 90s or 2h, or a number of seconds"


@pytest.mark.parametrize(
    ("retry", "read"),
    [
        ({"initial_interval": "1s"}, {"initial": 1.0}),
        ({"initial_interval": 90, "maximum_interval": "1h30m"}, {"initial": 90.0, "maximum": 5400.0}),
        ({"initial_interval": 0.5, "backoff_coefficient": 1}, {"initial": 0.5, "coefficient": 1}),
        ({"backoff_coefficient": 1.5, "maximum_attempts": 0}, {"coefficient": 1.5, "attempts": 0}),
        ({"maximum_attempts": 12, "deadline": "P1D"}, {"attempts": 12, "deadline": 86_400.0}),
    ],
)
def test_a_retry_policy_is_read_in_the_words_of_the_scenario_file(retry: Any, read: dict[str, float]) -> None:
    assert read_retry({"retry": retry}) == read


@pytest.mark.parametrize(
    ("retry", "sentence"),
    [
        (None, f"'retry' is missing: give at least one of {KNOWN}"),
        ("1s", f"'retry' is missing: give at least one of {KNOWN}"),
        ({"timeout": "1s"}, f"'retry' knows no 'timeout': it knows {KNOWN}"),
        ({"initial_interval": "soon"}, f"'initial_interval' {LENGTH}"),
        ({"initial_interval": 0}, f"'initial_interval' {LENGTH}"),
        ({"initial_interval": True}, f"'initial_interval' {LENGTH}"),
        ({"maximum_interval": float("nan")}, f"'maximum_interval' {LENGTH}"),
        ({"deadline": [1]}, f"'deadline' {LENGTH}"),
        ({"deadline": "4000d"}, f"'deadline' {LENGTH}"),
        ({"backoff_coefficient": 0.5}, "'backoff_coefficient' must be a number from 1 to 100"),
        ({"backoff_coefficient": "2"}, "'backoff_coefficient' must be a number from 1 to 100"),
        ({"maximum_attempts": -1}, "'maximum_attempts' must be a whole number; 0 is as many as the deadline allows"),
        ({"maximum_attempts": 2.5}, "'maximum_attempts' must be a whole number; 0 is as many as the deadline allows"),
        ({"initial_interval": "2h", "maximum_interval": "1h"}, "'maximum_interval' is shorter than 'initial_interval'"),
    ],
)
def test_what_is_no_retry_policy_is_refused(retry: Any, sentence: str) -> None:
    with pytest.raises(ApplicationError) as caught:
        read_retry({"retry": retry})
    assert caught.value.message == sentence


@pytest.mark.parametrize("version", [None, 1, 4, "newest"])
def test_a_version_is_a_number_or_the_newest(version: Any) -> None:
    assert read_version({"version": version}) == version


@pytest.mark.parametrize("version", [0, "4", "latest", 1.5, True, [1]])
def test_anything_else_is_no_version(version: Any) -> None:
    with pytest.raises(ApplicationError, match="'version' must be"):
        read_version({"version": version})
