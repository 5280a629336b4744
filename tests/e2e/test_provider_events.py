"""A contact clicks in a mail, the provider reports it, and the journey goes on: real SMTP, worker and gateway."""

from __future__ import annotations

import asyncio
import base64
import time
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from gateway.callbacks.app import application, routes_of
from runtime.local.inbox import Inbox
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from tests.e2e.conftest import SENDER, Server, opened, publish
from tests.gateway.providers import callers

KEY = SecretStr(base64.b64encode(bytes(range(32))).decode())
ADA = "ada@example.com"
SCENARIO = """
scenario: offer
trigger: birthday
goal: {event: email.opened, within: 7d}
exit:
  - event: email.complained
steps:
  - email: first
    subject: An offer
    text: "{{ journey.unsubscribe_url }}"
  - wait_for: email.clicked
    if: event.step == "first" and event.provider == "sendgrid"
    for: 1h
    then:
      - email: thanks
        subject: "Thanks for {{ event.delivery }}"
        text: "{{ journey.unsubscribe_url }}"
"""


async def test_a_click_that_the_provider_reports_continues_the_journey(server: Server, tmp_path: Path) -> None:
    async with Inbox(tmp_path / "inbox") as inbox, HttpServer() as listening:
        local: dict[str, Any] = {
            "smtp": SecretStr(inbox.url),
            "mail_from": SENDER,
            "callback_url": listening.url,
            "callback_key": KEY,
            "suppression_key": KEY,
            "events_sendgrid": callers.settings().events_sendgrid,
        }
        async with opened(await server.connect(), tmp_path, **local) as site, site.working():
            made, client = site.services, site.client
            assert made.channels.callbacks is not None
            routes = routes_of(Settings(**local), client.temporal, site.store, made.destinations, made.transport)
            assert list(routes) == ["unsubscribing", "events from sendgrid"]
            public = application(made.channels.callbacks, client.temporal, list(chain.from_iterable(routes.values())))
            listening.start(public)
            await publish(client, tmp_path, SCENARIO)
            entry = {"scenario": "offer", "contact": {"id": "7", "email": ADA}, "trigger": {"type": "birthday"}}
            entered = await client.enter(entry)
            async with asyncio.timeout(60):
                while not (mails := inbox.messages()):
                    await asyncio.sleep(0.05)
            identifier = str(mails[0].message["Message-ID"])

            async def report(*events: str) -> int:
                stamp = int(time.time())
                batch = [
                    {"event": one, "sg_event_id": one, "smtp-id": identifier, "email": ADA, "timestamp": stamp}
                    for one in events
                ]
                call = callers.sendgrid(batch)
                async with httpx.AsyncClient(trust_env=False) as http:
                    url = f"{listening.url}/inbound/events/sendgrid"
                    return (await http.post(url, content=call.body, headers=dict(call.headers))).status_code

            assert await report("delivered", "click") == 204
            result = await entered.result()
            assert (result["outcome"], [step["outcome"] for step in result["steps"]]) == (
                "finished",
                ["delivered", "event", "delivered"],
            )
            subjects = [str(mail.message["Subject"]) for mail in inbox.messages()]
            assert subjects == ["An offer", f"Thanks for {identifier.strip('<>').partition('@')[0]}"]
            # What comes after the journey counts for its goal, and suppresses the address.
            assert await report("click", "open", "spamreport") == 204
            stored = await site.store.entry(entered.id)
            assert stored is not None
            assert stored.reached_at is not None
            assert [row.source for row in await site.store.suppressions()] == ["fbl"]
            history = await client.temporal.get_workflow_handle(entered.id).fetch_history()
            signal = "workflow_execution_signaled_event_attributes"
            signals = [event for event in history.events if event.HasField(signal)]
            assert len(signals) == 1, "a delivery that nothing waits for costs the journey nothing"
