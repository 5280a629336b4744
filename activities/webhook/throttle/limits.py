"""The limits of a destination, from `destinations.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """Limits of a circuit breaker.

    Attributes:
        failures: Share of failures that opens it: more than 0, at most 1.
        minimum: Minimum number of results; at least 1.
        window: Seconds that results count.
        pause: Seconds of the first pause; each failing probe doubles it.
    """

    failures: float = 0.7
    minimum: int = 10
    window: float = 300.0
    pause: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a destination in one worker process. The server limits the rate (`rates`).

    Attributes:
        concurrency: Maximum number of requests in flight; at least 1.
        breaker: Its breaker's limits, or None.
    """

    concurrency: int = 50
    breaker: BreakerLimits | None = BreakerLimits()


class HealthSignal(StrEnum):
    """The receiver's health after a request."""

    ALIVE = "alive"
    """It answered, and not that it is broken."""
    FAILING = "failing"
    """It could not be reached, gave no answer, or said that it is broken."""
    NOTHING = "nothing"
    """The attempt never got as far as the receiver."""


_SERVER_ERRORS: Final = 500
_ABOUT_US: Final = frozenset({501, 505, 506})
"""5xx that concern our request (method, version, negotiation) instead of the server's state (RFC 9110 §15.6)."""


def signal_of(status: int) -> HealthSignal:
    """Return the health for a status; 600 and more count as 5xx (RFC 9110 §15)."""
    return HealthSignal.FAILING if status >= _SERVER_ERRORS and status not in _ABOUT_US else HealthSignal.ALIVE
