from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.outcome import Backoff
from activities.webhook.circuit_breaker import LONGEST, SPREAD, BreakerLimits, HealthSignal
from activities.webhook.limiter import FARTHEST, IDLE, LABELS, SOON, Limiter, Limits, Permit
from tests.fakes import Clock

TWO = Limits(concurrency=2)
QUICK = BreakerLimits(minimum=2, window=60, pause=10)


@pytest.fixture
def gate(clock: Clock) -> Limiter:
    return Limiter(clock=clock)


def enter(gate: Limiter, label: str = "wax", limits: Limits = TWO) -> Permit:
    given = gate.enter(label, limits)
    assert isinstance(given, Permit)
    return given


def fill(gate: Limiter) -> None:
    for _ in range(TWO.concurrency):
        enter(gate)


def turned_away(gate: Limiter, label: str = "wax", limits: Limits = TWO, delivery: str = "") -> Backoff:
    wait = gate.enter(label, limits, delivery)
    assert isinstance(wait, Backoff)
    return wait


def down(gate: Limiter, label: str = "wax", limits: Limits = TWO) -> None:
    assert limits.breaker is not None
    for _ in range(limits.breaker.minimum):
        enter(gate, label, limits).leave(HealthSignal.FAILING)


def test_as_many_go_at_once_as_the_destination_takes(gate: Limiter):
    first, _second = enter(gate), enter(gate)
    away = turned_away(gate)
    assert (away.code, away.reason) == ("busy", "wax has as many requests in flight as allowed")
    assert away.then == "this one waits for its turn"
    enter(gate, "push")  # which does not wait for others
    with first:
        first.leave(HealthSignal.ALIVE)
        first.leave(HealthSignal.FAILING)
    enter(gate)
    turned_away(gate)


def test_an_error_or_a_cancellation_frees_the_slot_and_says_nothing(gate: Limiter):
    limits = Limits(concurrency=1, breaker=QUICK)
    for _ in range(10):
        with pytest.raises(RuntimeError), enter(gate, limits=limits):
            raise RuntimeError
    enter(gate, limits=limits)


def test_appointments_are_spaced_as_the_destination_answers(gate: Limiter, clock: Clock):
    for _ in range(50):  # two at once, two seconds each: one a second
        under_way = enter(gate), enter(gate)
        clock.now += 2
        for given_pass in under_way:
            given_pass.leave(HealthSignal.ALIVE)
    fill(gate)
    waits = [turned_away(gate).delay.total_seconds() for _ in range(5)]
    assert waits == pytest.approx([SOON, SOON + 1, SOON + 2, SOON + 3, SOON + 4])


def test_a_destination_that_hangs_is_noticed_before_its_requests_end(gate: Limiter, clock: Clock):
    for _ in range(20):
        given_pass = enter(gate)
        clock.now += 0.01
        given_pass.leave(HealthSignal.ALIVE)
    fill(gate)
    clock.now += 10
    first, second = turned_away(gate).delay.total_seconds(), turned_away(gate).delay.total_seconds()
    assert second - first == pytest.approx(5)


def test_however_many_wait_an_appointment_is_not_too_far_and_they_do_not_come_at_once(gate: Limiter):
    fill(gate)
    due = Counter(int(turned_away(gate, delivery=f"msg_{number}").delay.total_seconds()) for number in range(20_000))
    assert min(due) >= SOON
    assert max(due) <= SOON + FARTHEST
    # 20 a second to the horizon's end and beyond; those who have no number are spread by their ids.
    assert max(due.values()) < 200


def test_limits_may_change_while_it_runs(gate: Limiter):
    enter(gate, limits=Limits(1, QUICK))
    turned_away(gate, limits=Limits(1, QUICK))
    enter(gate, limits=Limits(3, QUICK))
    enter(gate, limits=Limits(3, QUICK))
    turned_away(gate, limits=Limits(3, QUICK))
    turned_away(gate, limits=Limits(1, QUICK))
    down(gate, "push", Limits(1, QUICK))
    assert turned_away(gate, "push", Limits(1, QUICK)).code == "breaker_open"
    enter(gate, "push", Limits(2, None))  # the breaker is switched off
    enter(gate, "push", Limits(2, QUICK))  # and on again: it begins again


def test_one_destination_never_takes_the_whole_worker(clock: Clock):
    gate = Limiter(slots=200, clock=clock)
    greedy = Limits(concurrency=1_000)
    assert sum(isinstance(gate.enter("greedy", greedy), Permit) for _ in range(1_000)) == 150
    assert sum(isinstance(gate.enter("second", greedy), Permit) for _ in range(1_000)) == 10
    assert sum(isinstance(gate.enter("third", greedy), Permit) for _ in range(1_000)) == 10


def test_who_is_not_asked_for_is_forgotten(gate: Limiter, clock: Clock):
    kept = enter(gate, "kept")
    enter(gate, "gone").leave(HealthSignal.ALIVE)
    clock.now = IDLE + 1
    enter(gate, "new")
    assert len(gate) == 2
    kept.leave(HealthSignal.ALIVE)


def test_no_more_destinations_are_remembered_than_there_is_room_for(gate: Limiter, clock: Clock):
    kept = [enter(gate, f"kept-{number}") for number in range(20)]
    for number in range(LABELS * 3):
        clock.now += 0.1
        enter(gate, f"host-{number}").leave(HealthSignal.ALIVE)
    assert len(gate) <= LABELS + 1
    enter(gate, "kept-0")  # it still knows of the one inside
    turned_away(gate, "kept-0")
    for given_pass in kept:
        given_pass.leave(HealthSignal.ALIVE)


def test_the_log_says_when_a_destination_is_left_alone_and_when_it_answers(
    gate: Limiter, clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    down(gate)
    clock.now += turned_away(gate).delay.total_seconds()
    enter(gate).leave(HealthSignal.FAILING)
    clock.now += turned_away(gate).delay.total_seconds()
    enter(gate).leave(HealthSignal.ALIVE)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert all("wax" in record.getMessage() for record in caplog.records)


_ACTIONS = st.one_of(
    st.tuples(st.just("enter"), st.sampled_from("ab"), st.integers(0, 2)),
    st.tuples(st.just("leave"), st.integers(0, 20), st.sampled_from(list(HealthSignal))),
    st.tuples(st.just("lose"), st.integers(0, 20), st.none()),
    st.tuples(st.just("pass time"), st.sampled_from([0.1, 5.0, 13.0, 700.0]), st.none()),
)
_LIMITS = [Limits(1, QUICK), Limits(3, QUICK), Limits(5, None)]


@settings(max_examples=100)
@given(actions=st.lists(_ACTIONS, max_size=80))
def test_never_more_than_the_limit_inside_and_never_two_probes(actions: list[tuple[str, float | str, object]]):
    clock = Clock()
    gate = Limiter(slots=8, clock=clock)
    inside: list[tuple[str, Permit]] = []
    for what, which, more in actions:
        match what:
            case "enter":
                label, limits = str(which), _LIMITS[int(str(more))]
                answer = gate.enter(label, limits)
                if isinstance(answer, Backoff):
                    seconds = round(answer.delay.total_seconds(), 6)  # the difference of two doubles
                    assert SOON <= seconds <= LONGEST * (1 + SPREAD) + FARTHEST + SOON
                    continue
                inside.append((label, answer))
                assert sum(other == label for other, _ in inside) <= min(limits.concurrency, 6)
                if answer.probe:
                    # A breaker that was off in between has forgotten its probe; nobody switches that often.
                    others = [given for other, given in inside if other == label and given.probe]
                    assert len(others) == 1 or any(step[2] == 2 and step[1] == label for step in actions)
            case "leave" if inside:
                _, given_pass = inside.pop(int(which) % len(inside))
                given_pass.leave(HealthSignal(str(more)))
            case "lose" if inside:
                with inside.pop(int(which) % len(inside))[1]:
                    pass
            case _:
                clock.now += float(which) if what == "pass time" else 0.0
    for _, given_pass in inside:
        given_pass.leave(HealthSignal.ALIVE)
    clock.now += 10_000  # whatever happened, all is well again: nothing has leaked
    for label in "ab":
        enter(gate, label, Limits(1, QUICK)).leave(HealthSignal.ALIVE)


_TEN_MINUTES = 600.0


def busiest(seen: Seen, start: int) -> int:
    return max(count for second, count in seen.turned_away.items() if second >= start)


@pytest.mark.parametrize(
    ("took", "without", "with_breaker"),
    [
        # What a dead receiver sees of 200 deliveries in ten minutes. All 50 slots are taken before the first result
        # is there; then there is one probe at about 30, 90, 210 and 450 seconds.
        pytest.param(0.05, 1_085, 54, id="503"),
        pytest.param(15.0, 1_026, 54, id="no answer in time"),
    ],
)
def test_a_dead_receiver_is_left_in_peace(took: float, without: int, with_breaker: int):
    dead = (HealthSignal.FAILING, took)
    assert len(crowd(200, _TEN_MINUTES, lambda _: dead, None).at) == without
    seen = crowd(200, _TEN_MINUTES, lambda _: dead, Limits())
    assert len(seen.at) == with_breaker
    assert seen.between(60, _TEN_MINUTES) == 3
    assert seen.inside == 50
    assert busiest(seen, 1) <= 100
    assert busiest(seen, 60) <= 22


def test_a_receiver_that_comes_back_gets_everything_and_no_stampede():
    def comes_back(now: float) -> tuple[HealthSignal, float]:
        return (HealthSignal.FAILING if now < 300 else HealthSignal.ALIVE), 0.05

    seen = crowd(2_000, 3_600.0, comes_back, Limits())
    assert len(seen.delivered) == 2_000
    assert len(seen.at) < 2_100
    assert max(seen.between(second, second + 1) for second in range(300, 1_200)) <= 25
    assert busiest(seen, 1) <= 150
    assert busiest(seen, 120) <= 25


def test_many_wait_for_a_slow_destination_without_a_storm():
    seen = crowd(3_000, 7_200.0, lambda _: (HealthSignal.ALIVE, 10.0), Limits(concurrency=20))
    assert len(seen.delivered) == 3_000
    assert seen.inside == 20
    assert seen.delivered[-1] < 3_000 * 10 / 20 * 1.02  # hardly a slot was ever empty
    assert busiest(seen, 1) <= 100
    assert busiest(seen, 150) <= 25


INITIAL, COEFFICIENT, MAXIMUM = 5.0, 3.0, 21_600.0
"""The default retry policy."""


@dataclass
class Seen:
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
    """Let deliveries loose on a receiver: it answers at a time, and takes so long. Without limits there is no gate."""
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
