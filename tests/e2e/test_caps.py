"""One message a day of a channel, over three scenarios at once and two workers, one of which is killed in mid-send."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.service import RPCError

from activities.webhook.route import Diverted
from tests.e2e.conftest import (
    WORKER,
    Gate,
    Server,
    entry,
    forget_the_dead,
    opened,
    outcomes,
    process,
    publish,
    store_in,
)

CONTACTS = range(1, 5)
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


@pytest.mark.nightly
async def test_caps_hold_over_workers_that_are_killed_in_mid_send_and_nobody_goes_without(
    server: Server, tmp_path: Path
) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(CAPS, "utf-8")
    inbox = tmp_path / ".scenario" / "inbox"
    temporal, sms = await server.connect(), SecretStr("local:")
    async with (
        Gate(hold=len(CONTACTS)) as gate,
        opened(temporal, tmp_path, inbox=inbox, routes=Diverted(gate.url), sms=sms, policies=policies) as site,
    ):
        client = site.client
        for name in SCENARIOS:
            await publish(client, tmp_path, STEPS.replace("NAME", name))
        variables = {
            **server.environ,
            "SCENARIO_STORE": store_in(tmp_path),
            "SCENARIO_POLICIES": str(policies),
            "SCENARIO_SMS": "local:",
            "TEST_RECEIVER": gate.url,
        }
        entries = [entry(name, n, cellphone=f"+336{n:08}") for n in CONTACTS for name in SCENARIOS]
        # It sends no texts: one that is lost may have arrived, and its journey would be held.
        command = (*WORKER, "--queues", "journeys,webhooks")
        async with process(*command, log=tmp_path / "log", cwd=tmp_path, environ=variables) as second:
            entering = asyncio.gather(*(client.enter(one, settle=30) for one in entries))
            await gate.called(len(CONTACTS) // 2)  # by the second worker, which is alone until then
            async with site.working():
                await gate.called(len(CONTACTS))
                second.kill()
                await second.wait()
                for name in SCENARIOS:
                    for n in CONTACTS:
                        with suppress(RPCError):  # most are over: their messages were capped
                            await forget_the_dead(client, f"{name}/{n}")
                gate.opened.set()
                async with asyncio.timeout(120):
                    results = await asyncio.gather(*(journey.result() for journey in await entering))
        claims = [
            claim
            for n in CONTACTS
            for claim in await site.store.claims_of(str(n), datetime.now(UTC) - timedelta(days=1))
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
