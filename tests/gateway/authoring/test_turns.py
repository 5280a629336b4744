"""No key keeps another from checks and previews."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.authoring.process import Turns
from gateway.errors import Busy


class Stage:
    """Turns that end when a test says so."""

    def __init__(self, places: int, *, waiting: int = 10, together: int = 100) -> None:
        self.turns = Turns(places, waiting=waiting, together=together)
        self.running: list[str] = []
        self.done: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *names: str) -> None:
        """Ask for a turn each; a name's first letter is the key."""
        for name in names:
            self.done[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._have(name))
            await turn_of_loop()

    async def end(self, name: str) -> None:
        assert name in self.running
        self.done[name].set()
        await self.tasks[name]
        await turn_of_loop()

    async def _have(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.running.append(name)
            try:
                await self.done[name].wait()
            finally:
                self.running.remove(name)


async def turn_of_loop() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(2)
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def test_a_key_has_one_turn_at_a_time_and_leaves_the_other_free(stage: Stage):
    await stage.ask("a1", "a2", "a3", "b1")
    assert stage.running == ["a1", "b1"]
    await stage.end("b1")
    assert stage.running == ["a1"]
    await stage.end("a1")
    assert stage.running == ["a2"]


async def test_keys_that_wait_take_turns(stage: Stage):
    await stage.ask("x1", "y1", "a1", "a2", "a3", "b1", "b2", "c1")
    served: list[str] = []
    ending = "x1"
    while ending in stage.running:
        await stage.end(ending)
        new = [name for name in stage.running if name not in served and name != "y1"]
        served += new
        ending = new[0] if new else "y1"
    assert served == ["a1", "b1", "c1", "a2", "b2", "a3"]


@pytest.mark.parametrize("cancelled", ["a1", "a2", "b1"])
async def test_who_is_gone_neither_has_nor_keeps_a_turn(stage: Stage, cancelled: str):
    await stage.ask("x1", "a1", "a2", "b1")
    stage.tasks[cancelled].cancel()
    stage.done["x1"].set()  # in the same moment
    await turn_of_loop()
    for name in ("a1", "a2", "b1"):
        if name != cancelled:
            await stage.end(name)
    await stage.ask("c1", "d1")
    assert stage.running == ["c1", "d1"]


async def test_the_refusal_says_whose_backlog_it_is():
    stage = Stage(1, waiting=2, together=3)
    await stage.ask("a1", "a2", "a3", "a4", "b1", "c1")
    with pytest.raises(
        Busy, match=r"^this key has 3 checks or previews in progress or waiting: wait for their answers"
    ):
        await stage.tasks["a4"]
    with pytest.raises(Busy, match=r"^too many keys wait for checks or previews: try again$"):
        await stage.tasks["c1"]
    for name in ("a1", "a2", "b1", "a3"):
        await stage.end(name)
