"""The first five minutes in docs/start/developing.md: `scenario dev`, and a receiver that fails."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli import program
from tests.e2e.conftest import environment

pytestmark = [pytest.mark.nightly, pytest.mark.usefixtures("temporal_program")]

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
        program = [sys.executable, "-c", "from gateway.cli.program import main; main()"]
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
