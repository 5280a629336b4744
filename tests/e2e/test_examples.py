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
    assert lines[-1].startswith("All of it ends here: ")
    assert status == 0
    journey = lines.index(next(line for line in lines if line.startswith("post-purchase/")))
    whatsapp = next(line.split() for line in lines[journey:] if " whatsapp " in line)
    assert "3" in whatsapp, "the receiver failed twice first, and that is seen"


class Faulty(Receiver):
    """It changes a letter of what tells of a birthday, takes a card twice, and forgets the rest."""

    def requests(self, path: str = "") -> list[Received]:
        got = super().requests(path)
        mangled = [
            replace(one, body=one.body.replace(b"birthday", b"birthdax", 1)) for one in got if b"birth" in one.body
        ]
        return [*mangled, *(one for one in got if "wallet" in one.target for _ in range(2))]


async def test_a_receiver_that_loses_or_mangles_makes_the_demo_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = tmp_path / "examples"
    (examples / "entries").mkdir(parents=True)
    for name in ("vip-birthday", "reward", "whatsapp-conversation"):
        shutil.copy(EXAMPLES / f"{name}.yaml", examples)
        shutil.copy(EXAMPLES / "entries" / f"{name}.json", examples / "entries")
    monkeypatch.setattr("gateway.local.stack.Receiver", Faulty)
    status, lines = await run(tmp_path / "state", examples)
    assert status == 1
    assert "3 journeys, 2 of 6 messages arrived as they were sent." in lines, "\n".join(lines)
    for step, problem in (
        ("question", "the receiver took it 0 times"),
        ("clienteling", "the receiver got other bytes than were rendered"),
        ("wallet", "the receiver took it 2 times"),
    ):
        assert any(step in line and problem in line for line in lines), "\n".join(lines)
