"""Journeys recorded on one version of Python are replayed on another; each night, those of each version on all others.

A worker is upgraded to another Python, or a fleet is mixed: the journeys go on. The folder of histories stands for this
version, on which `test_replay` replays it.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from runtime.local.devserver import DevServer
from tests.replay.bursts import NEEDED
from tests.replay.record import FOLDER

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".pytest_cache" / "pythons"
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
    for python in candidates(version):
        code = "import sys; print('{}.{}'.format(*sys.version_info))"
        asked = subprocess.run([python, "-I", "-c", code], capture_output=True, encoding="utf-8", check=False)
        if asked.stdout.strip() == version:
            return python
    return None


async def run(*command: str) -> None:
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


async def prepared(version: str, python: str) -> str:
    """The Python of an environment with what the replays need, in the versions that the project pins.

    It is kept for the next run: making it and compiling its modules takes longer than the replays.
    """
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes() + repr((python, NEEDED)).encode()).hexdigest()
    folder = ENVIRONMENTS / f"{version}-{digest[:16]}"
    made, complete = str(folder / "bin" / "python"), folder / "complete"
    if not complete.exists():
        await run("uv", "venv", "--quiet", "--clear", "--python", python, str(folder))
        await run("uv", "pip", "install", "--quiet", "--python", made, "--constraints", "requirements.lock", *NEEDED)
        complete.touch()
    return made


async def recorded(python: str, folder: Path) -> None:
    async with DevServer(folder.with_name(f"server-{folder.name}"), patience=120) as server:
        await run(python, "-m", "tests.replay.bursts", "record", server.address, str(folder))


async def replayed(python: str, folders: Sequence[Path]) -> None:
    await run(python, "-m", "tests.replay.bursts", "replay", *map(str, folders))


async def pythons(number: int) -> dict[str, str]:
    """The newest other versions that are found here, and their Pythons."""
    wanted = [version for version in reversed(SUPPORTED) if version != HERE]
    others = dict(islice(((version, python) for version in wanted if (python := found(version))), number))
    if not others or not shutil.which("uv"):
        pytest.skip(f"needs uv and another Python of {', '.join(SUPPORTED)} than {HERE}")
    made = await asyncio.gather(*(prepared(version, python) for version, python in others.items()))
    return dict(zip(others, made, strict=True))


@pytest.mark.timeout(300)
async def test_the_recorded_journeys_replay_on_the_newest_other_python() -> None:
    [python] = (await pythons(1)).values()
    await replayed(python, [FOLDER])


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_a_journey_recorded_on_one_python_replays_on_all_others(tmp_path: Path) -> None:
    others = await pythons(len(SUPPORTED))
    folders = {HERE: FOLDER, **{version: tmp_path / version for version in others}}
    for version in others:
        folders[version].mkdir()
    await asyncio.gather(*(recorded(python, folders[version]) for version, python in others.items()))
    await asyncio.gather(
        *(
            replayed(python, [folder for other, folder in folders.items() if other != version])
            for version, python in {HERE: sys.executable, **others}.items()
        )
    )
    if missing := {*SUPPORTED} - folders.keys():
        pytest.skip(f"replayed on {', '.join(folders)}; there is no Python {', '.join(sorted(missing))} here")
