"""The examples run from entry to end, as installed, and so do the first five minutes in docs/start/developing.md."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli import program
from cli.local.demo import demo
from runtime.local.receiver import Received, Receiver
from tests.e2e.conftest import environment

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


class Faulty(Receiver):
    """It changes a letter of what tells of a birthday, takes cards twice, and forgets a question."""

    def requests(self, path: str = "") -> list[Received]:
        kept = [one for one in super().requests(path) if not one.target.startswith("/whatsapp/")]
        changed = [replace(one, body=one.body.replace(b"birthday", b"birthdax", 1)) for one in kept]
        return [*changed, *(one for one in kept if "wallet" in one.target)]


async def test_the_demo_runs_the_examples_and_tells_which_message_did_not_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.local.stack.Receiver", Faulty)
    for name in ("_EVERY", "_LATER"):
        monkeypatch.setattr(f"cli.local.dev.{name}", 0.1)  # seconds between two looks for waits to skip
    output = StringIO()
    status = await demo(stay=False, console=Console(file=output, width=400), state=tmp_path / "state")
    lines = output.getvalue().splitlines()
    assert status == 1
    assert "7 journeys, 11 of 15 messages arrived as they were sent." in lines, "\n".join(lines)
    for step, problem in (
        ("question", "the receiver took it 0 times"),
        ("clienteling", "the receiver got other bytes than were rendered"),
        ("wallet", "the receiver took it 2 times"),
    ):
        assert any(step in line and problem in line for line in lines), "\n".join(lines)


SCENARIO = """
scenario: walk
trigger: order
entry: {key: "{{ order.external_id }}"}
steps:
  - wait: 2d
  - webhook: whatsapp
    to: wax
    path: /messages
    headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
    body: {order: "{{ order.external_id }}"}
    retry: {initial_interval: 1s, backoff_coefficient: 100}
  - wait_for: order.delivered
    for: 7d
"""
Scenario = Callable[..., str]
PORTS = ("--port", "0", "--ui-port", "0", "--gateway-port", "0")


class Dev:
    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        self._out, self._seen = folder / "dev.out", 0
        program = [sys.executable, "-c", "from cli.program import main; main()"]
        command = [*program, "dev", *PORTS, *options]
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, env=environment(**settings), stdout=out, stderr=out)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(100)

    def says(self, *words: str) -> str:
        end = time.monotonic() + 200
        while time.monotonic() < end:
            lines = self._out.read_text("utf-8").splitlines(keepends=True)
            for number, line in enumerate(lines[self._seen :], self._seen + 1):
                if line.endswith("\n") and all(word in line for word in words):
                    self._seen = number
                    return line.strip()
            assert self.process.poll() is None, "".join(lines)
            time.sleep(0.05)
        raise AssertionError(f"{words} is not said: {self._out.read_text('utf-8')}")


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    started = Dev(tmp_path, "--skip-time", SCENARIO_RETENTION="entries=2y")
    yield started
    started.end(signal.SIGKILL)


@pytest.fixture
def scenario(dev: Dev, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scenario:
    monkeypatch.chdir(tmp_path)
    for name in ("SCENARIO_STORE", "SCENARIO_DESTINATIONS", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", dev.says("export TEMPORAL_ADDRESS=").partition("=")[2])

    def run(*arguments: str) -> str:
        assert program.run(arguments) == 0, capsys.readouterr()
        return capsys.readouterr().out.strip()

    return run


@pytest.mark.nightly
def test_what_fails_is_retried_held_mended_and_retuned(
    dev: Dev, scenario: Scenario, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "walk.yaml").write_text(SCENARIO, "utf-8")

    def enter(order: str) -> str:
        trigger = {"type": "order", "order": {"external_id": order}}
        entry = {"scenario": "walk", "contact": {"id": 7}, "trigger": trigger}
        (tmp_path / "entry.json").write_text(json.dumps(entry), "utf-8")
        return scenario("enter", "entry.json")

    assert scenario("publish", "walk.yaml") == "walk@1"
    # Retried.
    scenario("receiver", "wax", "--answer", "503", "--times", "1")
    first = enter("A")
    dev.says(first, "wait-1", "skipped to")
    assert "wax 503 in " in dev.says(first, "again in")
    dev.says(first, "whatsapp", "wax 200", "delivered (attempt 2)")
    dev.says(first, "wait_for-3", "waits for the event order.delivered")
    # Held, mended.
    scenario("receiver", "wax", "--answer", "422")
    second = enter("B")
    dev.says(second, "wax 422", "not retried")
    dev.says(second, "held: permanent")
    assert second in scenario("list", "--held")
    scenario("receiver", "wax", "--reset")
    scenario("retry", second, "--reason", "mended")
    dev.says(second, "wax 200", "delivered")
    # Retuned.
    scenario("receiver", "wax", "--refuse")
    third = enter("C")
    dev.says(third, "wax connect_refused", "again in")
    dev.says(third, "wax connect_refused", "again in", "(attempt 2)")
    scenario("receiver", "wax", "--reset")
    scenario("retune", "wax", "--backoff-coefficient", "1", "--reason", "it is back", "--yes")
    dev.says(third, "wax 200", "delivered (attempt 3)")
    # The secret's stand-in went with it, and the end is a good one.
    received = [json.loads(path.read_bytes()) for path in (tmp_path / ".scenario" / "received").glob("*.json")]
    assert {dict(request["headers"])["authorization"] for request in received} == {"Bearer stand-in-WAX_TOKEN"}
    assert dev.end(signal.SIGINT) == 0
    # Who came in when nothing was sent is not written to by surprise.
    assert program.run(["dev", "--send", *PORTS]) == 1
    assert "(3), and would send for real: let them by --resume" in capsys.readouterr().err
    sending = Dev(tmp_path, "--send", "--resume")
    sending.says("the schedule scenario-retention is deleted")  # which the first had made
    sending.says("Messages leave this machine")
    sending.says("E-mail", "SCENARIO_SMTP is not set: those steps are held")
    sending.says("SMS", "SCENARIO_SMS is not set")
    sending.says("Ctrl-C")
    assert sending.end(signal.SIGINT) == 0
