"""The limits of a destination, as `destinations.yaml` sets them."""

from __future__ import annotations

from dataclasses import dataclass


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
        concurrency: So many requests are under way at once; at least 1.
        breaker: When it is left alone; None for never.
    """

    concurrency: int = 50
    breaker: BreakerLimits | None = BreakerLimits()
