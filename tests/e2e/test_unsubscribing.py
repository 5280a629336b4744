"""A contact unsubscribes from a mail as its mail program and its server saw it: real SMTP, the running gateway."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.callbacks.app import application, routes_of
from gateway.client import Entered, ScenarioClient
from runtime.derived_keys import AddressHashes
from runtime.local.inbox import Inbox, Mail
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from tests.e2e.conftest import SENDER, Server, opened, publish

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
# Several words long, so that a header of it would be folded were it not for us.
ADDRESS = "ada.of.the.very.long.name.that.needs.a.second.line@shop-of-a-long-name.example.com"
SCENARIO = """
scenario: weekly
trigger: birthday
subscription: {email: newsletter}
exit:
  - event: contact.unsubscribed
    if: event.channel == "email" and event.scope == "newsletter"
steps:
  - email: first
    subject: This week
    html: '<p>Hello</p><a href="{{ journey.unsubscribe_url }}">Unsubscribe</a>'
  - wait: 7d
  - email: second
    subject: Next week
    text: "Hello again. {{ journey.unsubscribe_url }}"
"""


def encoded(key: bytes) -> SecretStr:
    return SecretStr(base64.b64encode(key).decode())


@dataclass(frozen=True)
class Shop:
    client: ScenarioClient
    inbox: Inbox
    http: httpx.AsyncClient

    async def enter(self, contact: str) -> Entered:
        entry = {
            "scenario": "weekly",
            "contact": {"id": contact, "email": ADDRESS, "lists": [{"name": "newsletter"}]},
            "trigger": {"type": "birthday"},
        }
        return await self.client.enter(entry)

    async def mail(self) -> Mail:
        async with asyncio.timeout(60):
            while not (mails := self.inbox.messages()):
                await asyncio.sleep(0.02)
        return mails[0]


@pytest.fixture
async def shop(server: Server, inbox: Inbox, tmp_path: Path) -> AsyncIterator[Shop]:
    async with HttpServer() as listening:
        keys = {"callback_key": encoded(OTHER), "suppression_key": encoded(KEY)}
        local: dict[str, Any] = {
            "smtp": SecretStr(inbox.url),
            "mail_from": SENDER,
            "callback_url": listening.url,
            **keys,
        }
        async with (
            opened(await server.connect(), tmp_path, **local) as site,
            site.working(),
            httpx.AsyncClient(trust_env=False, follow_redirects=False) as http,
        ):
            client, made = site.client, site.services
            assert made.channels.callbacks is not None
            more = routes_of(Settings(**local), client.temporal, site.store, made.destinations, made.transport)
            listening.start(application(made.channels.callbacks, client.temporal, more["unsubscribing"]))
            await publish(client, tmp_path, SCENARIO)
            yield Shop(client, inbox, http)


async def test_one_click_in_a_mail_program_ends_it_and_a_link_scanner_ends_nothing(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store, hashes = shop.client.store, AddressHashes([KEY]).of("email", ADDRESS.upper())
    entered = await shop.enter("3028687")
    mail = await shop.mail()

    # RFC 8058 §3.1, as any parser reads it and as it was on the wire: never folded inside the address.
    message = message_from_bytes(mail.data, policy=policy.compat32)
    assert message.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    [header] = message.get_all("List-Unsubscribe") or []
    found = re.fullmatch(r"<(http://127\.0\.0\.1:\d+/u/u1[A-Za-z0-9_-]+)>", header)
    assert found is not None
    url = found[1]
    assert b"\r\nList-Unsubscribe: <" + url.encode() + b">\r\n" in mail.data
    part = mail.message.get_body(("html",))
    assert part is not None
    assert f'href="{url}"' in part.get_content()

    # A scanner opens the link, which ends nothing; the mail program's click is a POST.
    assert (await shop.http.get(url)).status_code == 200
    assert await store.suppressed("email", hashes) == []
    assert (await shop.http.post(url, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    [row] = await store.suppressed("email", hashes)
    assert (row.source, row.scope, row.evidence) == ("unsub", "newsletter", "one click")

    # The journey leaves in its wait of a week.
    async with asyncio.timeout(60):
        result = await entered.result()
    assert (result["outcome"], result["reason"]) == ("exited", "event contact.unsubscribed")
    assert len(shop.inbox.messages()) == 1

    # Whoever has that address gets no marketing of this list any more.
    other = await shop.enter("another contact")
    async with asyncio.timeout(60):
        while not (steps := ((await shop.client.show(other.id)).progress or {}).get("steps")):
            await asyncio.sleep(0.1)
    assert steps[0]["outcome"] == "skipped"
    assert "the address has unsubscribed from newsletter (unsub, " in steps[0]["reason"]
    assert len(shop.inbox.messages()) == 1

    # Neither address is anywhere but in the mail and in what the contact came in with.
    token = url.rpartition("/")[2]
    kept = b"".join(path.read_bytes() for path in list(tmp_path.glob("store.db*")))  # noqa: ASYNC240
    ours = [record for record in caplog.records if record.name.startswith(("gateway", "activities", "runtime"))]
    said = "\n".join(record.getMessage() for record in ours).encode()
    assert hashes[0].encode() in kept
    assert b"contact 3028687 unsubscribed from newsletter by email" in said
    assert [part.encode() in place for part in (token, ADDRESS) for place in (kept, said)] == [False] * 4
