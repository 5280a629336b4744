"""Reruns of flaky tests are counted over nightly runs, and too many of them fail a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reruns import MAX_OF_ALL, MAX_PER_TEST, excess

ROOT = Path(__file__).parent.parent
FLAKY = """
import pytest
from pathlib import Path

@pytest.mark.flaky(reruns=1)
def test_that_fails_at_first():
    failed = Path("failed")
    if not failed.exists():
        failed.touch()
        pytest.fail("the server lost a task")
"""
PASSES = "def test_that_passes(): pass"
INTERRUPTED = "def test_that_is_interrupted(): raise KeyboardInterrupt"
NAME = "test_some.py::test_that_fails_at_first"


def night(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    """Run a test as a nightly run does."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_some.py").write_text(test)
    plugins = ["-p", "xdist", "-p", "pytest_rerunfailures", "-p", "tests.reruns"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-n", "1", "--reruns-log", "kept/reruns.jsonl"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_test_that_is_rerun_too_often_fails_the_night_until_it_passes_at_once(tmp_path: Path) -> None:
    for _ in range(MAX_PER_TEST):
        assert night(tmp_path, FLAKY).returncode == 0
        (tmp_path / "failed").unlink()
    ran = night(tmp_path, FLAKY)
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout
    assert f"{NAME}: 3 reruns in the last 3 nightly runs, 2 are allowed: mend it" in ran.stdout
    assert night(tmp_path, PASSES).returncode == 0
    lines = (tmp_path / "kept/reruns.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["tests"] for line in lines] == [[NAME]] * 3 + [[]]


@pytest.mark.parametrize(
    ("nights", "found"),
    [
        ([["a"]] * MAX_PER_TEST, []),
        ([["a"]] * (MAX_PER_TEST + 1), ["a"]),
        ([["a"]] * (MAX_PER_TEST + 1) + [["b"]], []),
        ([["a", "b"]] * (MAX_PER_TEST + 1), ["a", "b"]),
        ([[f"{number}"] for number in range(MAX_OF_ALL)], []),
        ([[f"{number}"] for number in range(MAX_OF_ALL + 1)], ["all tests"]),
        ([[f"{number}" for number in range(MAX_OF_ALL + 1)], []], []),
        ([[f"{number}" for number in range(MAX_OF_ALL)], [], ["x"]], ["all tests"]),
    ],
)
def test_a_night_fails_by_its_own_reruns_only(nights: list[list[str]], found: list[str]) -> None:
    assert [sentence.partition(":")[0] for sentence in excess(nights)] == found


def test_nights_are_forgotten_after_a_fortnight_and_a_run_that_was_interrupted_is_none(tmp_path: Path) -> None:
    log = tmp_path / "kept/reruns.jsonl"
    log.parent.mkdir()
    log.write_text('{"at": "2026-03-01", "tests": ["old"]}\n' * 14)
    assert night(tmp_path, PASSES).returncode == 0
    kept = log.read_text("utf-8").splitlines()
    assert [json.loads(line)["tests"] for line in kept] == [["old"]] * 13 + [[]]
    assert night(tmp_path, INTERRUPTED).returncode == pytest.ExitCode.INTERRUPTED
    assert log.read_text("utf-8").splitlines() == kept
