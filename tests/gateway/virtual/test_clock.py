"""Virtual time: many contacts on one clock, in the order of their moments, and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import pytest

from gateway.virtual.clock import Clock, Task
from gateway.virtual.host import VirtualHost
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Event, Outcome
from scenario.steps.wait import WaitRow
from scenario.steps.wait_for import WaitForRow

START: Final = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
CONTACTS: Final = 200


def never() -> bool:
    return False


async def delivered(_host: VirtualHost, _row: Send) -> Delivered:
    return Delivered(outcome="sent")


def later(days: float) -> datetime:
    return START + days * DAY


@dataclass
class Contact:
    """One contact's way: a wait, an event that is admitted time, another wait."""

    host: VirtualHost
    wait: float
    event: float
    journey: Task[Outcome] | None = None

    async def follow(self, told: Callable[[str], None]) -> Outcome:
        """Takes the steps, and tells how each went."""
        rows = (
            ("wait", WaitRow(kind="wait", seconds=self.wait * 86_400, next="event")),
            ("event", WaitForRow(kind="wait_for", event="order.delivered", seconds=7 * 86_400.0, since="now")),
            ("again", WaitRow(kind="wait", seconds=86_400.0)),
        )
        went: list[Outcome] = []
        for name, row in rows:
            self.host.begin(name)
            went.append(await row.perform(self.host))
            told(self.host.records[-1].outcome)
        return went[-1]


class Crowd:
    """Two hundred contacts on one clock, over a month."""

    def __init__(self) -> None:
        self.clock, chance = Clock(START), Random(7)
        self.log: list[tuple[datetime, int, str]] = []
        self.contacts = [self._contact(number, chance) for number in range(CONTACTS)]

    def _contact(self, number: int, chance: Random) -> Contact:
        host = VirtualHost(self.clock, {}, UTC, delivered)
        # Whole days, so that many wait for the same moment.
        contact = Contact(host, chance.randrange(1, 10), chance.randrange(0, 25))
        self.clock.at(later(contact.event), lambda: host.happen(Event(name="order.delivered", properties={})))
        follow = contact.follow(lambda outcome: self.log.append((self.clock.now, number, outcome)))
        contact.journey = self.clock.start(follow)
        return contact


def test_each_contact_of_a_crowd_has_its_own_time():
    crowd = Crowd()
    crowd.clock.run()
    for number, contact in enumerate(crowd.contacts):
        # An event of the very day on which the wait for it begins, or ends, comes first: it was on the clock before.
        in_time = contact.wait < contact.event <= contact.wait + 7
        met = contact.event if in_time else contact.wait + 7
        expected = [
            (later(contact.wait), "waited"),
            (later(met), "event" if in_time else "timeout"),
            (later(met + 1), "waited"),
        ]
        assert [(at, outcome) for at, who, outcome in crowd.log if who == number] == expected
    assert {outcome for _, _, outcome in crowd.log} == {"waited", "event", "timeout"}
    assert all(contact.journey is not None and contact.journey.done for contact in crowd.contacts)


def test_who_waits_for_the_same_moment_goes_on_in_the_order_in_which_they_came():
    clock, log = Clock(START), list[int]()

    async def wait(number: int) -> None:
        await clock.wait(number, later(1), never)
        log.append(number)

    for number in (3, 1, 2):
        clock.start(wait(number))
    clock.run()
    assert log == [3, 1, 2]


@pytest.mark.parametrize("step", [0.5, 4.0])
def test_time_that_stops_on_its_way_is_no_other_time(step: float):
    through, halting = Crowd(), Crowd()
    through.clock.run()
    for number in range(1, int(31 / step) + 1):
        halting.clock.run(until=later(number * step))
        assert halting.clock.now == later(number * step)
        assert halting.log == [entry for entry in through.log if entry[0] <= halting.clock.now]
    assert halting.log == through.log
    moments = [at for at, _, _ in through.log]
    assert moments == sorted(moments)


def test_time_does_not_go_back():
    clock = Clock(START)
    clock.run(until=later(2))
    clock.run(until=later(1))
    assert clock.now == later(2)
    done: list[datetime] = []
    clock.at(later(1), lambda: done.append(clock.now))
    clock.run()
    assert done == [later(2)]


def test_a_wait_that_woke_is_not_ended_by_its_moment_as_well():
    clock, happened, woke = Clock(START), list[int](), list[bool]()

    async def wait() -> None:
        woke.append(await clock.wait("me", later(3), lambda: bool(happened)))
        woke.append(await clock.wait("me", later(5), never))

    def happen() -> None:
        happened.append(1)
        clock.tell("me")

    clock.start(wait())
    clock.at(later(1), happen)
    clock.run(until=later(4))
    assert woke == [True]
    clock.run()
    assert (woke, clock.now) == ([True, False], later(5))


def test_who_waits_for_ever_is_left_waiting_until_something_happens():
    clock, happened = Clock(START), list[int]()

    async def wait() -> str:
        await clock.wait("me", None, lambda: bool(happened))
        return "over"

    task = clock.start(wait())
    clock.run(until=later(30))
    clock.tell("me")  # of something else
    clock.run()
    assert (task.done, task.result) == (False, None)
    happened.append(1)
    clock.tell("me")
    clock.run()
    assert (task.done, task.result) == (True, "over")


def test_an_error_of_one_is_raised_and_the_others_go_on_after_it():
    clock = Clock(START)

    async def fail() -> None:
        await clock.wait("ill", later(1), never)
        raise LookupError

    async def wait() -> str:
        await clock.wait("well", later(2), never)
        return "over"

    clock.start(fail())
    well = clock.start(wait())
    with pytest.raises(LookupError):
        clock.run()
    assert clock.now == later(1)
    clock.run()
    assert (well.result, clock.now) == ("over", later(2))
