"""Many deliveries to one destination in virtual time: Temporal's retries in a heap, the gate in the middle."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from activities.outcome import Backoff
from activities.webhook.circuit_breaker import HealthSignal
from activities.webhook.limiter import Limiter, Limits, Permit
from tests.fakes import Clock

INITIAL, COEFFICIENT, MAXIMUM = 5.0, 3.0, 21_600.0
"""The default retry policy."""


@dataclass
class Seen:
    """What came of it.

    Attributes:
        at: When the receiver saw requests, in order.
        inside: The most requests under way at once.
        turned_away: How often a delivery was turned away in each second.
        delivered: When each delivery arrived.
    """

    at: list[float] = field(default_factory=list[float])
    inside: int = 0
    turned_away: Counter[int] = field(default_factory=Counter[int])
    delivered: list[float] = field(default_factory=list[float])

    def between(self, start: float, end: float) -> int:
        return sum(start <= moment < end for moment in self.at)


def crowd(
    deliveries: int,
    seconds: float,
    receiver: Callable[[float], tuple[HealthSignal, float]],
    limits: Limits | None,
    arrive: Callable[[int], float] = lambda _: 0.0,
) -> Seen:
    """Lets deliveries loose on a receiver.

    Args:
        deliveries: So many.
        seconds: Until when.
        receiver: What it answers to a request at that time, and how long that takes.
        limits: Of the destination; None for no gate at all.
        arrive: When each delivery is made.
    """
    clock, seen, order = Clock(), Seen(), itertools.count()
    gate = Limiter(clock=clock)
    inside = 0
    attempts: Counter[int] = Counter()
    todo: list[tuple[float, int, int, Permit | None, HealthSignal | None]] = []

    def at(moment: float, delivery: int, given: Permit | None = None, pulse: HealthSignal | None = None) -> None:
        heapq.heappush(todo, (moment, next(order), delivery, given, pulse))

    for number in range(deliveries):
        at(arrive(number), number)
    while todo and todo[0][0] < seconds:
        clock.now, _, delivery, given, pulse = heapq.heappop(todo)
        if pulse is None:
            leave = gate.enter("dead", limits, f"msg_{delivery}") if limits else None
            if isinstance(leave, Backoff):
                seen.turned_away[int(clock.now)] += 1
                at(clock.now + leave.delay.total_seconds(), delivery)
                continue
            seen.at.append(clock.now)
            inside += 1
            seen.inside = max(seen.inside, inside)
            answer, took = receiver(clock.now)
            at(clock.now + took, delivery, leave, answer)
            continue
        inside -= 1
        if given is not None:
            given.leave(pulse)
        if pulse is HealthSignal.ALIVE:
            seen.delivered.append(clock.now)
            continue
        jitter = 0.8 + 0.4 * crc32(f"msg_{delivery}".encode()) / 2**32
        at(clock.now + min(INITIAL * jitter * COEFFICIENT ** attempts[delivery], MAXIMUM), delivery)
        attempts[delivery] += 1
    return seen
