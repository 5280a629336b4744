"""The image, built and run: where a container engine is that has the base image already, since tests fetch nothing.

docker pull python:3.13-slim-trixie && pytest -n 0 tests/e2e/test_image.py

The build itself gets what `requirements.lock` names from the index, and takes some minutes.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import ROOT, Server
from tests.servers import reserved_port

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
TAG = "localhost/scenario-runner:tried"
[BASE] = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))


@dataclass(frozen=True)
class Engine:
    """What builds and runs images.

    Attributes:
        program: docker, podman, or buildah, which runs where the other two may not.
        container: Of buildah, which makes it before it runs anything in it.
    """

    program: str
    container: str = ""

    @property
    def build(self) -> list[str]:
        formats = [] if self.program == "docker" else ["--format=docker"]
        plain = ["--isolation=chroot", "--network=host"] if self.program == "buildah" else []
        return [self.program, "build", *formats, *plain, "--pull=never", f"--file={DOCKERFILE}", f"--tag={TAG}"]

    def run(self, image: str, *command: str, **environ: str) -> list[str]:
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        if self.program == "buildah":
            entry = ["entrypoint"] if image == TAG else []
            return ["buildah", "run", "--isolation=chroot", *variables, self.container, "--", *entry, *command]
        hardened = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        return [self.program, "run", "--rm", "--pull=never", "--network=host", *hardened, *variables, image, *command]


def works(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60)
        return done.stdout.strip() if done.returncode == 0 else None
    return None


def with_buildah(image: str) -> Engine | None:
    container = works(["buildah", "from", "--pull-never", image])
    return Engine("buildah", container) if container else None


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = [Engine("docker"), Engine("podman"), with_buildah(BASE)]
    found = next((one for one in made if one and works(one.run(BASE, "true")) is not None), None)
    if found is None:
        if made[-1]:
            works(["buildah", "rm", made[-1].container])
        pytest.skip(f"no container engine runs {BASE} here: install docker or podman, and pull that image with it")
    done = subprocess.run([*found.build, "."], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-4000:]
    ours = with_buildah(TAG) if found.program == "buildah" else found
    assert ours is not None
    yield ours
    for one in made:
        if one and one.container:
            works(["buildah", "rm", one.container])
    if ours.container:
        works(["buildah", "rm", ours.container])


@pytest.mark.timeout(1800)
async def test_it_is_built_and_its_worker_gets_ready_and_stops_when_it_is_asked(
    engine: Engine, server: Server, tmp_path: Path
) -> None:
    assert works(engine.run(TAG, "id", "-u")) == "10001"
    assert re.match(r"scenario \d", works(engine.run(TAG, "scenario", "--version")) or "")
    assert works(engine.run(TAG, "touch", "/opt/scenario/x")) is None

    port = reserved_port()
    # The store, then the image's own command, at a port that is free.
    command = ["sh", "-c", f"scenario store upgrade && exec python -m worker --health-port {port}"]
    settings = {**server.environ, "SCENARIO_STORE": "sqlite:////tmp/store.db"}
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*engine.run(TAG, *command, **settings), stdout=file, stderr=file)
    try:
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            while not await ready(session, f"http://127.0.0.1:{port}/readyz"):
                assert process.returncode is None, log.read_text("utf-8")
                await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if engine.program != "buildah":  # which hands no signal on
        assert status == 0, log.read_text("utf-8")
        assert '"message": "stopped"' in log.read_text("utf-8")


async def ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
