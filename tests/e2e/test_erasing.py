"""A contact is erased to the end whoever is killed and whatever is away, and nothing leads to it any more."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from activities import erasure
from activities.erasure import starting_erasures
from gateway.client import ScenarioClient
from gateway.erasing import ErasureView
from runtime import search_attributes
from runtime.connection import connect
from runtime.local import devserver
from runtime.local.devserver import DevServer
from runtime.process.ports import free_port
from runtime.settings import Settings
from runtime.store import Store, StoreUnavailable
from runtime.store.api_access import SCOPES, ApiKey, make_token
from runtime.store.sqlite import SQLite
from tests.e2e.conftest import ROOT, Server, environment, publish, sealing
from tests.fakes import ERASURE
from tests.replay.record import DELETES_SOON
from worker import running_workers, services, workers

CONTACT = "zoe-4711-contact"
MARK = "Zo3-3R4S3D"
JOURNEYS = 40
MANY = """
scenario: many
trigger: order
entry: {key: "{{ order.external_id }}", again: always}
steps:
  - sms: hello
    text: "hello {{ contact.firstname }}"
  - wait: 30d
"""


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporal deletes runs within seconds instead of minutes, and passes follow each other at once."""
    for name, value in DELETES_SOON.items():
        monkeypatch.setitem(devserver.DYNAMIC_CONFIG, name, value)
    monkeypatch.setattr(erasure, "PAUSES", (1.0,))
    monkeypatch.setattr(erasure, "EVERY", 0.5)


def entry_of(number: int) -> dict[str, Any]:
    return {
        "scenario": "many",
        "contact": {"id": CONTACT, "firstname": MARK, "cellphone": "+33698765432"},
        "trigger": {"type": "order", "order": {"external_id": f"A{number}"}},
    }


async def enter(client: ScenarioClient, folder: Path) -> None:
    """Lets the contact into many journeys, which come to their waits."""
    await publish(client, folder, MANY)
    entered = await asyncio.gather(*(client.enter(entry_of(number), settle=60) for number in range(JOURNEYS)))
    async with asyncio.timeout(120):
        for journey in entered:
            while (await client.show(journey.id)).state != "waiting":
                await asyncio.sleep(0.05)
        while len(await client.store.deliveries(contact_id=CONTACT)) < JOURNEYS:
            await asyncio.sleep(0.05)


async def finished(client: ScenarioClient) -> ErasureView:
    """Waits for the end of the one erasure that there is."""
    async with asyncio.timeout(180):
        while True:
            [view] = await client.erasures()
            if view.finished_at is not None:
                return view
            await asyncio.sleep(0.2)


def holding(database: Path, *words: str) -> dict[str, int]:
    """How many rows of a database have one of these words in them, by table."""
    found: dict[str, int] = {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            holds = sum(any(word.encode() in _bytes(row) for word in words) for row in rows)
            if holds:
                found[table] = holds
    connection.close()
    return found


def _bytes(row: tuple[Any, ...]) -> bytes:
    return b"\0".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)


def check(view: ErasureView) -> None:
    """The report is whole, and names nobody."""
    assert (view.state, view.ended, view.histories, view.remaining) == ("finished", JOURNEYS, JOURNEYS, 0)
    assert (view.rows.entries, view.rows.deliveries) == (JOURNEYS, JOURNEYS)
    assert [(one.channel, one.destination) for one in view.sent_to or ()] == [("sms", "local")]
    assert view.confirmed_at is not None
    assert view.finished_at is not None
    assert view.at < view.confirmed_at < view.finished_at
    assert CONTACT not in json.dumps(view.model_dump(mode="json"))


@pytest.mark.usefixtures("hurry")
async def test_it_is_finished_whoever_is_killed(server: Server, tmp_path: Path) -> None:
    """The gateway once the key is destroyed, and workers while they end journeys, delete histories and clear rows."""
    store_url, log = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}", tmp_path / "log"

    @asynccontextmanager
    async def process(*arguments: str, dies: str = "") -> AsyncGenerator[asyncio.subprocess.Process]:
        environ = environment(**server.environ, SCENARIO_STORE=store_url, SCENARIO_SMS="local:")
        command = (sys.executable, "-m", "tests.e2e.mortal", *arguments)
        with log.open("ab") as file:
            started = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=environ | ({"TEST_DIES": dies} if dies else {}), stderr=file
            )
        try:
            yield started
        finally:
            if started.returncode is None:
                started.kill()
            await started.wait()

    async with Store.open(store_url) as store:
        temporal = await server.connect()
        client = ScenarioClient(sealing(temporal, store), store)
        token, identifier, digest = make_token()
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", ERASURE.requested_at, "test"))
        async with process("worker"):
            await enter(client, tmp_path)

        port = free_port()
        async with process("serve", "--api", "--port", str(port), dies="gateway.erasing:start_erasure:1") as gateway:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                async with asyncio.timeout(60):
                    while True:
                        try:
                            await http.get("/healthz")
                            break
                        except httpx.TransportError:
                            await asyncio.sleep(0.1)
                with pytest.raises(httpx.TransportError):
                    await http.delete(
                        f"/v1/contacts/{CONTACT}",
                        params={"reason": "request 4711"},
                        headers={"authorization": f"Bearer {token}"},
                        timeout=60,
                    )
            assert await gateway.wait() == -signal.SIGKILL
        assert await store.is_erased(CONTACT)
        [view] = await client.erasures(is_open=True)
        assert view.state == "requested"
        assert (
            await temporal.count_workflows("WorkflowType = 'Journey' AND ExecutionStatus = 'Running'")
        ).count == JOURNEYS

        for dies, state in (
            ("activities.erasure:ErasureActivities._terminate:20", "ending"),
            ("activities.erasure:DeleteWorkflowExecutionRequest:20", "deleting"),
            ("runtime.store.store:Store.erase:1", "clearing"),
        ):
            async with process("worker", dies=dies) as worker:
                async with asyncio.timeout(120):
                    assert await worker.wait() == -signal.SIGKILL, log.read_text()
            [view] = await client.erasures()
            assert view.state == state
        handle = temporal.get_workflow_handle(f"erasure-{view.id}")
        async with process("worker"):
            check(await finished(client))
            await handle.result()  # its last workflow task needs a worker, too
        kept = str(await handle.fetch_history())
        assert (CONTACT in kept, MARK in kept) == (False, False)
        assert holding(tmp_path / "store.db", CONTACT, MARK) == {}
        assert holding(server.database, MARK) == {}
        assert holding(server.database, CONTACT).keys() <= {"tasks", "tasks_v2", "timer_tasks"}  # until these are due
    assert MARK.encode() not in log.read_bytes()


@pytest.mark.usefixtures("hurry")
async def test_it_is_finished_once_temporal_and_the_store_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store=SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"), sms=SecretStr("local:"))
    write, is_away = SQLite.write, False

    async def unless_away(database: SQLite, *given: Any) -> Any:
        if is_away:
            raise StoreUnavailable("nothing listens there")
        return await write(database, *given)

    monkeypatch.setattr(SQLite, "write", unless_away)
    async with services(settings, inbox=tmp_path / "inbox") as opened:
        async with DevServer(tmp_path / "temporal") as away:
            port = int(away.address.rpartition(":")[2])
            temporal = await connect(away.address)
            await search_attributes.ensure(temporal)
            working, ours = sealing(temporal, opened.store, worker=True), sealing(temporal, opened.store)
            client = ScenarioClient(ours, opened.store)
            async with running_workers(await workers(working, opened)):
                await enter(client, tmp_path)
        view = await client.erase(CONTACT, operator="ann", reason="request 4711")
        assert view.trouble is not None
        assert view.trouble.startswith("Temporal did not start it yet")
        async with (
            DevServer(tmp_path / "temporal", port=port),
            starting_erasures(ours, opened.store),
            running_workers(await workers(working, opened)),
        ):
            async with asyncio.timeout(60):
                while (await client.erasures())[0].state == "requested":
                    await asyncio.sleep(0.05)
                is_away = True
                handle = temporal.get_workflow_handle(f"erasure-{view.id}")
                while not any(
                    one.HasField("last_failure") for one in (await handle.describe()).raw_description.pending_activities
                ):
                    await asyncio.sleep(0.05)
                is_away = False
            check(await finished(client))
