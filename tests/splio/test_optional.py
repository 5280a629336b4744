"""The core works, and imports nothing of the package, if the package is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "splio":
            raise ModuleNotFoundError("No module named 'splio'", name=name)


sys.meta_path.insert(0, Absent())
import worker
from gateway.cli import main

main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize(
    ("arguments", "status", "output"),
    [
        (("check", "examples/post-purchase.yaml"), 0, ""),
        (
            ("preview", "examples/post-purchase.yaml", "--entry", "examples/entries/post-purchase.json"),
            0,
            "Thank you Zoé!",
        ),
        (("test", "examples/post-purchase.yaml"), 0, "✓ WhatsApp is down twice"),  # runs journeys
        (("convert", "-"), 2, "no such command 'convert'"),
        (("destinations", "deploy/destinations.example.yaml"), 1, "needs the package of a platform"),
    ],
    ids=["check", "preview", "test", "convert", "destinations"],
)
def test_the_core_works_without_the_package(arguments: tuple[str, ...], status: int, output: str) -> None:
    done = run(*arguments)
    assert (done.returncode, output in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


def test_a_broken_part_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import does_not_exist\n")
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[scenario_runner.checks]\nbroken = broken:check\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from scenario.extensions import load_extensions; load_extensions('scenario_runner.checks')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "No module named 'does_not_exist'" in done.stderr
