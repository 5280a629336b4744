"""Limits the requests of this process: may one go to a destination now, and if not, when should it come again?

A delivery that may not go is *turned away with an appointment*: its attempt ends at once, and Temporal keeps it until
then. So waiting costs no slot of the worker, however many wait. Appointments of one destination are spaced as it is
able to take requests, so that those who wait do not all come at once.

The gate knows one process. What all workers together may send is kept by the server (`server_rates`).
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal, Self
from zlib import crc32

from activities.gate import Backoff
from activities.webhook.throttle.circuit_breaker import BreakerState, CircuitBreaker, Ticket
from activities.webhook.throttle.limits import HealthSignal, Limits

SOON: Final = 1.0
"""Seconds until the earliest appointment."""
HORIZON: Final = 60.0
"""Seconds in which appointments are spaced as the destination answers. Later ones are less spaced: by then it may
have become quicker, and who comes too early is turned away once more."""
FARTHEST: Final = 600.0
"""Seconds until the latest appointment, after the breaker's pause if there is one."""
IDLE: Final = 3_600.0
"""Seconds after which a destination that nobody asks for is forgotten; longer than any pause and appointment."""
LABELS: Final = 1_000
"""So many destinations are remembered, unless more are in use."""

_QUICKEST: Final = 0.01  # seconds between two appointments, however quick the destination
_CHECK: Final = 0.05  # seconds between two of a destination that is down, and between those beyond the horizon
_UNKNOWN: Final = 0.25  # seconds that a request is thought to take before one has ended
_WEIGHT: Final = 0.1  # of the newest duration in their mean

logger = logging.getLogger(__name__)


_WAITS: Final = {
    "busy": ("has as many requests under way as allowed", "this one waits for its turn"),
    "breaker_open": ("has failed too often and gets no requests for a while", "this delivery waits"),
}

_OPENNESS: Final = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


class Permit:
    """Leave to send one request; a context manager.

    Where nothing is said with `leave` before the block ends (an error, a cancellation), the destination's slot is
    freed and nothing is concluded about its health.

    Attributes:
        probe: True if it is the one request that finds out whether the destination is back.
    """

    __slots__ = ("_ticket", "_visit", "probe")

    def __init__(self, visit: Callable[[Permit, Ticket | None, HealthSignal], None], ticket: Ticket | None) -> None:
        self._visit: Callable[[Permit, Ticket | None, HealthSignal], None] | None = visit
        self._ticket = ticket
        self.probe = ticket is not None and ticket.probe

    def leave(self, pulse: HealthSignal) -> None:
        """End it; what is said after that is ignored.

        Args:
            pulse: How the receiver looked; see `activities.webhook.throttle.limits`.
        """
        visit, self._visit = self._visit, None
        if visit is not None:
            visit(self, self._ticket, pulse)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(HealthSignal.NOTHING)


class Limiter:
    """One for each worker process. Not thread-safe; nothing in it waits.

    Args:
        slots: How many attempts the worker runs at once. One destination gets three quarters of them at most; and
            when so many are taken, by whomever, a destination that has a twentieth of them gets no more.
        clock: Seconds, never going back.
        seed: Tells this process from others, so that their breakers' pauses do not end at the same moment.
    """

    def __init__(self, slots: int = 200, clock: Callable[[], float] = time.monotonic, seed: str = "") -> None:
        self._most = max(1, slots * 3 // 4)
        self._few = max(1, slots // 20)
        self._clock = clock
        self._seed = seed
        self._inside = 0
        self._places: OrderedDict[str, _DestinationState] = OrderedDict()

    def enter(self, label: str, limits: Limits, delivery: str = "") -> Permit | Backoff:
        """Ask for leave to send one request.

        Args:
            label: The destination's name, or the host of a webhook with a plain `url:`.
            limits: As they are now; they may have changed since the last request.
            delivery: The delivery's id, by which appointments are spread where too many wait to give each its own.
        """
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

        def leave(given: Permit, ticket: Ticket | None, pulse: HealthSignal) -> None:
            self._inside -= 1
            place.leave(given, self._clock(), pulse)
            if breaker is not None and ticket is not None:
                _give_back(label, breaker, ticket, pulse)

        given = Permit(leave, ticket)
        place.inside[given] = now
        return given

    def breakers(self) -> list[tuple[tuple[str], float]]:
        """How far each destination's breaker is open: 0 closed, 1 half open, 2 open. May be asked by any thread."""
        places = list(self._places.items())
        return [((label,), _OPENNESS[breaker.state]) for label, place in places if (breaker := place.breaker)]

    def __len__(self) -> int:
        """How many destinations it remembers."""
        return len(self._places)

    def _bound(self, place: _DestinationState, concurrency: int) -> int:
        """So many requests to one destination at once."""
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
        """Forgets who was not asked for, beginning with the longest ago."""
        gone: list[str] = []
        for label, place in self._places.items():
            if place.used + IDLE >= now and len(self._places) - len(gone) <= LABELS:
                break
            if not place.inside and place.used < now:
                gone.append(label)
        for label in gone:
            del self._places[label]


class _DestinationState:
    """One destination.

    Attributes:
        inside: Requests in progress, and since when.
        breaker: None if it is switched off.
        used: When it was last asked for.
    """

    __slots__ = ("_due", "_mean", "breaker", "inside", "used")

    def __init__(self) -> None:
        self.inside: dict[Permit, float] = {}
        self.breaker: CircuitBreaker | None = None
        self.used = 0.0
        self._mean: float | None = None  # seconds that a request takes
        self._due = float("-inf")  # the next appointment that nobody has

    def heed(self, limits: Limits, clock: Callable[[], float], seed: str) -> CircuitBreaker | None:
        """Take the limits as they are now."""
        if limits.breaker is None:
            self.breaker = None
        elif self.breaker is None:
            self.breaker = CircuitBreaker(limits.breaker, clock, seed)
        else:
            self.breaker.limits = limits.breaker
        return self.breaker

    def appoint(self, now: float, earliest: float, bound: int, delivery: str, *, busy: bool) -> float:
        """Seconds until the next appointment, one *service time* after the one before (generic cell rate algorithm).

        Args:
            now: The time.
            earliest: Before it there is no sense in coming.
            bound: So many requests at once.
            delivery: Its id.
            busy: True if it takes requests, and has too many.
        """
        base = max(earliest, now + SOON)
        moment = max(base, self._due)
        if moment - base > FARTHEST:
            # There is no telling any more who comes before whom: anywhere in the farther half will do.
            return base - now + FARTHEST * (1 + crc32(delivery.encode()) / 2**32) / 2
        space = max(self._service(now) / bound, _QUICKEST if busy else _CHECK)
        self._due = moment + (space if moment - base < HORIZON else min(space, _CHECK))
        return moment - now

    def leave(self, given: Permit, now: float, pulse: HealthSignal) -> None:
        """A request has ended."""
        took = now - self.inside.pop(given)
        if pulse is not HealthSignal.NOTHING:
            self._mean = took if self._mean is None else self._mean + _WEIGHT * (took - self._mean)

    def _service(self, now: float) -> float:
        """Seconds that a request takes: the mean, or how long those in progress have been so, if that is longer."""
        waiting = sum(now - since for since in self.inside.values()) / len(self.inside) if self.inside else 0.0
        return max(_UNKNOWN if self._mean is None else self._mean, waiting)


def _wait(label: str, seconds: float, word: Literal["busy", "breaker_open"]) -> Backoff:
    reason, then = _WAITS[word]
    # Rounded up: a microsecond too early is too early.
    return Backoff(timedelta(microseconds=math.ceil(seconds * 1e6)), f"{label} {reason}", then, word)


def _give_back(label: str, breaker: CircuitBreaker, ticket: Ticket, pulse: HealthSignal) -> None:
    """Notify the breaker, and the log where that changes something."""
    before = breaker.state
    counted = breaker.counted()
    breaker.give_back(ticket, pulse)
    after = breaker.state
    if after is BreakerState.OPEN and before is BreakerState.CLOSED:
        logger.warning("%s is left alone: it fails too often (%d of %d before the last)", label, *counted)
    elif after is BreakerState.OPEN and before is BreakerState.HALF_OPEN:
        logger.info("%s is still failing, and left alone for longer", label)
    elif after is BreakerState.CLOSED and before is not BreakerState.CLOSED:
        logger.info("%s answers again", label)
