"""The processes that check and preview: what hurts one hurts nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.authoring import process
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.errors import BadInput, Busy

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


def started(authors: Authoring) -> list[int]:
    """The ids of its processes."""
    return [one.pid for one in authors._idle if one.pid]  # pyright: ignore[reportPrivateUsage]


def environ(authors: Authoring) -> bytes:
    """What its process was given."""
    (pid,) = started(authors)
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_what_takes_too_long_or_nobody_waits_for_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "PROCESSES", 1)
    monkeypatch.setattr(process, "WAITING", 2)
    monkeypatch.setenv("SCENARIO_SECRET_TOKEN", "hush")
    authors = Authoring(Setup(), seconds=0.5)
    asked = asyncio.ensure_future(authors.preview("k", {"source": MANY, "entry": ENTRY}))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0.001)
    with pytest.raises(BadInput, match=r"^this takes more than 0\.5 seconds: make the scenario smaller$"):
        await asked
    assert turns > 10
    assert authors._idle[0].is_running  # pyright: ignore[reportPrivateUsage]  # so another key need not wait for a start
    monkeypatch.setattr(authors, "_seconds", process.SECONDS)
    assert (await authors.check("k", GOOD))["findings"] == []  # by the same, started again
    assert b"hush" not in environ(authors)
    asked = asyncio.ensure_future(authors.preview("k", {"source": MANY, "entry": ENTRY}))
    await asyncio.sleep(0.1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    done = await asyncio.gather(*(authors.check("k", GOOD) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done] == [dict, dict, dict, Busy, Busy]


async def test_prepared_it_answers_the_first_request_with_the_process_that_runs():
    authors = Authoring(Setup())
    authors.prepare()
    async with asyncio.timeout(30):
        while not (running := started(authors)):
            await asyncio.sleep(0.01)
    assert (await authors.check("k", GOOD))["findings"] == []
    assert started(authors) == running
    await authors.close()
    assert not any(one.is_running for one in authors._idle)  # pyright: ignore[reportPrivateUsage]


async def test_closed_while_it_prepares_it_leaves_no_process():
    authors = Authoring(Setup())
    authors.prepare()
    await asyncio.sleep(0)
    await authors.close()
    assert not any(one.is_running for one in authors._idle)  # pyright: ignore[reportPrivateUsage]


async def test_a_process_that_cannot_start_is_the_trouble_of_the_first_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_MODULE", "gateway.authoring.nothing")
    authors = Authoring(Setup())
    authors.prepare()
    with pytest.raises(RuntimeError, match="the process that checks scenarios could not be started"):
        await authors.check("k", GOOD)
    await authors.close()
