"""Limits the requests of this process to each destination.

A delivery that may not be sent is *turned away with an appointment*: its attempt ends, and Temporal keeps it until
then, so waiting uses no slot. Appointments of a destination are spaced by its capacity.

The limiter knows one process. The server limits all workers together (`server_rates`).
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, Self
from zlib import crc32

from activities.outcome import Backoff
from activities.webhook.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker, HealthSignal, Ticket

SOON: Final = 1.0  # seconds until the earliest appointment
HORIZON: Final = 60.0
"""Seconds in which appointments follow the destination's speed.

Later ones are closer together, because it may become faster.
"""
FARTHEST: Final = 600.0  # seconds until the latest appointment, after a breaker's pause
IDLE: Final = 3_600.0  # seconds after which an unused destination is forgotten
LABELS: Final = 1_000  # maximum number of remembered destinations, unless more are in use
_QUICKEST: Final = 0.01  # seconds between two appointments, however quick the destination
_CHECK: Final = 0.05  # seconds between two of a destination that is down, and between those beyond the horizon
_UNKNOWN: Final = 0.25  # seconds that a request is thought to take before one has ended
_WEIGHT: Final = 0.1  # of the newest duration in their mean

logger = logging.getLogger(__name__)


_WAITS: Final = {
    "busy": ("has as many requests in flight as allowed", "this one waits for its turn"),
    "breaker_open": ("has failed too often and gets no requests for a while", "this delivery waits"),
}

_OPENNESS: Final = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a destination in one worker process. The server limits the rate (`rates`)."""

    concurrency: int = 50  # maximum number of requests in flight; at least 1
    breaker: BreakerLimits | None = field(default_factory=BreakerLimits)  # its breaker's limits, or None


class Permit:
    """Permission for one request; a context manager.

    If the block ends without `leave`, the slot is freed and nothing is concluded about the destination's health.
    """

    __slots__ = ("_leave", "probe")

    def __init__(self, leave: Callable[[Permit, HealthSignal], None], probe: bool) -> None:
        self._leave: Callable[[Permit, HealthSignal], None] | None = leave
        self.probe = probe  # True for a breaker's probe

    def leave(self, pulse: HealthSignal) -> None:
        """Return the permission, with the receiver's health. Later calls are ignored."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self, pulse)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(HealthSignal.NOTHING)


class Limiter:
    """The limiter of a worker process with `slots` attempts. Not thread-safe; nothing in it waits.

    One destination gets at most three quarters of the slots, and a twentieth while so many are used. `changed` is
    called when a breaker pauses a destination, and when the destination answers again.
    """

    def __init__(
        self,
        slots: int = 200,
        clock: Callable[[], float] = time.monotonic,
        seed: str = "",
        changed: Callable[[str, bool], None] = lambda label, paused: None,
    ) -> None:
        self._most = max(1, slots * 3 // 4)
        self._few = max(1, slots // 20)
        self._clock = clock
        self._seed = seed
        self._changed = changed
        self._inside = 0
        self._places: OrderedDict[str, _DestinationState] = OrderedDict()

    def enter(self, label: str, limits: Limits, delivery: str = "") -> Permit | Backoff:
        """Request permission to send to a destination's name, or the host of a plain `url:`."""
        now = self._clock()
        place = self._place(label, now)
        breaker = place.heed(limits, self._clock, f"{self._seed}/{label}")
        bound = self._bound(place, limits.concurrency)
        if breaker is not None and breaker.state is BreakerState.OPEN:
            return _wait(label, place.appoint(now, breaker.reopens, bound, delivery, busy=False), "breaker_open")
        if len(place.inside) >= bound:
            return _wait(label, place.appoint(now, now, bound, delivery, busy=True), "busy")
        ticket = None
        if breaker is not None and (ticket := breaker.admit()) is None:  # another one probes
            return _wait(label, place.appoint(now, now, bound, delivery, busy=False), "breaker_open")
        self._inside += 1

        def leave(given: Permit, pulse: HealthSignal) -> None:
            self._inside -= 1
            place.leave(given, self._clock(), pulse)
            if breaker is not None and ticket is not None:
                _give_back(label, breaker, ticket, pulse, self._changed)

        given = Permit(leave, ticket is not None and ticket.probe)
        place.inside[given] = now
        return given

    def breakers(self) -> list[tuple[tuple[str], float]]:
        """Return the state of each destination's breaker: 0 closed, 1 half open, 2 open. Thread-safe."""
        places = list(self._places.items())
        return [((label,), _OPENNESS[breaker.state]) for label, place in places if (breaker := place.breaker)]

    def __len__(self) -> int:
        return len(self._places)

    def _bound(self, place: _DestinationState, concurrency: int) -> int:
        """Return the maximum number of concurrent requests to a destination."""
        bound = min(concurrency, self._most)
        if place.breaker is not None:
            bound = min(bound, place.breaker.room)
        return min(bound, self._few) if self._inside >= self._most else bound

    def _place(self, label: str, now: float) -> _DestinationState:
        place = self._places.get(label)
        if place is None:
            place = self._places[label] = _DestinationState()
        else:
            self._places.move_to_end(label)
        place.used = now
        self._forget(now)
        return place

    def _forget(self, now: float) -> None:
        """Forget unused destinations, the longest unused first."""
        gone: list[str] = []
        for label, place in self._places.items():
            if place.used + IDLE >= now and len(self._places) - len(gone) <= LABELS:
                break
            if not place.inside and place.used < now:
                gone.append(label)
        for label in gone:
            del self._places[label]


class _DestinationState:
    __slots__ = ("_due", "_mean", "breaker", "inside", "used")

    def __init__(self) -> None:
        self.inside: dict[Permit, float] = {}  # requests in flight, and their start times
        self.breaker: CircuitBreaker | None = None  # its breaker, or None if it is off
        self.used = 0.0
        self._mean: float | None = None  # seconds that a request takes
        self._due = float("-inf")  # the next free appointment

    def heed(self, limits: Limits, clock: Callable[[], float], seed: str) -> CircuitBreaker | None:
        if limits.breaker is None:
            self.breaker = None
        elif self.breaker is None:
            self.breaker = CircuitBreaker(limits.breaker, clock, seed)
        else:
            self.breaker.limits = limits.breaker
        return self.breaker

    def appoint(self, now: float, earliest: float, bound: int, delivery: str, *, busy: bool) -> float:
        """Return the seconds until the next appointment, one *service time* after the previous one.

        This is the generic cell rate algorithm, for at most `bound` concurrent requests.
        """
        base = max(earliest, now + SOON)
        moment = max(base, self._due)
        if moment - base > FARTHEST:
            # The order is lost anyway: any time in the farther half will do.
            return base - now + FARTHEST * (1 + crc32(delivery.encode()) / 2**32) / 2
        space = max(self._service(now) / bound, _QUICKEST if busy else _CHECK)
        self._due = moment + (space if moment - base < HORIZON else min(space, _CHECK))
        return moment - now

    def leave(self, given: Permit, now: float, pulse: HealthSignal) -> None:
        took = now - self.inside.pop(given)
        if pulse is not HealthSignal.NOTHING:
            self._mean = took if self._mean is None else self._mean + _WEIGHT * (took - self._mean)

    def _service(self, now: float) -> float:
        """Return the seconds of a request: the mean, or the age of those in flight if that is longer."""
        waiting = sum(now - since for since in self.inside.values()) / len(self.inside) if self.inside else 0.0
        return max(_UNKNOWN if self._mean is None else self._mean, waiting)


def _wait(label: str, seconds: float, word: Literal["busy", "breaker_open"]) -> Backoff:
    reason, then = _WAITS[word]
    # Rounded up: a microsecond too early is too early.
    return Backoff(timedelta(microseconds=math.ceil(seconds * 1e6)), f"{label} {reason}", then, word)


def _give_back(
    label: str, breaker: CircuitBreaker, ticket: Ticket, pulse: HealthSignal, changed: Callable[[str, bool], None]
) -> None:
    """Report a result to the breaker, and log and report its changes."""
    before = breaker.state
    counted = breaker.counted()
    breaker.give_back(ticket, pulse)
    after = breaker.state
    if after is BreakerState.OPEN and before is BreakerState.CLOSED:
        logger.warning("%s is left alone: it fails too often (%d of %d before the last)", label, *counted)
        changed(label, True)
    elif after is BreakerState.OPEN and before is BreakerState.HALF_OPEN:
        logger.info("%s is still failing, and left alone for longer", label)
    elif after is BreakerState.CLOSED and before is not BreakerState.CLOSED:
        logger.info("%s answers again", label)
        changed(label, False)
