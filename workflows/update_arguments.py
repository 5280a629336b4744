"""The arguments of updates: a version, names of steps, a retry policy. Malformed ones are refused."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from temporalio.exceptions import ApplicationError, FailureError

from activities.call import ActivityType
from scenario.errors import DurationError
from scenario.plan.retry import BOUNDS, STEEPEST, STORED, fit
from scenario.time.duration import parse_duration
from workflows.limits import is_object
from workflows.primitives import call

Result = TypeVar("Result")

_TRIES: Final = 3
_NUMBERS: Final = {
    "backoff_coefficient": f"must be a number from 1 to {STEEPEST}",
    "maximum_attempts": "must be a whole number; 0 is as many as the deadline allows",
}
_MOST_NAMES: Final = 1000
_LONGEST_NAME: Final = 300
_DURATION: Final = "must be a duration, such as 90s or 2h, or a number of seconds"


def refusal(reason: str) -> ApplicationError:
    """Return the failure of an update that changes nothing."""
    return ApplicationError(reason, type="NotNow", non_retryable=True)


async def call_for_update(activity: ActivityType[Any, Result], argument: Any) -> Result:
    """Run a local activity for an update, or refuse the update after a few failed attempts."""
    try:
        return await call(activity, argument, tries=_TRIES)
    except FailureError as error:
        raise refusal("this could not be done just now, and nothing has changed: try again") from error


def read_version(argument: dict[str, Any]) -> int | str | None:
    """Return the version that an update names: a number, ``newest``, or None.

    Raises:
        ApplicationError: It is something else.
    """
    version = argument.get("version")
    if version is None or version == "newest" or (isinstance(version, int) and version > 0 and version is not True):
        return version
    raise refusal("'version' must be the number of a version, such as 4, or 'newest'")


def read_names(argument: dict[str, Any]) -> dict[str, str]:
    """Return the map of `migrate`: new step ids by old ones.

    Raises:
        ApplicationError: It is not such a map.
    """
    given: Any = argument.get("map")
    names: dict[Any, Any] = given if is_object(given) else {}
    is_short = len(names) <= _MOST_NAMES
    if (given is None or names == given) and is_short and all(_is_name(one) for pair in names.items() for one in pair):
        return names
    raise refusal('\'map\' must be an object: new ids of steps by their old ones, such as {"wait-2": "wait-3"}')


def read_waits(argument: dict[str, Any]) -> bool:
    """Return True if `migrate` restarts a wait, instead of keeping its start.

    Raises:
        ApplicationError: It states something else.
    """
    waits = argument.get("waits", "keep")
    if waits not in ("keep", "restart"):
        raise refusal("'waits' must be 'keep' or 'restart'")
    return waits == "restart"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def read_retry(argument: dict[str, Any]) -> dict[str, float]:
    """Return the changes that `retune` makes, as `scenario.plan.retry.Changes`.

    Raises:
        ApplicationError: They are malformed or out of bounds.
    """
    retry = argument.get("retry")
    if not is_object(retry) or not retry:
        raise refusal(f"'retry' is missing: give at least one of {', '.join(STORED)}")
    read = {STORED.get(name, ""): _value(name, value) for name, value in retry.items()}
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
