"""Virtual time: whoever waits goes on in the order of the moments."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from typing_extensions import override

from authoring.virtual.host import Clock, VirtualHost
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed, Next, NotBefore
from scenario.steps.repeat import RepeatRow

START: Final = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)


def never() -> bool:
    return False


def later(days: float) -> datetime:
    return START + days * DAY


def test_all_go_on_in_the_order_of_their_moments_and_then_in_that_in_which_they_came():
    clock, log = Clock(START), list[tuple[int, datetime]]()

    async def wait(number: int, days: float) -> None:
        await clock.wait(number, later(days), never)
        log.append((number, clock.now))

    for number, days in ((3, 1.0), (1, 1.0), (2, 0.5)):
        clock.start(wait(number, days))
    clock.run()
    assert log == [(2, later(0.5)), (3, later(1)), (1, later(1))]
    clock.run(until=later(0.5))  # time does not go back
    clock.start(wait(4, 0.75))
    clock.run()
    assert log[3:] == [(4, later(1))]


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


def test_a_round_that_begins_late_does_not_delay_those_after_it():
    class Late(VirtualHost):  # its worker is away for an hour after each wait
        @override
        async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
            woke = await super().wait(until, what, wake)
            await super().wait(self.now() + timedelta(hours=1), what, lambda: False)
            return woke

    async def deliver(host: VirtualHost, row: Send) -> Delivered | Failed | NotBefore:
        raise AssertionError(host, row)

    host = Late(Clock(datetime(2026, 3, 28, 22, 0, tzinfo=UTC)), {}, UTC, deliver)
    row = RepeatRow(kind="repeat", every=86_400, times=4, first="hi")

    async def rounds() -> None:
        for _ in range(4):
            host.begin("again")
            assert await row.perform(host) == Next("hi", "round")

    host.clock.start(rounds())
    host.clock.run()
    assert [host.local(record.at)[:16] for record in host.records] == [
        "2026-03-28T22:00", "2026-03-29T23:00", "2026-03-30T23:00", "2026-03-31T23:00"
    ]  # fmt: skip
