"""How a delivery is tried again: the one retry policy, what its values may be, and changes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from scenario.time.duration import LONGEST

SHORT: Final = timedelta(hours=1)
"""How long a receiver that looks misconfigured (a 401, a refused login) is tried, from the first attempt on."""
LAST: Final = timedelta(seconds=5)
"""Before the deadline, at which a last attempt is begun, however long it was to wait: it may have to wait for a worker.
It may then take its full time."""
_JITTER: Final = 0.2
STEEPEST: Final = 100
"""The largest backoff coefficient."""
UNLIMITED: Final = 2**31 - 1
"""So many attempts are as good as no limit; the largest number that Temporal takes."""
_LENGTHS: Final = (0.001, LONGEST.total_seconds())
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "initial_interval": _LENGTHS,
    "backoff_coefficient": (1, STEEPEST),
    "maximum_interval": _LENGTHS,
    "deadline": _LENGTHS,
    "maximum_attempts": (0, UNLIMITED),
}
"""The least and the most that each value may be, where a person gives it."""

Changes: TypeAlias = Mapping[str, float]
"""Some of a policy's values by the names that plans have for them (`STORED`), durations in seconds."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore", validate_by_name=True, serialize_by_alias=True))
class RetryPolicy:
    """A retry policy in Temporal's words; durations in seconds.

    Plans and histories hold it by the shorter aliases, and without what has its default value: neither ever changes.

    Attributes:
        initial_interval: Before the second attempt.
        backoff_coefficient: By which each further pause is longer.
        maximum_interval: No pause is longer.
        deadline: Over all attempts, from when the delivery was scheduled.
        maximum_attempts: So many at most; 0: as many as the deadline allows.
    """

    initial_interval: Annotated[float, Field(alias="initial")] = 5.0
    backoff_coefficient: Annotated[float, Field(alias="coefficient")] = 3.0
    maximum_interval: Annotated[float, Field(alias="maximum")] = 21_600.0
    deadline: float = 259_200.0
    maximum_attempts: Annotated[int, Field(alias="attempts")] = 0

    @property
    def is_sound(self) -> bool:
        """Whether Temporal takes it: no pause is longer than the longest."""
        return self.initial_interval <= self.maximum_interval

    def spread(self, identifier: str) -> RetryPolicy:
        """The policy with its first interval moved by up to 20 % either way.

        Deliveries that fail together would otherwise come back together. The jitter comes from the delivery id, so that
        it is the same whoever works it out.
        """
        share = int(hashlib.sha256(identifier.encode()).hexdigest()[:8], 16) / 0xFFFF_FFFF
        initial = round(self.initial_interval * (1 - _JITTER + 2 * _JITTER * share), 3)
        return replace(self, initial_interval=initial, maximum_interval=max(self.maximum_interval, initial))

    def pause(self, attempt: int) -> float:
        """Seconds between an attempt and the next one.

        Args:
            attempt: The number of the attempt that failed, from 1.
        """
        try:
            return min(self.initial_interval * self.backoff_coefficient ** (attempt - 1), self.maximum_interval)
        except OverflowError:  # after hundreds of attempts the power is not a float any more
            return self.maximum_interval

    def changed_by(self, changes: Changes) -> RetryPolicy:
        """With some of its values changed; names that it does not have, a newer program's, are ignored."""
        given = {name: type(getattr(self, name))(changes[key]) for name, key in STORED.items() if key in changes}
        return replace(self, **given)


STORED: Final[Mapping[str, str]] = {
    name: field.alias or name for name, field in cast("Any", RetryPolicy).__pydantic_fields__.items()
}
"""The names that plans and histories have for the values of a policy, by its own, which people use."""


def lengthen(asked: int | None, planned: float, left: float) -> float | None:
    """The pause to make instead of the planned one, if any.

    A receiver can ask for more patience than the retry policy has, never for less, and never past the deadline: a
    delivery's last attempt is made just before the deadline rather than not at all.

    Args:
        asked: Seconds that it asks for, if it does.
        planned: Seconds until the next attempt by the retry policy.
        left: Seconds from now to the last moment at which an attempt can still be begun.

    Returns:
        Seconds, or None to leave the planned pause alone.
    """
    if asked is None:
        return None
    delay = min(float(asked), max(left, 0.0))
    return delay if delay > planned else None


def fit(changes: Changes, initial: float = 0.0, maximum: float = 0.0) -> bool:
    """Whether changes fit each other, and the intervals that there are; those that are 0 are not known."""
    known = RetryPolicy(initial_interval=initial, maximum_interval=maximum or LONGEST.total_seconds())
    return known.changed_by(changes).is_sound
