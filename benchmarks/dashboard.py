"""A check that every expression of the dashboard and of the alert rules yields data, with a real Prometheus.

Run by hand, from the project's folder: ``python -m benchmarks.dashboard``. It needs Debian's program `prometheus`. A
worker and a gateway run on a real server. Journeys deliver, fail, are held, wait, are refused and are capped. One
cannot be decrypted, one receiver is down, and the stand-in for Twilio sometimes drops the connection. Prometheus
scrapes worker and gateway each second and evaluates the rules. The output lists the expressions without data or
without a value for a label that they group by, the unhealthy rules, and the pending or firing alerts.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from aiohttp import web
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from activities.background import PRUNE_WORKFLOW, PruneRequest
from activities.interface import JOURNEYS
from cli.terminal import say
from runtime import search_attributes
from runtime.connection import connect
from runtime.encryption.codec import ENCODING, KEY_ID
from runtime.errors import LocalError
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.process import free_port
from runtime.store import Attempt, Store
from service.client import ScenarioClient
from tests.deploy.expressions import ALERTS, GROUPS, RECORDS, grouped, panels, selectors
from tests.e2e.conftest import KEYS, environment

WORKER: Final = """
import sys
from functools import partial
from activities.sms import configured
configured.Twilio = partial(configured.Twilio, origin=sys.argv.pop(1))
from worker import main
main()
"""
"""The worker, with a stand-in for Twilio at the address that is its first argument."""
UNDECRYPTABLE: Final = RawValue(Payload(metadata={"encoding": ENCODING, KEY_ID: b"nobody-has-it"}, data=b"secret"))
"""An entry encrypted with an unknown key, so that the workflow tasks of its journey fail."""
DESTINATIONS: Final = """
default: {breaker: off}
destinations:
  shop: {url: "http://127.0.0.1:PORT/shop", ports: [PORT], allow_http: true, allow_private: true}
  slow: {url: "http://127.0.0.1:PORT/slow", ports: [PORT], allow_http: true, allow_private: true, concurrency: 1}
  down:
    url: http://127.0.0.1:PORT/down
    ports: [PORT]
    allow_http: true
    allow_private: true
    retry: {initial_interval: 1s, maximum_interval: 2s}
    breaker: {minimum: 2, pause: 5s}
"""
POLICIES: Final = "caps: [{name: day, channels: [sms], at_most: 2, per: day}]\n"
SCENARIOS: Final[Mapping[str, Any]] = {
    "delivers": [
        {"email": "mail", "subject": "hello", "text": "hello"},
        {"webhook": "told", "to": "shop", "path": "/ok", "body": {}},
        {"sms": "first", "text": "hello"},
        {"sms": "second", "text": "hello again"},
        {"sms": "third", "text": "one too many"},
        {"wait": "1h"},
    ],
    "retries": [{"webhook": "shaky", "to": "shop", "path": "/once", "body": {}, "retry": {"initial_interval": "1s"}}],
    "waits-its-turn": [{"webhook": "slow", "to": "slow", "path": "/ok", "body": {}}],
    "is-held": [{"webhook": "refused", "to": "shop", "path": "/refused", "body": {}}],
    "is-unknown": [{"webhook": "cut", "to": "shop", "path": "/cut", "body": {}, "on_unknown": "hold"}],
    "is-unknown-too": [{"sms": "lost", "text": "cut"}],
    "is-left-alone": [{"webhook": "down", "to": "down", "path": "/down", "body": {}}],
    "sends-later": [{"sms": "night", "text": "hello", "window": {"from": "FROM", "to": "TO"}}],
    "refuses": [{"wait": "1h"}],
}

COVERED_BY_ALARMS: Final = (
    "scenario_certificate_",
    "scenario_key",
    "scenario_clock_",
    '{http_response_status_code=~"5',
)
"""Parts of expressions that have no data here. `python -m benchmarks.alarms` covers them."""
OLD_ATTEMPT: Final = Attempt(
    delivery_id="msg_old",
    attempt=1,
    workflow_id="old/1",
    run_id="1",
    scenario="old",
    version=1,
    step="text",
    channel="sms",
    destination="local",
    contact_id="1",
    started_at=datetime(2020, 1, 1, tzinfo=UTC),
    milliseconds=1,
    outcome="delivered",
)
"""An attempt that is old enough to be pruned."""


class ScriptedReceiver:
    """A receiver that chooses its response by the path, and a stand-in for Twilio."""

    def __init__(self) -> None:
        self.port = 0
        self._seen = Counter[str]()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[ScriptedReceiver]:
        """Listen until the block ends."""
        application = web.Application()
        application.router.add_post("/2010-04-01/Accounts/AC1/Messages.json", self._text)
        application.router.add_route("*", "/{to}/{how}", self._receive)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        identifier, how = request.headers["webhook-id"], request.match_info["how"]
        self._seen[identifier] += 1
        if request.match_info["to"] == "slow":
            await asyncio.sleep(0.5)
        if how == "cut" and request.transport is not None:
            request.transport.abort()
        status = {"refused": 422, "down": 503, "once": 503 if self._seen[identifier] == 1 else 200}
        return web.Response(status=status.get(how, 200))

    async def _text(self, request: web.Request) -> web.Response:
        if (await request.post())["Body"] == "cut" and request.transport is not None:
            request.transport.abort()
        return web.json_response({"sid": "SM1"}, status=201)


@asynccontextmanager
async def run_process(log: Path, *command: str, **options: Any) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a program until the block ends."""
    with log.open("wb") as out:
        started = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, **options)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
        await started.wait()


def scenario_text(name: str, steps: Sequence[Any]) -> str:
    """Return the text of a scenario's file."""
    now = datetime.now(UTC)
    text = yaml.safe_dump(
        {
            "scenario": name,
            "trigger": "segment",
            "entry": {"again": "always", "if": "contact.id == 'nobody'" if name == "refuses" else "contact.id != ''"},
            "steps": steps,
        }
    )
    later = {"FROM": now + timedelta(hours=2), "TO": now + timedelta(hours=3)}
    for word, moment in later.items():
        text = text.replace(word, moment.strftime("%H:%M"))
    return text


async def enter_all(client: ScenarioClient, contacts: Sequence[int]) -> None:
    """Enter each contact into each scenario. Ignore refusals."""
    await asyncio.gather(
        *(
            client.enter(
                {
                    "scenario": name,
                    "contact": {"id": f"{contact}", "email": f"c{contact}@example.org", "cellphone": "+33612345678"},
                    "trigger": {"type": "segment"},
                },
                settle=0,
            )
            for name in SCENARIOS
            for contact in contacts
        ),
        return_exceptions=True,
    )


class Prometheus:
    """A client of Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=30)

    async def wait_until_ready(self) -> None:
        """Wait until Prometheus is ready, for a minute at most."""
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await self._client.get("/-/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.2)

    async def labels(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of the series that an expression yields, except those with the value NaN.

        Raises:
            LocalError: The expression cannot be evaluated.
        """
        return [one["metric"] for one in await self._query("query", query=expression) if one["value"][1] != "NaN"]

    async def number(self, expression: str) -> float:
        """Return the first number that an expression yields, or 0.

        Raises:
            LocalError: The expression cannot be evaluated.
        """
        return next(iter((await self.numbers(expression)).values()), 0.0)

    async def numbers(self, expression: str) -> dict[str, float]:
        """Return the numbers that an expression yields, by the values of the series' labels.

        Raises:
            LocalError: The expression cannot be evaluated.
        """
        found = await self._query("query", query=expression)
        return {_join_labels(one["metric"]): float(one["value"][1]) for one in found}

    async def ranges(self, expression: str, began: float, ended: float, step: int) -> dict[str, list[float]]:
        """Return the numbers that an expression yields over time, by the values of the series' labels.

        Args:
            expression: A PromQL expression.
            began: Start of the range, in seconds since 1970.
            ended: End of the range, in seconds since 1970.
            step: Seconds between two numbers.

        Raises:
            LocalError: The expression cannot be evaluated.
        """
        asked = {"query": expression, "start": f"{began}", "end": f"{ended}", "step": f"{step}"}
        found = await self._query("query_range", **asked)
        return {_join_labels(one["metric"]): [float(value) for _, value in one["values"]] for one in found}

    async def _query(self, how: str, **asked: str) -> list[dict[str, Any]]:
        answer = (await self._client.get(f"/api/v1/{how}", params=asked)).json()
        if answer["status"] != "success":
            raise LocalError(f"{asked['query']}: {answer['error']}")
        return answer["data"]["result"]

    async def series(self, matching: str) -> list[dict[str, str]]:
        """Return the labels of all matching series, past ones included."""
        return (await self._client.get("/api/v1/series", params={"match[]": matching})).json()["data"]

    async def rules(self) -> list[dict[str, Any]]:
        """Return the state of all rules."""
        answer = (await self._client.get("/api/v1/rules")).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


def _join_labels(labels: Mapping[str, str]) -> str:
    """Join the values of labels, without the metric's name."""
    return " ".join(value for name, value in labels.items() if name != "__name__")


def wanted_expressions() -> dict[str, str]:
    """Return the expressions that must yield data, by name: whole panels and recording rules, and alerts' selectors."""
    found = {f"panel {title}: {text}": text for title, text in panels()}
    found |= {f"figure {name}": text for name, text in RECORDS.items()}
    for name, alert in ALERTS.items():
        for selector in selectors(alert["expr"]):
            found[f"alert {name}: {selector.text}"] = f"last_over_time({selector.text}[5m])"
    return {name: text for name, text in found.items() if not any(metric in text for metric in COVERED_BY_ALARMS)}


async def find_without_data(prometheus: Prometheus, left: Mapping[str, str]) -> dict[str, str]:
    """Return the expressions that still yield no data, or no value for a label that they group by."""
    still: dict[str, str] = {}
    for name, expression in left.items():
        found = await prometheus.labels(expression)
        labels = grouped(expression) - {"le"} if found and not name.startswith("alert") else set[str]()
        if not found or any(all(not one.get(label) for one in found) for label in labels & set(found[0])):
            still[name] = expression
    return still


async def measure(contacts: int, patience: float) -> int:
    """Create data until all expressions yield some. Return 1 if one did not, or if a rule is unhealthy."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        receiver = await stack.enter_async_context(ScriptedReceiver().open())
        inbox = await stack.enter_async_context(Inbox(folder / "inbox"))
        server = await stack.enter_async_context(DevServer(folder / "state"))
        book, policies = folder / "destinations.yaml", folder / "policies.yaml"
        book.write_text(DESTINATIONS.replace("PORT", str(receiver.port)), "utf-8")
        policies.write_text(POLICIES, "utf-8")
        url = f"sqlite:///{folder / 'store.db'}"
        environ = environment(
            TEMPORAL_ADDRESS=server.address,
            SCENARIO_STORE=url,
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM="Shop <shop@example.com>",
            SCENARIO_SMS="twilio://AC1:token@?from=Shop",
            SCENARIO_DESTINATIONS=str(book),
            SCENARIO_ENCRYPTION_KEYS=KEYS,
            SCENARIO_POLICIES=str(policies),
        )
        worker, gateway, api = (free_port() for _ in range(3))
        store = await stack.enter_async_context(Store.open(url, migrate=True))
        temporal = await connect(server.address, interceptors=[])
        await search_attributes.ensure(temporal)
        client = ScenarioClient(temporal, store)
        for name, steps in SCENARIOS.items():
            path = folder / f"{name}.yaml"
            path.write_text(scenario_text(name, steps), "utf-8")
            await client.publish(path)

        began = time.monotonic()
        run: dict[str, Any] = {"cwd": folder, "env": environ}
        await stack.enter_async_context(
            run_process(
                folder / "worker.log",
                *(sys.executable, "-c", WORKER, f"http://127.0.0.1:{receiver.port}", "--metrics-port", f"{worker}"),
                **run,
            )
        )
        serving = ("serve", "--api", "--port", f"{api}", "--metrics-port", f"{gateway}")
        cli = (sys.executable, "-c", "from cli import main; main()")
        await stack.enter_async_context(run_process(folder / "gateway.log", *cli, *serving, **run))
        async with run_process(folder / "key", *cli, "keys", "create", "--scope", "read", **run) as making:
            await making.wait()
        key = (folder / "key").read_text("utf-8").split()[0]
        prometheus = await stack.enter_async_context(
            run_prometheus(folder, {"scenario-worker": [worker], "scenario-gateway": [gateway]})
        )
        left, rounds = wanted_expressions(), 0
        whole = len(left)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}", headers=headers) as asking:
            await store.record([OLD_ATTEMPT])
            pruning: dict[str, Any] = {"id": "pruning", "task_queue": JOURNEYS}
            await temporal.start_workflow(PRUNE_WORKFLOW, PruneRequest(ages="deliveries=180d"), **pruning)
            await temporal.start_workflow("Journey", UNDECRYPTABLE, id="unreadable", task_queue=JOURNEYS)
            while left and time.monotonic() - began < patience:
                await enter_all(client, range(rounds * contacts, (rounds + 1) * contacts))
                with suppress(httpx.HTTPError):  # the gateway may still be starting
                    await asking.get("/v1/scenarios")
                left = await find_without_data(prometheus, left)
                rounds += 1
                await asyncio.sleep(1)
        rules = await prometheus.rules()
        firing = sorted({rule["name"] for rule in rules if rule.get("alerts")})
        unhealthy = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
        say(f"{whole} expressions, {whole - len(left)} with data after {time.monotonic() - began:.0f} s")
        for name in left:
            say(f"EMPTY: {name}")
        for line in unhealthy:
            say(f"UNHEALTHY: {line}")
        say(f"pending or firing: {', '.join(firing) or 'none'}")
        if left:
            say((folder / "worker.log").read_text("utf-8")[-3000:])
            say((folder / "gateway.log").read_text("utf-8")[-3000:])
    return 1 if left or unhealthy else 0


@asynccontextmanager
async def run_prometheus(
    folder: Path,
    jobs: Mapping[str, Sequence[int]],
    *,
    scrape: str = "1s",
    evaluate: str = "1s",
    groups: Sequence[Mapping[str, Any]] = GROUPS,
) -> AsyncGenerator[Prometheus]:
    """Run a Prometheus with the alert rules.

    Args:
        folder: Folder for its files.
        jobs: Local ports to scrape, by job.
        scrape: Interval between two scrapes, such as "1s".
        evaluate: Interval between two evaluations of a rule.
        groups: The groups of rules.
    """
    program, port = shutil.which("prometheus"), free_port()
    assert program is not None, "no Prometheus: install Debian's package"
    rules = [{"name": group["name"], "rules": group["rules"]} for group in groups]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rules}), "utf-8")
    config = {
        "global": {"scrape_interval": scrape, "evaluation_interval": evaluate},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}]}
            for name, ports in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    async with run_process(
        folder / "prometheus.log",
        *(program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ):
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        await prometheus.wait_until_ready()
        yield prometheus


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=4, help="contacts that enter each scenario each second")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for all expressions to yield data")
    given = parser.parse_args()
    raise SystemExit(asyncio.run(measure(given.contacts, given.patience)))
