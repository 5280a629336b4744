"""A circuit breaker: an unavailable receiver gets only an occasional probe, until one succeeds.

    CLOSED   all requests pass; results are counted in a sliding window
       │  enough results, and too many failures
       ▼
    OPEN     no request passes until the pause ends; then HALF OPEN: one *probe*
       │  the receiver answers the probe (if it fails: OPEN again, for twice as long)
       ▼
    CLOSED   slowly: two requests at a time, then four, and so on with every answer

It knows no clock, destination or request: see `activities.webhook.limiter`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zlib import crc32

LONGEST: Final = 600.0  # seconds at which a pause stops doubling; a longer configured pause stays
SPREAD: Final = 0.2  # maximum jitter of a pause, which differs between processes

_BUCKETS: Final = 20
_FULL: Final = 1_000
_SLIP: Final = 1e-6  # 0.55 * 20 is a little more than 11 to a computer


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """Limits of a circuit breaker."""

    failures: float = 0.7  # share of failures that opens it: more than 0, at most 1
    minimum: int = 10  # minimum number of results; at least 1
    window: float = 300.0  # seconds that results count
    pause: float = 30.0  # seconds of the first pause; each failing probe doubles it


class HealthSignal(StrEnum):
    """The receiver's health after a request."""

    ALIVE = "alive"  # it answered, and not that it is broken
    FAILING = "failing"  # it could not be reached, gave no answer, or said that it is broken
    NOTHING = "nothing"  # the attempt never got as far as the receiver


_SERVER_ERRORS: Final = 500
_ABOUT_US: Final = frozenset({501, 505, 506})
"""5xx that concern our request (method, version, negotiation) instead of the server's state (RFC 9110 §15.6)."""


def signal_of(status: int) -> HealthSignal:
    """Return the health for a status; 600 and more count as 5xx (RFC 9110 §15)."""
    return HealthSignal.FAILING if status >= _SERVER_ERRORS and status not in _ABOUT_US else HealthSignal.ALIVE


class BreakerState(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """Permission for one request, to be returned with its result."""

    epoch: int  # number of the breaker's changes so far: results from before the latest change do not count
    probe: bool  # True for the probe


class CircuitBreaker:
    """The breaker of one destination in one process. Not thread-safe; nothing in it waits.

    Results are counted in 20 buckets, so a result counts for the window's length, or up to a twentieth less. The seed
    distinguishes its jitter from other processes'.
    """

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float], seed: str = "") -> None:
        self.limits = limits
        self._clock = clock
        self._seed = seed
        self._window = _Window()
        self._epoch = 0
        self._openings = 0
        self._until: float | None = None
        self._probe: Ticket | None = None
        self.room = _FULL  # maximum number of concurrent requests to a recovering receiver

    @property
    def state(self) -> BreakerState:
        """The current state. Thread-safe."""
        until = self._until
        if until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock() < until else BreakerState.HALF_OPEN

    @property
    def reopens(self) -> float:
        """The time of the next probe by the clock; in the past if one may go or is in flight."""
        return self._clock() if self._until is None else self._until

    def counted(self) -> tuple[int, int]:
        """Return the numbers of failures and of results in the window."""
        return self._window.counts(self._clock(), self.limits.window)

    def admit(self) -> Ticket | None:
        match self.state:
            case BreakerState.CLOSED:
                return Ticket(self._epoch, probe=False)
            case BreakerState.HALF_OPEN if self._probe is None:
                self._probe = Ticket(self._epoch, probe=True)
                return self._probe
            case _:
                return None

    def give_back(self, ticket: Ticket, pulse: HealthSignal) -> None:
        """Count a request's result. A probe without a result allows another one."""
        if ticket is self._probe:
            self._probe = None
        if ticket.epoch != self._epoch or pulse is HealthSignal.NOTHING:
            return
        failing = pulse is HealthSignal.FAILING
        if ticket.probe:
            if failing:
                self._open()
            else:
                self._close()
            return
        if not failing and self.room < _FULL:
            self.room *= 2
        now = self._clock()
        self._window.add(now, self.limits.window, failing=failing)
        if failing:
            bad, total = self._window.counts(now, self.limits.window)
            if total >= self.limits.minimum and bad >= self.limits.failures * total - _SLIP:
                self._open()

    def _open(self) -> None:
        pause = self.limits.pause
        pause = min(pause * 2 ** min(self._openings, 20), max(LONGEST, pause))
        spread = crc32(f"{self._seed}/{self._epoch}".encode()) / 2**32
        self._until = self._clock() + pause * (1 + SPREAD * spread)
        self._openings += 1
        self._epoch += 1

    def _close(self) -> None:
        self._until = None
        self._openings = 0
        self._epoch += 1
        self._window = _Window()
        self.room = 2


class _Window:
    """Counts of the latest results."""

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque()  # [number of the bucket, failing, all]
        self._width = 0.0

    def add(self, now: float, length: float, *, failing: bool) -> None:
        self._forget(now, length)
        number = int(now // self._width)
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append([number, 0, 0])
        self._buckets[-1][1] += failing
        self._buckets[-1][2] += 1

    def counts(self, now: float, length: float) -> tuple[int, int]:
        self._forget(now, length)
        return sum(bucket[1] for bucket in self._buckets), sum(bucket[2] for bucket in self._buckets)

    def _forget(self, now: float, length: float) -> None:
        width = length / _BUCKETS
        if width != self._width:  # another length was set: counts of other buckets cannot be compared
            self._buckets.clear()
            self._width = width
        oldest = int(now // width) - _BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
