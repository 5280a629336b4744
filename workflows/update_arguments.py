"""The arguments of updates beside operator and reason, checked: the version of a retry, a retry policy."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from scenario.errors import DurationError
    from scenario.plan.retry import RETRY_WORDS
    from scenario.time.duration import LONGEST, parse_duration

UNLIMITED: Final = 2**31 - 1
"""So many attempts are as good as no limit; the largest number that Temporal takes."""
STEEPEST: Final = 100
"""The largest backoff coefficient."""


def refusal(reason: str) -> ApplicationError:
    """What an update fails with, so that nothing comes of it."""
    return ApplicationError(reason, type="NotNow", non_retryable=True)


def read_version(argument: dict[str, Any]) -> int | str | None:
    """The version that `retry_step` names: a number, ``newest``, or None where it names none.

    Raises:
        ApplicationError: It is neither.
    """
    version = argument.get("version")
    if version is None or version == "newest" or (isinstance(version, int) and version > 0 and version is not True):
        return version
    raise refusal("'version' must be the number of a version, such as 4, or 'newest'")


def read_retry(argument: dict[str, Any]) -> dict[str, float]:
    """What `retune` asks for: changes of the retry policy, by the names of `scenario.plan.retry.Retry`, in seconds.

    Raises:
        ApplicationError: It is none.
    """
    retry = argument.get("retry")
    if not isinstance(retry, dict) or not retry:
        raise refusal(f"'retry' is missing: give at least one of {', '.join(RETRY_WORDS)}")
    read = {_known(word): _value(word, value) for word, value in cast("dict[str, Any]", retry).items()}
    if read.get("maximum", math.inf) < read.get("initial", 0):
        raise refusal("'maximum_interval' is shorter than 'initial_interval'")
    return read


def _known(word: str) -> str:
    if word not in RETRY_WORDS:
        raise refusal(f"'retry' knows no '{word[:40]}': it knows {', '.join(RETRY_WORDS)}")
    return RETRY_WORDS[word]


def _value(word: str, value: Any) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if word == "backoff_coefficient":
        if number is None or not 1 <= number <= STEEPEST:
            raise refusal(f"'backoff_coefficient' must be a number from 1 to {STEEPEST}")
        return number
    if word == "maximum_attempts":
        if not isinstance(number, int) or not 0 <= number <= UNLIMITED:
            raise refusal("'maximum_attempts' must be a whole number; 0 is as many as the deadline allows")
        return number
    try:
        length = parse_duration(value) if isinstance(value, str) else timedelta(seconds=number or 0)
    except (DurationError, ValueError, OverflowError):  # no duration, no number, or more than fits
        length = timedelta(0)
    if not timedelta(milliseconds=1) <= length <= LONGEST:
        raise refusal(f"'{word}' must be a duration, such as 90s or 2h, or a number of seconds")
    return length.total_seconds()
