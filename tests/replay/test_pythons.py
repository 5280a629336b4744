"""Journeys recorded on one version of Python are replayed on all others.

A worker is upgraded to another Python, or a fleet is mixed: the journeys go on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from runtime.local.devserver import DevServer
from tests.replay.bursts import NEEDED
from tests.replay.record import FOLDER

ROOT = Path(__file__).parents[2]
HERE = "{}.{}".format(*sys.version_info)
CLASSIFIER = "Programming Language :: Python :: "
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SUPPORTED = [name.removeprefix(CLASSIFIER) for name in PROJECT["classifiers"] if name.startswith(CLASSIFIER)]


def candidates(version: str) -> Iterator[str]:
    """Where a Python of this version may be: in PATH, beside the system's programs, among those that pyenv keeps."""
    yield from filter(None, [shutil.which(f"python{version}"), shutil.which(f"python{version}", path="/usr/bin")])
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))


def found(version: str) -> str | None:
    """A Python of this version that runs."""
    for python in candidates(version):
        code = "import sys; print('{}.{}'.format(*sys.version_info))"
        asked = subprocess.run([python, "-I", "-c", code], capture_output=True, encoding="utf-8", check=False)
        if asked.stdout.strip() == version:
            return python
    return None


async def run(*command: str) -> None:
    """Run a command in the project's folder."""
    environ = {name: value for name, value in os.environ.items() if name not in ("UV_PYTHON", "VIRTUAL_ENV")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{' '.join(command)}:\n{told.decode()[-5000:]}"


async def prepared(python: str, folder: Path) -> str:
    """The Python of an environment with what the replays need, in the versions that the project pins."""
    await run("uv", "venv", "--quiet", "--python", python, str(folder))
    made = str(folder / "bin" / "python")
    await run("uv", "pip", "install", "--quiet", "--python", made, "--constraints", "requirements.lock", *NEEDED)
    return made


async def recorded(python: str, folder: Path) -> None:
    """Record the bursts on a Python, against a server of its own."""
    async with DevServer(folder.with_name(f"server-{folder.name}"), patience=120) as server:
        await run(python, "-m", "tests.replay.bursts", "record", server.address, str(folder))


async def replayed(python: str, folders: Sequence[Path]) -> None:
    """Replay histories on a Python."""
    await run(python, "-m", "tests.replay.bursts", "replay", *map(str, folders))


@pytest.mark.timeout(300)
async def test_a_journey_recorded_on_one_python_replays_on_all_others(tmp_path: Path) -> None:
    others = {version: python for version in SUPPORTED if version != HERE and (python := found(version))}
    if not others or not shutil.which("uv"):
        pytest.skip(f"needs uv and another Python of {', '.join(SUPPORTED)} than {HERE}")
    made = await asyncio.gather(*(prepared(python, tmp_path / f"env-{version}") for version, python in others.items()))
    pythons = {HERE: sys.executable, **dict(zip(others, made, strict=True))}
    folders = [tmp_path / version for version in pythons]
    for folder in folders:
        folder.mkdir()
    await asyncio.gather(*map(recorded, pythons.values(), folders))
    folders = [FOLDER, *folders]
    await asyncio.gather(*(replayed(python, folders) for python in pythons.values()))
    if missing := set(SUPPORTED) - pythons.keys():
        pytest.skip(f"replayed on {', '.join(pythons)}; there is no Python {', '.join(sorted(missing))} here")
