"""The examples run from entry to end, and what was lost or mangled on the way does not go unnoticed."""

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gateway.local.demo import EXAMPLES, demo
from runtime.local.received import Received
from runtime.local.receiver import Receiver

pytestmark = pytest.mark.usefixtures("temporal_program")


async def run(state: Path, examples: Path = EXAMPLES) -> tuple[int, list[str]]:
    """The demo's exit status and what it says."""
    output = StringIO()
    status = await demo(stay=False, console=Console(file=output, width=400), examples=examples, state=state)
    return status, [line.rstrip() for line in output.getvalue().splitlines()]


async def test_every_message_of_the_examples_arrives_as_it_was_sent(tmp_path: Path) -> None:
    status, lines = await run(tmp_path / "state")
    assert lines[-3] == "7 journeys, 15 of 15 messages arrived as they were sent.", "\n".join(lines)
    assert lines[-2].startswith("Inbox: ")
    assert lines[-1].startswith("Temporal's UI was at http://127.0.0.1:")
    assert status == 0
    journey = lines.index(next(line for line in lines if line.startswith("post-purchase/")))
    whatsapp = next(line.split() for line in lines[journey:] if " whatsapp " in line)
    assert "3" in whatsapp, "the receiver failed twice first, and that is seen"


class Losing(Receiver):
    """It forgets what it got."""

    def requests(self, path: str = "") -> list[Received]:
        del path
        return []


class Mangling(Receiver):
    """It changes a letter."""

    def requests(self, path: str = "") -> list[Received]:
        return [replace(got, body=got.body.replace(b"birthday", b"birthdax", 1)) for got in super().requests(path)]


class Stuttering(Receiver):
    """It takes everything twice."""

    def requests(self, path: str = "") -> list[Received]:
        return super().requests(path) * 2


@pytest.mark.parametrize(
    ("receiver", "problem"),
    [
        (Losing, "the receiver took it 0 times"),
        (Mangling, "the receiver got other bytes than were rendered"),
        (Stuttering, "the receiver took it 2 times"),
    ],
)
async def test_a_receiver_that_loses_or_mangles_makes_the_demo_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: type[Receiver], problem: str
) -> None:
    examples = tmp_path / "examples"
    (examples / "entries").mkdir(parents=True)
    for name in ("vip-birthday.yaml", "entries/vip-birthday.json"):
        shutil.copy(EXAMPLES / name, examples / name)
    monkeypatch.setattr("gateway.local.stack.Receiver", receiver)
    status, lines = await run(tmp_path / "state", examples)
    assert status == 1
    assert "1 journeys, 1 of 2 messages arrived as they were sent." in lines
    assert any("clienteling" in line and problem in line for line in lines), "\n".join(lines)
