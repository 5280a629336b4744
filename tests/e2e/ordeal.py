"""A journey to destinations that goes through all that can happen to deliveries, watched from everywhere."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from opentelemetry import metrics, trace
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle

from runtime.local.receiver import Inbox
from runtime.store import Store
from scenario.words import Operation
from service.client import ScenarioClient
from tests.e2e import planted
from tests.e2e.conftest import SENDER, Server, add_key, command, environment, publish, sealing, until
from tests.e2e.planted import ADDRESSES, LITERAL, MARK, REASON, SECRETS, Echo, call_back, process
from tests.servers import reserved_port

BOOK = """
destinations:
  wax:
    url: URL/wax
    secrets: [TOKEN]
    headers:
      Authorization: "Bearer {{ secrets.TOKEN }}"
      X-Basic: "Basic {{ secrets.PAIR | base64_encode }}"
      X-Pin: "{{ secrets.PIN }}"
    signing: [{key: SIGN}, {key: SIGN_OLD, until: 2999-01-01T00:00:00Z}, {key: SIGN_OURS}]
    retry: {initial_interval: 1s, backoff_coefficient: 1}
    breaker: off
    LOCAL
  shaky:
    url: URL/shaky
    secrets: [TOKEN]
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    retry: {initial_interval: 1s, backoff_coefficient: 1}
    breaker: {minimum: 1, pause: 1s}
    LOCAL
  tired:
    url: URL/tired
    secrets: [TOKEN]
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    retry: {initial_interval: 1s, deadline: 3s}
    breaker: {minimum: 1, pause: 1h}
    LOCAL
  sealed:
    url: https://127.0.0.1:PORT/sealed
    tls: {ca: ca.pem, certificate: client.pem, key: client.key}
    allow_private: true
    ports: [PORT]
  unsigned:
    url: URL/unsigned
    secrets: [TOKEN]
    signing: [{key: SIGN_BAD}]
    LOCAL
"""
BODY = """{name: "{{ contact.firstname }}", mail: "{{ contact.email }}", phone: "{{ contact.cellphone }}",
      back: "{{ journey.callback_url }}", token: "{{ secrets.TOKEN }}"}"""
SCENARIO = f"""
scenario: planted
trigger: order
entry: {{again: always}}
steps:
  - webhook: told
    to: wax
    path: /ok/{{{{ contact.email }}}}?name={{{{ contact.firstname }}}}&back={{{{ journey.callback_url }}}}
    headers: {{X-Name: "{{{{ contact.firstname }}}} {{{{ journey.callback_url }}}}"}}
    body: {BODY}
    save: {{as: wax}}
  - webhook: sealed
    to: sealed
    path: /ok
    content: form
    body: {{said: "{{{{ responses.wax.body }}}} {{{{ responses.wax.headers['X-Basic'] }}}}"}}
    save: {{as: misfit, schema: {{required: [nothing]}}}}
  - email: mail
    subject: "{{{{ contact.firstname }}}}"
    text: "{{{{ journey.callback_url }}}} {{{{ contact.email }}}}"
  - sms: text
    text: "{{{{ journey.callback_url }}}}"
  - wait_for: planted.answered
    for: 1h
  - webhook: busy
    to: wax
    path: /busy/1
    body: {BODY}
    save: {{as: again}}
  - webhook: refused
    to: wax
    path: /status/PERMANENT
    body: {BODY}
  - webhook: exhausted
    to: wax
    path: /cut
    body: {BODY}
    retry: {{maximum_attempts: 1}}
  - webhook: unrenderable
    to: wax
    body:
      a: "{{{{ contact.cellphone | divided_by: contact.custom.none }}}}"
      b: "{{{{ secrets.TOKEN | times: 1 | divided_by: contact.custom.none }}}}"
  - webhook: unsigned
    to: unsigned
    body: {BODY}
  - webhook: unknown
    to: nowhere
    body: {BODY}
  - webhook: overdue
    to: tired
    path: /status/503
    body: {BODY}
  - webhook: shaky
    to: shaky
    path: /busy/1
    body: {BODY}
  - webhook: down
    to: wax
    path: /busy/1
    body: {BODY}
    retry: {{initial_interval: 5h, maximum_interval: 6h}}
"""
ENTRY: dict[str, Any] = {
    "scenario": "planted",
    "contact": {
        "id": 4718,
        "email": ADDRESSES[0],
        "cellphone": f"+33{ADDRESSES[1]}",
        "firstname": MARK,
        "address": ADDRESSES[2],
        "custom": {"none": 0},
    },
    "trigger": {"type": "order", "order": {"external_id": "CGX0094"}},
}
JOURNEY = "planted/4718"
WHO = ("--operator", "ann", "--reason", REASON)
BRIEF = """
scenario: brief
trigger: order
exit: [{event: order.returned}]
steps:
  - wait_for: order.delivered
    if: event.text == contact.address
    for: 1h
"""


@dataclass
class Place:
    client: ScenarioClient
    echo: Echo
    inbox: Inbox
    folder: Path
    environ: dict[str, str]
    said: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def book(self) -> str:
        port = self.echo.url.rpartition(":")[2]
        local = f"allow_private: true\n    allow_http: true\n    ports: [{port}]"
        return BOOK.replace("LOCAL", local).replace("URL", self.echo.url).replace("PORT", str(self.echo.tls_port))

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.client.temporal.get_workflow_handle(JOURNEY)

    async def run(self, *arguments: str, fails: bool = False) -> bytes:
        name = f"command {' '.join(arguments[:2])}"
        ran = await asyncio.to_thread(command, *arguments)
        assert bool(ran.status) is fails, (arguments, ran)
        out = (ran.out + ran.err).encode()
        self.said[name] = self.said.get(name, b"") + out
        return out

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return await until(lambda: self.handle.query("progress"), wanted)

    async def held(self, step: str, cause: str) -> None:
        progress = await self.until(lambda seen: seen["state"] == "held" and seen["at"] == step)
        assert progress["waiting"]["cause"] == cause, progress
        await self.look(step)

    async def look(self, when: str) -> None:
        described = await self.handle.describe()
        progress: Any = await self.handle.query("progress")
        metadata = await self.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        self.said |= {
            f"description at {when}": described.raw_description.SerializeToString(),
            f"progress at {when}": repr(progress).encode(),
            f"details at {when}": metadata.SerializeToString(),
        }


@asynccontextmanager
async def placed(
    server: Server, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Place]:
    temporal = await server.connect()
    (secrets := tmp_path / "secrets").mkdir()
    (secrets / "PAIR").write_text(SECRETS["PAIR"])
    store = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    async with Echo(tmp_path) as echo, Store.open(store) as opened:
        given = {f"SCENARIO_SECRET_{name}": value for name, value in SECRETS.items() if name != "PAIR"}
        environ = environment(
            **given,
            **server.environ,
            SCENARIO_SECRETS_DIR=str(secrets),
            SCENARIO_STORE=store,
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM=SENDER,
            SCENARIO_SMS="local:",
            SCENARIO_DESTINATIONS=str(tmp_path / "destinations.yaml"),
            SCENARIO_CALLBACK_URL="https://hooks.example.com",
            SCENARIO_CALLBACK_KEY=planted.CALLBACK_KEY,
            SCENARIO_CALLBACK_KEY_PREVIOUS=planted.CALLBACK_OLD,
            OTEL_EXPORTER_OTLP_ENDPOINT=echo.url,
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization={planted.COLLECTOR}",
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        for name in os.environ.keys() - environ.keys():
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        # Commands run in this process, whose other tests are not to be traced.
        monkeypatch.setattr(trace, "set_tracer_provider", Mock())
        monkeypatch.setattr(metrics, "set_meter_provider", Mock())
        book = tmp_path / "destinations.yaml"
        book.touch()
        place = Place(ScenarioClient(sealing(temporal, opened), opened), echo, inbox, tmp_path, environ)
        book.write_text(place.book)
        await publish(place.client, tmp_path, SCENARIO.replace("PERMANENT", "422"))
        yield place


async def use_api(place: Place, address: str) -> bytes:
    token = await add_key(place.client.store)
    await publish(place.client, place.folder, BRIEF)
    contact = {**ENTRY["contact"], "id": 4720}
    entry: dict[str, Any] = {**ENTRY, "scenario": "brief", "contact": contact}
    event = {"contact": 4720, "name": "order.delivered", "properties": {"text": f"{MARK} {ADDRESSES[0]}"}}
    pause: dict[str, Any] = {"operation": "pause", "which": {"scenario": "brief"}, "reason": "planted"}
    wanted: list[tuple[str, str, Any, int]] = [
        ("POST", "entries", {**entry, "scenario": MARK}, 422),
        ("POST", "entries", {**entry, "contact": {**contact, "id": [MARK]}}, 422),
        ("POST", "entries", entry, 201),
        ("POST", "entries", entry, 201),
        ("POST", "events", event, 202),
        ("POST", "events", {**event, "name": [MARK]}, 422),
        ("PATCH", "contacts/4720", {"firstname": MARK, "timezone": ADDRESSES[1]}, 200),
        ("POST", "operations", pause, 202),
        ("POST", "operations", {**pause, "which": {"scenario": "brief", "step": MARK}, "operation": MARK}, 422),
    ]
    said = b""
    async with httpx.AsyncClient(base_url=f"{address}/v1/", trust_env=False, timeout=60) as http:
        http.headers["authorization"] = f"Bearer {token}"
        for number, (method, path, body, status) in enumerate(wanted):
            headers = {"prefer": "wait=30", "idempotency-key": f"planted-{number if body is not entry else 'entry'}"}
            answer = await http.request(method, path, json=body, headers=headers)
            assert answer.status_code == status, (path, answer.text)
            said += answer.content + repr(answer.headers).encode()
            if path == "operations" and status == 202:
                operation = f"operations/{answer.json()['id']}"
                await until(partial(http.get, operation), lambda shown: shown.json()["ended_at"])
    await place.client.event("4720", "order.returned", {"text": ADDRESSES[2]})
    return said


async def through_everything(place: Place, worker: Awaitable[None]) -> None:
    """Let the worker, which starts while the gateway does, go through it."""
    file = place.folder / "destinations.yaml"
    port = reserved_port()
    serve = ("serve", "--callbacks", "--api", "--port", "0", "--metrics-port", str(port))
    async with process("cli", place.folder / "gateway.log", place.environ, *serve):
        await worker
        await place.client.enter(ENTRY)
        await place.client.contact_changed("4718", {"firstname": MARK, "email": ADDRESSES[0]})
        await place.until(lambda seen: seen["at"] == "wait_for-5")
        log = (place.folder / "gateway.log").read_text()
        found = re.search(r"listening on port (\d+)", log)
        assert found is not None
        place.said["answers"] = await call_back(f"http://127.0.0.1:{found[1]}", min(place.echo.tokens()))
        place.said["answers of the API"] = await use_api(place, f"http://127.0.0.1:{found[1]}")
        async with httpx.AsyncClient(trust_env=False) as http:
            place.said["metrics of the gateway"] = (await http.get(f"http://127.0.0.1:{port}/metrics")).content
        await place.held("refused", "permanent")
    file.write_text(place.book.replace("Bearer {{ secrets.TOKEN }}", f"{{{{ {LITERAL} }}}}"))
    await publish(place.client, place.folder, SCENARIO.replace("PERMANENT", "204"))
    log = place.folder / "worker.log"
    await until(partial(asyncio.to_thread, log.read_bytes), lambda said: b"the earlier content stays in use" in said)
    await place.run("list", "--held")
    await place.run("destinations", str(file), fails=True)
    file.write_text(place.book)
    await place.run("retry", JOURNEY, "--with-version", "newest", *WHO)
    for step, cause in (
        ("exhausted", "exhausted"),
        ("unrenderable", "template"),
        ("unsigned", "unconfigured"),
        ("unknown", "unconfigured"),
        ("overdue", "exhausted"),
    ):
        await place.held(step, cause)
        await place.client.send(JOURNEY, Operation.SKIP, operator="ann", reason=REASON)
    await place.until(lambda seen: seen["at"] == "down")
    await until(partial(place.client.show, JOURNEY), lambda seen: seen.pending and seen.pending[0].next_try_at)
    # Attempts are on record a moment later.
    await until(partial(place.client.store.deliveries, JOURNEY), lambda rows: any(row.step == "down" for row in rows))
    await place.look("down")
    for shown in (("show", JOURNEY), ("deliveries",), ("list",)):
        for form in ("json", "text"):
            await place.run(*shown, f"--format={form}")
    await place.run("retune", "wax", "--initial-interval", "1s", "--yes", *WHO)
    async with asyncio.timeout(60):
        place.said["result"] = repr(await place.handle.result()).encode()
    await place.run("destinations", str(file))
    await place.run("check", str(place.folder / "planted.yaml"), fails=True)
    (place.folder / "entry.json").write_text(json.dumps(ENTRY))
    (place.folder / "known.yaml").write_text(SCENARIO.replace("nowhere", "wax"))
    for form in ("json", "text"):
        wanted = ("preview", f"--format={form}", str(place.folder / "known.yaml"))
        out = await place.run(*wanted, "--entry", str(place.folder / "entry.json"), fails=True)
        assert MARK.encode() in out
