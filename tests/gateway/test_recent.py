"""Answers that are remembered for some seconds."""

from __future__ import annotations

import asyncio

import pytest

from gateway.recent import Recent
from tests.fakes import Clock


async def test_an_answer_is_found_out_once_for_all_who_ask_within_some_seconds() -> None:
    clock, asked = Clock(), list[str]()

    async def find(key: str) -> int:
        asked.append(key)
        await asyncio.sleep(0)
        return len(asked)

    recent = Recent(5.0, find, clock=clock)
    assert await asyncio.gather(*(recent.get("a") for _ in range(10))) == [1] * 10
    clock.now = 4.9
    assert (await recent.get("a"), await recent.get("b")) == (1, 2)
    clock.now = 5.0
    assert await recent.get("a") == 3
    recent.forget()
    assert await recent.get("a") == 4
    for number in range(200):
        await recent.get(str(number))
    assert await recent.get("199") == 204
    assert await recent.get("a") == 205  # long forgotten


async def test_what_failed_is_tried_again_and_who_gives_up_takes_nothing_from_others() -> None:
    go, tries = asyncio.Event(), 0

    async def find(_: str) -> str:
        nonlocal tries
        tries += 1
        await go.wait()
        if tries == 1:
            raise OSError
        return "found"

    recent = Recent(5.0, find)
    first, second = asyncio.ensure_future(recent.get("a")), asyncio.ensure_future(recent.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(OSError):
        await second
    assert await recent.get("a") == "found"
    assert first.cancelled()
