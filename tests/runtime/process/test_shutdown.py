"""One deadline bounds everything that a process does while it stops."""

from __future__ import annotations

import math

from runtime.process.shutdown import Deadline
from tests.fakes import Clock


def test_before_it_counts_everything_has_its_own_time():
    assert Deadline(28, Clock(100.0)).left(10, keep=5) == 10


def test_what_comes_later_gets_what_is_left():
    clock = Clock(100.0)
    deadline = Deadline(28, clock)
    deadline.begin()
    found = [deadline.left(math.inf, keep=6)]
    for passed in (22, 3, 1):
        clock.now += passed
        found.append(deadline.left(5, keep=2))
    assert found == [22, 4, 1, 0]


def test_nothing_is_left_after_the_end_and_asking_twice_gains_nothing():
    clock = Clock(100.0)
    deadline = Deadline(28, clock)
    deadline.begin()
    clock.now += 40
    deadline.begin()
    assert deadline.left(5) == 0
