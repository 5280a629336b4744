"""Reruns of flaky tests, counted over nightly runs: a run fails if they become too many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

KEPT_RUNS: Final = 14
"""Nightly runs over which reruns are counted."""
MAX_PER_TEST: Final = 2
MAX_OF_ALL: Final = 14


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reruns-log", type=Path, metavar="FILE", help="Record reruns in FILE, and fail on too many")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Record the reruns of a complete run, and fail it if there were too many."""
    log: Path | None = session.config.getoption("reruns_log")
    if log is None or hasattr(session.config, "workerinput"):
        return
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    tests = sorted({report.nodeid for report in reporter.stats.get("rerun", [])})
    earlier = log.read_text("utf-8").splitlines() if log.exists() else []
    lines = [*earlier, json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "tests": tests})][-KEPT_RUNS:]
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if found := excess([json.loads(line)["tests"] for line in lines]):
        reporter.section("too many reruns", red=True)
        for sentence in found:
            reporter.write_line(sentence)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def excess(runs: Sequence[Sequence[str]]) -> list[str]:
    """Return a sentence for each limit that the reruns of the last run exceed, with those of the runs before it."""
    counts = Counter(test for tests in runs for test in tests)
    found = {test: (counts[test], MAX_PER_TEST) for test in runs[-1]}
    if runs[-1]:
        found["all tests"] = counts.total(), MAX_OF_ALL
    return [
        f"{test}: {number} reruns in the last {len(runs)} nightly runs, {limit} are allowed: mend it"
        for test, (number, limit) in found.items()
        if number > limit
    ]
