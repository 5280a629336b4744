"""The retry policy of deliveries: its values, limits and changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from scenario.time import LONGEST

SHORT: Final = timedelta(hours=1)
"""Time for which a receiver that looks misconfigured (401, a refused login) is tried."""
LAST: Final = timedelta(seconds=5)
"""Time before the deadline at which a last attempt starts. It may still have to wait for a worker."""
_JITTER: Final = 0.2
STEEPEST: Final = 100
UNLIMITED: Final = 2**31 - 1
"""Number of attempts that means no limit: the largest number that Temporal accepts."""
_LENGTHS: Final = (0.001, LONGEST.total_seconds())
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "initial_interval": _LENGTHS,
    "backoff_coefficient": (1, STEEPEST),
    "maximum_interval": _LENGTHS,
    "deadline": _LENGTHS,
    "maximum_attempts": (0, UNLIMITED),
}
"""Minimum and maximum of each value that a person may give."""

Changes: TypeAlias = Mapping[str, float]
"""Some values of a policy by their names in plans (`STORED`), durations in seconds."""


@dataclass(
    frozen=True,
    kw_only=True,
    config=ConfigDict(extra="ignore", validate_by_name=True, serialize_by_alias=True, use_attribute_docstrings=True),
)
class RetryPolicy:
    """A retry policy in Temporal's words; durations in seconds.

    Plans and histories use the shorter aliases and leave out default values: neither ever changes.
    """

    initial_interval: Annotated[float, Field(alias="initial")] = 5.0
    """Pause before the second attempt."""
    backoff_coefficient: Annotated[float, Field(alias="coefficient")] = 3.0
    """Factor from one pause to the next."""
    maximum_interval: Annotated[float, Field(alias="maximum")] = 21_600.0
    """Longest pause."""
    deadline: float = 259_200.0
    """Time for all attempts, from scheduling."""
    maximum_attempts: Annotated[int, Field(alias="attempts")] = 0
    """Maximum number; 0: as many as the deadline allows."""

    @property
    def is_sound(self) -> bool:
        """True if Temporal accepts it: the first pause is not longer than the longest."""
        return self.initial_interval <= self.maximum_interval

    def spread(self, identifier: str) -> RetryPolicy:
        """Return the policy with up to 20 % jitter on its first interval.

        The jitter depends on the delivery id only, so every process calculates the same.
        """
        share = int(hashlib.sha256(identifier.encode()).hexdigest()[:8], 16) / 0xFFFF_FFFF
        initial = round(self.initial_interval * (1 - _JITTER + 2 * _JITTER * share), 3)
        return replace(self, initial_interval=initial, maximum_interval=max(self.maximum_interval, initial))

    def pause(self, attempt: int) -> float:
        """Return the seconds between the attempt of this number, from 1, and the next one."""
        try:
            return min(self.initial_interval * self.backoff_coefficient ** (attempt - 1), self.maximum_interval)
        except OverflowError:  # after hundreds of attempts, the power exceeds a float
            return self.maximum_interval

    def changed_by(self, changes: Changes) -> RetryPolicy:
        """Return the policy with changed values. Unknown names are ignored."""
        given = {name: type(getattr(self, name))(changes[key]) for name, key in STORED.items() if key in changes}
        return replace(self, **given)


STORED: Final[Mapping[str, str]] = {
    name: field.alias or name for name, field in cast("Any", RetryPolicy).__pydantic_fields__.items()
}
"""Names of a policy's values in plans and histories, by the names that people use."""


def lengthen(asked: int | None, planned: float, left: float) -> float | None:
    """Return the pause to use instead of the planned one, or None.

    A receiver can lengthen a pause, never shorten it, and never beyond the last moment for an attempt.

    Args:
        asked: Seconds that the receiver requested, or None.
        planned: Seconds until the next attempt by the policy.
        left: Seconds until the last moment for an attempt.
    """
    if asked is None:
        return None
    delay = min(float(asked), max(left, 0.0))
    return delay if delay > planned else None


def fit(changes: Changes, initial: float = 0.0, maximum: float = 0.0) -> bool:
    """Return True if changes are consistent with each other and with the current intervals; 0 means unknown."""
    known = RetryPolicy(initial_interval=initial, maximum_interval=maximum or LONGEST.total_seconds())
    return known.changed_by(changes).is_sound
