"""The image, built and run: where a container engine is that has the base image already, since tests fetch nothing.

docker pull python:3.13-slim-trixie && pytest -n 0 tests/e2e/test_image.py

The build itself gets what `requirements.lock` names from the index, and takes some minutes.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Server, is_ready
from tests.servers import reserved_port

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
TAG = "localhost/scenario-runner:tried"
[BASE] = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))


RUN = (
    *("run", "--rm", "--pull=never", "--network=host", "--read-only", "--tmpfs=/tmp"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
)


def works(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60)
        return done.stdout.strip() if done.returncode == 0 else None
    return None


@pytest.fixture
def engine() -> str:
    found = next((one for one in ("docker", "podman") if works([one, *RUN, BASE, "true"]) is not None), None)
    if found is None:
        pytest.skip(f"neither docker nor podman runs {BASE} here: install one, and pull that image with it")
    formats = ["--format=docker"] if found == "podman" else []
    build = [found, "build", *formats, "--pull=never", f"--file={DOCKERFILE}", f"--tag={TAG}", "."]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-4000:]
    return found


@pytest.mark.timeout(1800)
async def test_it_is_built_and_its_worker_gets_ready_and_stops_when_it_is_asked(
    engine: str, server: Server, tmp_path: Path
) -> None:
    assert works([engine, *RUN, TAG, "id", "-u"]) == "10001"
    assert re.match(r"scenario \d", works([engine, *RUN, TAG, "scenario", "--version"]) or "")
    assert works([engine, *RUN, TAG, "touch", "/opt/scenario/x"]) is None

    port = reserved_port()
    # The store, then the image's own command, at a port that is free.
    command = ["sh", "-c", f"scenario store upgrade && exec python -m worker --health-port {port}"]
    settings = {**server.environ, "SCENARIO_STORE": "sqlite:////tmp/store.db"}
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        variables = [f"--env={name}={value}" for name, value in settings.items()]
        words = (engine, *RUN, *variables, TAG, *command)
        process = await asyncio.create_subprocess_exec(*words, stdout=file, stderr=file)
    try:
        async with asyncio.timeout(120):
            while not await is_ready(f"http://127.0.0.1:{port}"):
                assert process.returncode is None, log.read_text("utf-8")
                await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert status == 0, log.read_text("utf-8")
    assert '"message": "stopped"' in log.read_text("utf-8")
