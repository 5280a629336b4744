"""The arguments of updates beside operator and reason, checked: the version of a retry, a retry policy."""

from __future__ import annotations

from typing import Any, Final, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from scenario.errors import DurationError
    from scenario.plan.retry import BOUNDS, STEEPEST, STORED, fit
    from scenario.time.duration import parse_duration

_NUMBERS: Final = {
    "backoff_coefficient": f"must be a number from 1 to {STEEPEST}",
    "maximum_attempts": "must be a whole number; 0 is as many as the deadline allows",
}
_DURATION: Final = "must be a duration, such as 90s or 2h, or a number of seconds"


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
    """What `retune` asks for: `scenario.plan.retry.Changes`.

    Raises:
        ApplicationError: It is none.
    """
    retry = argument.get("retry")
    if not isinstance(retry, dict) or not retry:
        raise refusal(f"'retry' is missing: give at least one of {', '.join(STORED)}")
    read = {STORED.get(name, ""): _value(name, value) for name, value in cast("dict[str, Any]", retry).items()}
    if not fit(read):
        raise refusal("'maximum_interval' is shorter than 'initial_interval'")
    return read


def _value(name: str, value: Any) -> float:
    if name not in STORED:
        raise refusal(f"'retry' knows no '{name[:40]}': it knows {', '.join(STORED)}")
    number: Any = value
    if isinstance(value, str) and name not in _NUMBERS:
        try:
            number = parse_duration(value).total_seconds()
        except DurationError:
            number = None
    kinds = int if name == "maximum_attempts" else int | float
    low, high = BOUNDS[name]
    if not isinstance(number, kinds) or isinstance(number, bool) or not low <= number <= high:
        raise refusal(f"'{name}' {_NUMBERS.get(name, _DURATION)}")
    return number if name in _NUMBERS else float(number)
