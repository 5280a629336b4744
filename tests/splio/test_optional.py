"""The core works, and imports nothing of the package, if the package is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scenario.extensions import load_extensions

ROOT = Path(__file__).parents[2]
RUN = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "splio":
            raise ModuleNotFoundError("No module named 'splio'", name=name)


sys.meta_path.insert(0, Absent())
import io, json
from contextlib import redirect_stderr, redirect_stdout
import worker
from gateway.cli import program

for line in sys.stdin:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        status = program.run(json.loads(line))
    print(json.dumps([status, output.getvalue()]))
"""


def test_the_core_works_without_the_package() -> None:
    cases = [
        (("check", "examples/post-purchase.yaml"), 0, ""),
        (("test", "examples/post-purchase.yaml", "--case", "twice"), 0, "✓ WhatsApp is down twice"),  # runs a journey
        (("convert", "-"), 2, "no such command 'convert'"),
        (("destinations", "deploy/destinations.example.yaml"), 1, "needs the package of a platform"),
    ]
    lines = "".join(f"{json.dumps(arguments)}\n" for arguments, _, _ in cases)
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=ROOT, input=lines, capture_output=True, encoding="utf-8", check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    for (arguments, status, output), (got, said) in zip(cases, found, strict=True):
        assert (got, output in said) == (status, True), (arguments, said)


def test_a_broken_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("import does_not_exist\n")
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[scenario_runner.others]\nbroken = broken:check\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="No module named 'does_not_exist'"):
        load_extensions("scenario_runner.others")
