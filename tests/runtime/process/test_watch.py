"""What a process needs is looked at again and again, and its trouble is told once."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from runtime.process.watch import Watch, watching
from runtime.store import StoreError

SECRET = "s3cr3t-pa55"


class Ill:
    """A store that answers what the test says."""

    name = "db.example:5432/scenarios"

    def __init__(self) -> None:
        self.answer: str | Exception | None = None
        self.silent = False
        self.looks = 0

    async def check(self) -> None:
        self.looks += 1
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            raise StoreError(self.answer)


async def test_trouble_is_logged_when_it_comes_changes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = Ill()
    watch = Watch(store, patience=0.01)
    for answer, silent in [(None, False), *[("it is away", False)] * 3, (None, True), (None, True), (None, False)]:
        store.answer, store.silent = answer, silent
        await watch.look()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "it is away"),
        ("ERROR", "The store db.example:5432/scenarios does not answer: check that it is running."),
        ("INFO", "The store db.example:5432/scenarios can be used again."),
    ]


async def test_a_store_is_looked_at_again_and_again_until_nobody_watches() -> None:
    store = Ill()
    async with watching(store, every=0) as watch:
        while store.looks < 3:
            await asyncio.sleep(0)
        store.answer = "it is away"
        while watch.trouble is None:
            await asyncio.sleep(0)
    looks = store.looks
    for _ in range(9):
        await asyncio.sleep(0)
    assert store.looks == looks


async def test_an_error_that_nobody_foresaw_is_trouble_too_and_does_not_end_the_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store = Ill()
    store.answer = RuntimeError(SECRET)
    async with watching(store, every=0) as watch:
        while store.looks < 3:
            await asyncio.sleep(0)
        trouble = watch.trouble
        store.answer = None
        while watch.trouble is not None:
            await asyncio.sleep(0)
    assert trouble == "The store db.example:5432/scenarios cannot be looked at (RuntimeError)."
    unforeseen, again = caplog.records
    assert (unforeseen.levelname, unforeseen.getMessage().count(SECRET)) == ("ERROR", 0)
    assert unforeseen.exc_info is not None, "where it comes from is in the log"
    assert again.getMessage() == "The store db.example:5432/scenarios can be used again."


async def test_a_store_that_does_not_even_let_a_look_be_cancelled_is_noticed_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a frozen database does: the driver asks it to cancel, and waits for the answer."""
    thawed = asyncio.Event()
    looks = 0

    class Frozen:
        name = "db.example:5432/scenarios"

        async def check(self) -> None:
            nonlocal looks
            looks += 1
            while not thawed.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await thawed.wait()

    watch = Watch(Frozen(), patience=0.01)
    for _ in range(9):
        async with asyncio.timeout(30):
            await watch.look()
        assert watch.trouble == "The store db.example:5432/scenarios does not answer: check that it is running."
    assert looks == 3
    thawed.set()
    async with asyncio.timeout(30):
        while watch.trouble is not None:
            await asyncio.sleep(0)
            await watch.look()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
