"""The examples run from entry to end, as installed, and what was lost or mangled on the way does not go unnoticed."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gateway.local.demo import EXAMPLES, demo
from runtime.local.receiver import Received, Receiver

pytestmark = pytest.mark.usefixtures("temporal_program")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The programs of an environment that has the wheel and what it depends on, and nothing of this one.

    The packages are those of `uv.lock`, which uv has kept: nothing is downloaded.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None or not (ROOT / "uv.lock").exists():
        pytest.skip("needs uv, and the uv.lock that `uv run` makes")
    place = tmp_path / "environment"
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(place), "UV_PYTHON_DOWNLOADS": "never"}

    def run(*words: str | Path) -> str:
        done = subprocess.run([*map(str, words)], cwd=ROOT, env=variables, capture_output=True, encoding="utf-8")
        if "network was disabled" in done.stderr or "network connectivity is disabled" in done.stderr:
            pytest.skip("uv has not kept the packages that it installed here")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    kept = ("--quiet", "--offline")
    only = ("--no-default-groups", "--no-install-project")
    run(uv, "sync", *kept, "--frozen", *only, "--python", sys.executable)
    run(uv, "pip", "install", *kept, "--no-deps", "--python", place, wheel)
    run(uv, "pip", "check", *kept, "--python", place)  # nothing that the wheel says it needs is missing
    return place / "bin"


async def test_the_demo_runs_the_examples_and_every_message_arrives(tmp_path: Path) -> None:
    status, lines = await run(tmp_path / "state")
    assert lines[-3] == "7 journeys, 15 of 15 messages arrived as they were sent.", "\n".join(lines)
    assert status == 0


@pytest.mark.nightly
def test_an_installed_wheel_runs_the_examples_and_every_message_arrives(installed: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*words: str | Path) -> tuple[int, list[str]]:
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COLUMNS": "400", "PYTHONUTF8": "1"}
        done = subprocess.run([*map(str, words)], cwd=empty, env=variables, stdout=subprocess.PIPE, encoding="utf-8")
        return done.returncode, [line.rstrip() for line in done.stdout.splitlines()]

    status, lines = run(installed / "scenario", "demo")
    assert lines[-3] == "7 journeys, 15 of 15 messages arrived as they were sent.", "\n".join(lines)
    assert lines[-2].startswith("Inbox: ")
    assert lines[-1].startswith("All of it ends here: ")
    assert status == 0
    journey = lines.index(next(line for line in lines if line.startswith("post-purchase/")))
    whatsapp = next(line.split() for line in lines[journey:] if " whatsapp " in line)
    assert "3" in whatsapp, "the receiver failed twice first, and that is seen"
    (wheel,) = tmp_path.glob("*.whl")
    version = wheel.name.split("-")[1]
    assert run(installed / "scenario", "--version") == (0, [f"scenario {version}"])
    assert run(installed / "python", "-m", "worker", "--version") == (0, [f"worker.py {version}"])


async def run(state: Path, examples: Path = EXAMPLES) -> tuple[int, list[str]]:
    output = StringIO()
    status = await demo(stay=False, console=Console(file=output, width=400), examples=examples, state=state)
    return status, [line.rstrip() for line in output.getvalue().splitlines()]


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
