"""Limits of requests: a key may do something so often, and no more."""

from gateway.limits import RateLimit
from tests.fakes import Clock


def test_a_key_is_let_in_so_often_and_again_when_its_time_is_over():
    clock = Clock(100.0)
    pace = RateLimit(2, 60, clock)
    assert [pace.take("a"), pace.take("a")] == [0, 0]
    clock.now += 20
    assert [pace.take("a"), pace.take("a"), pace.take("b")] == [40, 40, 0]
    clock.now += 40
    assert [pace.take("a"), pace.take("a"), pace.take("a")] == [0, 0, 60]


def test_it_forgets_the_oldest_keys_and_stays_small():
    pace = RateLimit(1, 60, Clock(100.0))
    for number in range(10_001):
        pace.take(str(number))
    assert [pace.take("0") == 0, pace.take("10000") == 0] == [True, False]
