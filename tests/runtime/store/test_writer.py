import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from runtime.errors import StoreFault
from runtime.store import Attempt, AttemptWriter, StoreUnavailable
from runtime.store.deliveries import Deliveries
from tests.factories import attempt

ATTEMPT = attempt("msg_0", response="contact@example.com")


def attempts(count: int) -> list[Attempt]:
    return [replace(ATTEMPT, delivery_id=f"msg_{number}") for number in range(count)]


Fails = Callable[[Sequence[Attempt]], Exception | None]


class Recorder(Deliveries):
    def __init__(self, fails: Fails | None = None) -> None:
        self.batches: list[list[Attempt]] = []
        self.tries = 0
        self.fails = fails

    async def record(self, attempts: Sequence[Attempt]) -> None:
        self.tries += 1
        error = self.fails(attempts) if self.fails else None
        if error is not None:
            raise error
        self.batches.append(list(attempts))

    @property
    def written(self) -> list[Attempt]:
        return [one for batch in self.batches for one in batch]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


class Quick(AttemptWriter):
    every = 0.01
    retry = 0.005


async def test_attempts_are_written_together_after_a_moment() -> None:
    store = Recorder()
    writer = Quick(store)
    for one in attempts(3):
        writer.put(one)
    assert store.batches == []
    await until(lambda: store.batches)
    assert store.batches == [attempts(3)]
    writer.put(ATTEMPT)
    await until(lambda: len(store.batches) == 2)
    await writer.close()
    assert store.batches == [attempts(3), [ATTEMPT]]


async def test_a_full_batch_does_not_wait_for_the_moment() -> None:
    class Patient(AttemptWriter):
        every = 60.0
        batch = 4

    store = Recorder()
    writer = Patient(store)
    for one in attempts(9):
        writer.put(one)
    await until(lambda: len(store.batches) == 2)
    await writer.close()
    assert [len(batch) for batch in store.batches] == [4, 4, 1]
    assert store.written == attempts(9)


async def test_closing_writes_what_waits() -> None:
    store = Recorder()
    writer = AttemptWriter(store)
    for one in attempts(250):
        writer.put(one)
    await writer.close()
    assert store.written == attempts(250)
    await AttemptWriter(Recorder()).close()  # which got nothing


async def test_a_store_that_fails_is_tried_again_until_all_is_written(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pauses = Recorder(), list[float]()

    async def within(seconds: float, event: asyncio.Event) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("runtime.store.writer._within", within)

    def fails(_: Sequence[Attempt]) -> Exception | None:
        return StoreUnavailable("The store is away.") if store.tries < 10 else None

    store.fails = fails
    writer = AttemptWriter(store)
    for one in attempts(3):
        writer.put(one)
    await until(lambda: store.batches)
    await writer.close()
    assert store.batches == [attempts(3)]
    assert max(pauses) <= 1  # also the last time: a process that is killed meanwhile loses what waits
    # The 1st, 2nd, 4th and 8th time.
    assert caplog.messages == ["3 delivery attempts are waiting to be stored: The store is away."] * 4


async def test_attempts_that_come_while_the_store_is_away_are_written_in_their_order() -> None:
    store = Recorder(lambda batch: StoreUnavailable("The store is away."))
    writer = Quick(store)
    first, *others = attempts(5)
    writer.put(first)
    await until(lambda: store.tries)
    for one in others:
        writer.put(one)
    store.fails = None
    await writer.close()
    assert store.written == attempts(5)


@pytest.mark.parametrize("error", [StoreFault("Refused."), ValueError("no zone")])
async def test_an_attempt_that_cannot_be_written_keeps_no_other(error: Exception, caplog: pytest.LogCaptureFixture):
    store = Recorder(lambda batch: error if any(one.delivery_id == "msg_1" for one in batch) else None)
    writer = Quick(store)
    for one in attempts(3):
        writer.put(one)
    await writer.close()
    assert [one.delivery_id for one in store.written] == ["msg_0", "msg_2"]
    assert caplog.messages == ["Attempt 1 of msg_1 was not stored."]
    assert "example.com" not in caplog.text


async def test_what_does_not_fit_is_dropped_counted_and_never_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Small(Quick):
        room = 2

    store = Recorder()
    writer = Small(store)
    for one in attempts(5):
        writer.put(one)
    await until(lambda: store.batches)
    writer.put(ATTEMPT)
    await writer.close()
    assert store.batches == [attempts(2), [ATTEMPT]]
    assert caplog.messages == [
        "The log of attempts has a backlog of 2: further attempts are dropped.",
        "3 delivery attempts were dropped because of the backlog.",
    ]


async def test_closing_gives_up_in_time_and_says_how_many_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    store = Recorder(lambda batch: StoreUnavailable("The store is away."))
    writer = Quick(store)
    for one in attempts(3):
        writer.put(one)
    async with asyncio.timeout(60):
        await writer.close(within=0.05)
    assert caplog.messages == ["3 delivery attempts were not stored before the process ended."]


@pytest.mark.parametrize("ticks", [0, 1, 2])
async def test_closing_ends_it_also_where_it_was_about_to_go_on(ticks: int) -> None:
    writer = Quick(Recorder(lambda batch: StoreUnavailable("The store is away.")))
    writer.every = writer.retry = 60.0
    writer.put(ATTEMPT)
    for _ in range(5):
        await asyncio.sleep(0)  # it waits for more to come
    closing = asyncio.create_task(writer.close(within=0.0))
    for _ in range(ticks):
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await closing


async def test_who_must_not_go_on_before_its_attempt_is_stored_can_wait_for_that() -> None:
    fails = [StoreUnavailable("away"), None]
    store = Recorder(lambda _: fails.pop(0) if fails else None)
    writer = AttemptWriter(store, awaited=lambda: True)
    writer.every = 60.0  # nobody waits for others
    writer.retry = 0.005
    rows = [writer.put(one) for one in attempts(3)]
    async with asyncio.timeout(30):
        for row in rows:
            assert row is not None
            await row
    assert store.written == attempts(3)
    assert AttemptWriter(store).put(ATTEMPT) is None
