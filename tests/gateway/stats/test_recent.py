"""Answers that are worked out once for all who ask, and seldom."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from gateway.stats.recent import Recent


@dataclass
class Work:
    """Something that takes as long as the test wants, on a clock that the test turns."""

    now: float = 0.0
    done: int = 0
    before: list[int | None] = field(default_factory=list[int | None])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    takes: float = 0.0

    async def __call__(self, _: str, before: int | None) -> int:
        self.before.append(before)
        await self.gate.wait()
        self.now += self.takes
        if self.error:
            raise self.error
        self.done += 1
        return self.done

    def recent(self) -> Recent[str, int]:
        return Recent(self, clock=lambda: self.now)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_share_one_answer_and_it_is_good_for_some_seconds() -> None:
    work = Work()
    recent = work.recent()
    asked = [asyncio.create_task(recent.get("a")) for _ in range(50)]
    await settled()
    work.gate.set()
    assert set(await asyncio.gather(*asked)) == {1}
    work.now = 4.9
    assert await recent.get("a") == 1
    assert (work.done, work.before) == (1, [None])


async def test_the_last_one_is_given_while_a_new_one_is_worked_out() -> None:
    work = Work()
    recent = work.recent()
    work.gate.set()
    await recent.get("a")
    work.gate.clear()
    work.now = 6
    assert [await recent.get("a") for _ in range(9)] == [1] * 9
    work.gate.set()
    await settled()
    assert await recent.get("a") == 2
    assert work.before == [None, 1]


async def test_an_old_one_is_not_given_any_more() -> None:
    work = Work()
    recent = work.recent()
    work.gate.set()
    await recent.get("a")
    work.now = 61
    assert await recent.get("a") == 2


async def test_what_takes_long_is_worked_out_less_often() -> None:
    work = Work(takes=1.0)
    recent = work.recent()
    work.gate.set()
    await recent.get("a")
    work.now = 20.5
    assert await recent.get("a") == 1
    await settled()
    assert work.done == 1
    work.now = 21.5
    assert await recent.get("a") == 1
    await settled()
    assert work.done == 2


async def test_one_who_gives_up_takes_nothing_from_others() -> None:
    work = Work()
    recent = work.recent()
    first, second = asyncio.create_task(recent.get("a")), asyncio.create_task(recent.get("a"))
    await settled()
    first.cancel()
    await settled()
    work.gate.set()
    assert await second == 1


async def test_a_failure_is_told_to_those_who_wait_and_else_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(error=RuntimeError("the store is away"))
    recent = work.recent()
    work.gate.set()
    with pytest.raises(RuntimeError, match="away"):
        await recent.get("a")
    work.error = None
    assert await recent.get("a") == 1
    work.error, work.now = RuntimeError("the store is away"), 6
    with caplog.at_level(logging.WARNING):
        assert await recent.get("a") == 1
        await settled()
    assert "the store is away" in caplog.text
    assert await recent.get("a") == 1
    await settled()
    assert len(work.before) == 3, "not at once again"
    work.now = 66
    with pytest.raises(RuntimeError, match="away"):
        await recent.get("a")


async def test_what_is_being_worked_out_is_given_up_at_the_end() -> None:
    work = Work()
    recent = work.recent()
    asked = asyncio.create_task(recent.get("a"))
    await settled()
    await recent.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
