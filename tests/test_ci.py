"""What a run gets beside Python: a browser, promtool, packages of npm, where it can; it goes on where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "run"
UPDATE = "apt-get update -qq"
INSTALL = "apt-get install -qq --yes --no-install-recommends"
BROWSER, RULES = f"{INSTALL} chromium", f"{INSTALL} promtool"
NPM = "npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --loglevel=error"


@pytest.mark.parametrize(
    ("there", "user", "asked", "status"),
    [
        (("apt-get", "npm"), 0, [UPDATE, BROWSER, RULES, NPM], 0),
        (("apt-get", "npm"), 0, [UPDATE, BROWSER, RULES, NPM], 100),
        (("apt-get", "npm", "chromium"), 0, [UPDATE, RULES, NPM], 0),
        (("apt-get", "npm", "promtool"), 0, [UPDATE, BROWSER, NPM], 0),
        (("apt-get", "npm", "chromium", "promtool"), 0, [NPM], 0),
        (("apt-get", "npm"), 1000, [NPM], 0),
        ((), 0, [], 0),
    ],
)
def test_it_gets_what_is_missing_and_goes_on_without(
    tmp_path: Path, there: tuple[str, ...], user: int, asked: list[str], status: int
) -> None:
    for name in there:
        stand_in(tmp_path / name, f'echo "{name} $*" >> {tmp_path}/asked\nexit {status}')
    stand_in(tmp_path / "id", f"echo {user}")
    for name in ("bash", "dirname", "grep", "sed", "sort", "timeout"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    ran = subprocess.run(
        [str(tmp_path / "bash"), str(SCRIPT), "--extras"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    log = tmp_path / "asked"
    assert (log.read_text().splitlines() if log.exists() else []) == asked
    assert ran.stderr.count("not done (100), and gone on without") == (len(asked) if status else 0)


def stand_in(path: Path, does: str) -> None:
    path.write_text(f"#!/bin/bash\n{does}\n")
    path.chmod(0o755)
