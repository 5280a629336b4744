"""How a delivery is tried again, as plans hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from scenario.model import parts


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))
class Retry:
    """A retry policy in Temporal's words; intervals and deadline in seconds. See `scenario.model.parts.Retry`."""

    initial: float = 5.0
    coefficient: float = 3.0
    maximum: float = 21_600.0
    deadline: float = 259_200.0
    attempts: int = 0

    @classmethod
    def of(cls, written: parts.Retry) -> Retry:
        """The policy that a scenario asks for."""
        return cls(
            initial=written.initial_interval.total_seconds(),
            coefficient=written.backoff_coefficient,
            maximum=written.maximum_interval.total_seconds(),
            deadline=written.deadline.total_seconds(),
            attempts=written.maximum_attempts,
        )


RETRY_WORDS: Final[Mapping[str, str]] = {
    "initial_interval": "initial",
    "backoff_coefficient": "coefficient",
    "maximum_interval": "maximum",
    "deadline": "deadline",
    "maximum_attempts": "attempts",
}
"""The fields of `Retry`, by the words of scenarios, of `destinations.yaml` and of operators."""
