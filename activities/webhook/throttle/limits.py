"""Limits of a destination, and what an attempt tells its circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a destination counts as down, and how long it is left alone.

    Attributes:
        failures: The share of failing results from which on it is left alone: more than 0, at most 1.
        minimum: So many results there must be before the share says anything; at least 1.
        window: Seconds that results count.
        pause: Seconds that it is left alone the first time; each failing probe doubles them.
    """

    failures: float = 0.7
    minimum: int = 10
    window: float = 300.0
    pause: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one destination can take from one worker process.

    The rate is not among them: the server keeps it, for all workers together (`rates`).

    Attributes:
        concurrency: So many requests are in progress at once; at least 1.
        breaker: When it is left alone; None for never.
    """

    concurrency: int = 50
    breaker: BreakerLimits | None = BreakerLimits()


class HealthSignal(StrEnum):
    """How the receiver looked."""

    ALIVE = "alive"
    """It answered, and not that it is broken."""
    FAILING = "failing"
    """It could not be reached, gave no answer, or said that it is broken."""
    NOTHING = "nothing"
    """The attempt never got as far as the receiver."""


_SERVER_ERRORS: Final = 500
_ABOUT_US: Final = frozenset({501, 505, 506})
"""5xx that speak of our request (method, version, negotiation) rather than of the server's state (RFC 9110 §15.6)."""


def signal_of(status: int) -> HealthSignal:
    """What a response's status says; an invalid one of 600 or more counts as 5xx (RFC 9110 §15)."""
    return HealthSignal.FAILING if status >= _SERVER_ERRORS and status not in _ABOUT_US else HealthSignal.ALIVE
