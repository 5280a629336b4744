"""One message a day of a channel, over three scenarios at once and two workers, one of which is killed in mid-send."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.service import RPCError

from gateway.client import ScenarioClient
from runtime.store import Store
from tests.e2e.conftest import ROOT, Gate, Server, environment, forget_the_dead, outcomes, publish, sealing

CONTACTS = range(1, 9)
SCENARIOS = ("one", "two", "three")

STEPS = """
scenario: NAME
trigger: segment
steps:
  - webhook: call
    url: https://hooks.example.com/NAME
    body: {contact: "{{ contact.id }}"}
    timeout: 2s
    retry: {initial_interval: 1s}
    capped: skip
  - sms: text
    text: hi
    capped: skip
"""

CAPS = """
caps:
  - {name: text-a-day, channels: [sms], at_most: 1, per: day}
  - {name: call-a-day, channels: [webhook], at_most: 1, per: day}
"""

Process = asyncio.subprocess.Process


@asynccontextmanager
async def worker(folder: Path, **variables: str) -> AsyncGenerator[Process]:
    """A worker whose text messages go to the folder's inbox."""
    environ = environment(PYTHONPATH=str(ROOT), SCENARIO_SMS="local:", **variables)
    with (folder / "worker.log").open("ab") as log:
        command = (sys.executable, "-m", "tests.e2e.process")
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environ, stderr=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_caps_hold_over_workers_that_are_killed_in_mid_send_and_nobody_goes_without(
    server: Server, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    policies = tmp_path / "policies.yaml"
    policies.write_text(CAPS, "utf-8")
    inbox = tmp_path / ".scenario" / "inbox"
    temporal = await server.connect()
    async with Store.open(url) as store, Gate(hold=len(CONTACTS)) as gate:
        client = ScenarioClient(sealing(temporal, store), store)
        for name in SCENARIOS:
            await publish(client, tmp_path, STEPS.replace("NAME", name))
        variables = {
            **server.environ,
            "SCENARIO_STORE": url,
            "SCENARIO_POLICIES": str(policies),
            "TEST_RECEIVER": gate.url,
        }
        entries: list[dict[str, Any]] = [
            {"scenario": name, "contact": {"id": n, "cellphone": f"+336{n:08}"}, "trigger": {"type": "segment"}}
            for n in CONTACTS
            for name in SCENARIOS
        ]
        async with worker(tmp_path, **variables), worker(tmp_path, **variables) as second:
            entering = asyncio.gather(*(client.enter(entry, settle=30) for entry in entries))
            await gate.called(len(CONTACTS) // 2)
            second.kill()
            await second.wait()
            async with worker(tmp_path, **variables):
                journeys = await entering
                for journey in journeys:
                    with suppress(RPCError):  # most are over: their messages were capped
                        await forget_the_dead(client, journey)
                gate.opened.set()
                async with asyncio.timeout(120):
                    results = await asyncio.gather(*(journey.result() for journey in journeys))
        claims = [
            claim for n in CONTACTS for claim in await store.claims_of(str(n), datetime.now(UTC) - timedelta(days=1))
        ]

    texts: defaultdict[str, set[str]] = defaultdict(set)
    for path in inbox.glob("*.json"):
        message = json.loads(path.read_text("utf-8"))
        texts[message["to"]].add(message["id"])
    calls: defaultdict[bytes, set[str]] = defaultdict(set)
    for call in gate.calls:
        calls[call.body].add(call.delivery)
    assert Counter(len(ids) for ids in texts.values()) == {1: len(CONTACTS)}, "each contact one text, and one only"
    assert Counter(len(ids) for ids in calls.values()) == {1: len(CONTACTS)}
    sent = {identifier for ids in (*texts.values(), *calls.values()) for identifier in ids}
    assert {claim.delivery_id for claim in claims} == sent
    assert Counter(step for result in results for step in outcomes(result)) == {
        ("call", "delivered"): len(CONTACTS),
        ("call", "skipped"): 2 * len(CONTACTS),
        ("text", "delivered"): len(CONTACTS),
        ("text", "skipped"): 2 * len(CONTACTS),
    }
