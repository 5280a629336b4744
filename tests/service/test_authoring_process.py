"""The processes that check and preview: no key keeps another from them, and what hurts one hurts nobody else."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from authoring.errors import BadInput
from service import authoring_process as authoring
from service.authoring_process import Authoring, Setup, Turns
from service.errors import Busy


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


GOOD = "scenario: hello\ntrigger: order\nsteps:\n  - sms: hello\n    text: Hello\n"
ENTRY: dict[str, Any] = {
    "scenario": "hello",
    "contact": {"id": 1, "cellphone": "+33612345678"},
    "trigger": {"type": "order", "order": {}},
}
LOOP = "{% for a in (1..100) %}{% for b in (1..99) %}{{ a | times: b }}{% endfor %}{% endfor %}"
STEP = '  - webhook: w{}\n    url: https://example.com\n    body: \'{"a": "LOOP"}\'\n'
# 23 KB that take twenty seconds.
MANY = "scenario: hello\ntrigger: order\nsteps:\n" + "".join(
    STEP.replace("w{}", f"w{number}").replace("LOOP", LOOP) for number in range(150)
)


async def check(authors: Authoring) -> dict[str, Any]:
    return json.loads(await authors.ask("k", {"do": "check", "source": GOOD}))


def started(authors: Authoring) -> list[int]:
    return [one.pid for one in authors._idle if one.pid]  # pyright: ignore[reportPrivateUsage]


def environ(authors: Authoring) -> bytes:
    (pid,) = started(authors)
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_what_takes_too_long_or_nobody_waits_for_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(authoring, "PROCESSES", 1)
    monkeypatch.setattr(authoring, "WAITING", 2)
    monkeypatch.setenv("SCENARIO_SECRET_TOKEN", "hush")
    authors = Authoring(Setup(), seconds=0.5)
    asked = asyncio.ensure_future(authors.ask("k", {"do": "preview", "source": MANY, "entry": ENTRY}))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0.001)
    with pytest.raises(BadInput, match=r"^this takes more than 0\.5 seconds: make the scenario smaller$"):
        await asked
    assert turns > 10
    assert authors._idle[0].is_running  # pyright: ignore[reportPrivateUsage]  # so another key need not wait for a start
    monkeypatch.setattr(authors, "_seconds", authoring.SECONDS)
    assert (await check(authors))["findings"] == []  # by the same, started again
    assert b"hush" not in environ(authors)
    asked = asyncio.ensure_future(authors.ask("k", {"do": "preview", "source": MANY, "entry": ENTRY}))
    await asyncio.sleep(0.1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    done = await asyncio.gather(*(check(authors) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done] == [dict, dict, dict, Busy, Busy]


async def test_prepared_it_answers_the_first_request_with_the_process_that_runs():
    authors = Authoring(Setup())
    authors.prepare()
    async with asyncio.timeout(30):
        while not (running := started(authors)):
            await asyncio.sleep(0.01)
    assert (await check(authors))["findings"] == []
    assert started(authors) == running
    await authors.close()
    assert not any(one.is_running for one in authors._idle)  # pyright: ignore[reportPrivateUsage]
    hasty = Authoring(Setup())
    hasty.prepare()
    await asyncio.sleep(0)
    await hasty.close()  # while it prepares
    assert not any(one.is_running for one in hasty._idle)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("name", "value"), [("module", "service.authoring_process.nothing"), ("executable", "/nowhere")]
)
async def test_a_process_that_cannot_start_is_the_trouble_of_the_first_request(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setattr(*((authoring, "_MODULE") if name == "module" else (sys, "executable")), value)
    authors = Authoring(Setup())
    authors.prepare()
    with pytest.raises(RuntimeError, match="the process that checks scenarios could not be started"):
        await check(authors)
    await authors.close()
