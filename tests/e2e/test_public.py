"""What comes back from outside: answers of receivers, clicks, unsubscribing, and a mail server's word of an address."""

import asyncio
import base64
import logging
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr

from activities.background import TELL_WORKFLOW, PlatformReply
from activities.webhook.route import Diverted
from gateway.callbacks.app import application, routes_of
from runtime.derived_keys import AddressHashes
from runtime.local.receiver import Inbox, Receiver
from runtime.process.http_server import HttpServer
from runtime.public_links import ReturnPaths
from runtime.settings import Settings
from scenario.steps.delivery import delivery_id
from service.client import Entered, ScenarioClient
from tests.e2e.conftest import SENDER, Server, listening, opened, outcomes, publish, until
from tests.factories import present
from tests.gateway.providers import callers

KEY = bytes(range(32))
ENCODED = SecretStr(base64.b64encode(KEY).decode())
# Several words long, so that a header of it would be folded were it not for us.
ADDRESS = "ada.of.the.very.long.name.that.needs.a.second.line@shop-of-a-long-name.example.com"
DIALOGUE = """
scenario: dialogue
trigger: birthday
entry: {again: always}
steps:
  - webhook: ask
    url: https://hooks.example.com/ask
    body: {journey: "{{ journey.id }}", since: "{{ journey.entered_at }}", answer_to: "{{ journey.callback_url }}"}
  - wait_for: chat.replied
    if: event.text == "yes"
    for: 1h
    then: [{sms: thanks, text: "{{ journey.id }}: {{ event.text }}"}]
"""
WEEKLY = """
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
  - {email: second, subject: Next week, text: "Hello again. {{ journey.unsubscribe_url }}"}
"""
OFFER = """
scenario: offer
trigger: birthday
goal: {event: email.opened, within: 7d}
exit: [{event: email.complained}]
steps:
  - {email: first, subject: An offer, text: "{{ journey.unsubscribe_url }}"}
  - wait_for: email.clicked
    if: event.step == "first" and event.provider == "sendgrid"
    for: 1h
    then: [{email: thanks, subject: "Thanks for {{ event.delivery }}", text: "{{ journey.unsubscribe_url }}"}]
"""
WELCOME = """
scenario: welcome
trigger: birthday
steps:
  - {email: hello, subject: Hello, text: Hello, retry: {deadline: 1m}}
  - {email: again, subject: Again, text: Again}
"""


async def enter(client: ScenarioClient, scenario: str, contact: str, **more: Any) -> Entered:
    who = {"id": contact, "email": ADDRESS, "cellphone": "+33612345678", **more}
    return await client.enter({"scenario": scenario, "contact": who, "trigger": {"type": "birthday"}})


@dataclass(frozen=True)
class Public:
    client: ScenarioClient
    inbox: Inbox
    receiver: Receiver
    http: httpx.AsyncClient
    url: str

    async def asked(self, contact: str) -> tuple[Entered, str]:
        """Enter a contact whose receiver is asked something. Return the address for the answer, too."""
        entered = await enter(self.client, "dialogue", contact)
        delivery = delivery_id(entered.id, entered.run_id, "ask", 0)

        async def sent() -> list[Any]:
            return [got for got in self.receiver.requests() if got.header("webhook-id") == delivery]

        content = (await until(sent))[0].json()
        assert (content["journey"], bool(content["since"])) == (entered.id, True)
        return entered, content["answer_to"]

    async def answer(self, address: str) -> int:
        event = {"name": "chat.replied", "properties": {"text": "yes"}}
        return (await self.http.post(address, json=event)).status_code

    async def told(self, entered: Entered) -> int:
        history = await self.client.temporal.get_workflow_handle(entered.id, run_id=entered.run_id).fetch_history()
        return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)

    async def mail(self) -> Any:
        async def mails() -> list[Any]:
            return self.inbox.messages()

        return (await until(mails))[0]


@pytest.fixture
async def public(server: Server, inbox: Inbox, tmp_path: Path) -> AsyncIterator[Public]:
    async with HttpServer() as gateway, Receiver() as receiver, httpx.AsyncClient(trust_env=False) as http:
        local: dict[str, Any] = {
            "smtp": SecretStr(inbox.url),
            "mail_from": SENDER,
            "sms": SecretStr("local:"),
            "callback_url": gateway.url,
            "callback_key": SecretStr(base64.b64encode(KEY[::-1]).decode()),
            "suppression_key": ENCODED,
            "events_sendgrid": callers.settings().events_sendgrid,
        }
        way = {"inbox": inbox.folder, "routes": Diverted(receiver.url)}
        async with opened(await server.connect(), tmp_path, **way, **local) as site, site.working():
            made, client = site.services, site.client
            routes = routes_of(Settings(**local), client.temporal, site.store, made.destinations, made.transport)
            assert list(routes) == ["unsubscribing", "events from sendgrid"]
            callbacks, more = present(made.channels.callbacks), list(chain.from_iterable(routes.values()))
            gateway.start(application(callbacks, client.temporal, more))
            for text in (DIALOGUE, WEEKLY, OFFER):
                await publish(client, tmp_path, text)
            yield Public(client, inbox, receiver, http, gateway.url)


@pytest.mark.encrypted
async def test_an_address_for_answers_reaches_its_own_journey_alone(public: Public) -> None:
    first, address = await public.asked("bea")
    second, other = await public.asked("cid")
    assert address != other
    assert await public.answer(address) == 202
    async with asyncio.timeout(60):
        result = await first.result()
    assert outcomes(result) == [("ask", "delivered"), ("wait_for-2", "event"), ("thanks", "delivered")]
    # The contact comes again: another journey, of the same workflow id.
    again, anew = await public.asked("bea")
    assert (again.id, again.run_id == first.run_id, anew == address) == (first.id, False, False)
    assert await public.answer(address) == 410
    assert [await public.told(journey) for journey in (second, again)] == [0, 0]


async def test_one_click_in_a_mail_program_ends_it_and_a_link_scanner_ends_nothing(
    public: Public, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store, hashes = public.client.store, AddressHashes([KEY]).of("email", ADDRESS.upper())
    lists = [{"name": "newsletter"}]
    entered = await enter(public.client, "weekly", "3028687", lists=lists)
    mail = await public.mail()

    # RFC 8058 §3.1, as any parser reads it and as it was on the wire: never folded inside the address.
    message = message_from_bytes(mail.data, policy=policy.compat32)
    assert message.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    [header] = message.get_all("List-Unsubscribe") or []
    url = present(re.fullmatch(r"<(http://127\.0\.0\.1:\d+/u/u1[A-Za-z0-9_-]+)>", header))[1]
    assert b"\r\nList-Unsubscribe: <" + url.encode() + b">\r\n" in mail.data
    assert f'href="{url}"' in mail.message.get_body(("html",)).get_content()

    # A scanner opens the link, which ends nothing; the mail program's click is a POST.
    assert (await public.http.get(url)).status_code == 200
    assert await store.suppressed("email", hashes) == []
    assert (await public.http.post(url, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    [row] = await store.suppressed("email", hashes)
    assert (row.source, row.scope, row.evidence) == ("unsub", "newsletter", "one click")

    # The journey leaves in its wait of a week. Whoever has that address gets no marketing of this list any more.
    async with asyncio.timeout(60):
        result = await entered.result()
    assert (result["outcome"], result["reason"]) == ("exited", "event contact.unsubscribed")
    other = await enter(public.client, "weekly", "another contact", lists=lists)

    async def steps() -> list[dict[str, Any]]:
        return ((await public.client.show(other.id)).progress or {}).get("steps", [])

    [skipped] = await until(steps)
    assert skipped["outcome"] == "skipped"
    assert "the address has unsubscribed from newsletter (unsub, " in skipped["reason"]
    assert len(public.inbox.messages()) == 1

    # Neither address is anywhere but in the mail and in what the contact came in with.
    token = url.rpartition("/")[2]
    kept = b"".join(path.read_bytes() for path in list(tmp_path.glob("store.db*")))  # noqa: ASYNC240
    ours = [record for record in caplog.records if record.name.startswith(("gateway", "activities", "runtime"))]
    said = "\n".join(record.getMessage() for record in ours).encode()
    assert hashes[0].encode() in kept
    assert b"contact 3028687 unsubscribed from newsletter by email" in said
    assert [part.encode() in place for part in (token, ADDRESS) for place in (kept, said)] == [False] * 4


async def test_a_click_that_the_provider_reports_continues_the_journey(public: Public) -> None:
    client = public.client
    entered = await enter(client, "offer", "7")
    identifier = str((await public.mail()).message["Message-ID"])

    async def report(*events: str) -> int:
        about = {"smtp-id": identifier, "email": ADDRESS, "timestamp": int(time.time())}
        call = callers.sendgrid([{"event": one, "sg_event_id": one, **about} for one in events])
        url = f"{public.url}/inbound/events/sendgrid"
        return (await public.http.post(url, content=call.body, headers=dict(call.headers))).status_code

    assert await report("delivered", "click") == 204
    result = await entered.result()
    assert outcomes(result) == [("first", "delivered"), ("wait_for-2", "event"), ("thanks", "delivered")]
    subjects = [str(mail.message["Subject"]) for mail in public.inbox.messages()]
    assert subjects == ["An offer", f"Thanks for {identifier.strip('<>').partition('@')[0]}"]
    # What comes after the journey counts for its goal, and suppresses the address.
    assert await report("click", "open", "spamreport") == 204
    assert present(await client.store.entry(entered.id)).reached_at is not None
    assert [row.source for row in await client.store.suppressions()] == ["fbl"]
    assert await public.told(entered) == 1, "a delivery that nothing waits for costs the journey nothing"


class Mx:
    def __init__(self) -> None:
        self.senders: list[str] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        self.senders.append(envelope.mail_from)
        return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"


@pytest.mark.encrypted
async def test_an_address_that_does_not_exist_is_skipped_and_the_platform_told(server: Server, tmp_path: Path) -> None:
    told: list[Any] = []

    async def blacklists(request: web.Request) -> web.Response:
        told.append((request.path, await request.json()))
        failure = {
            "touchpoint": ADDRESS,
            "error": f"Touchpoint {ADDRESS} is …",
            "error_key": "touchpoint_already_exist",
        }
        return web.json_response({"successes": [], "failures": [failure]}, status=207)

    mx, file = Mx(), tmp_path / "destinations.yaml"
    post = await asyncio.get_running_loop().create_server(lambda: SMTP(mx, hostname="mx.test"), "127.0.0.1", 0)
    local: dict[str, Any] = {
        "smtp": SecretStr(f"smtp://127.0.0.1:{post.sockets[0].getsockname()[1]}"),
        "mail_from": "news@shop.example",
        "destinations": file,
        "suppression_key": ENCODED,
        "bounce_address": "bounces@mail.shop.example",
    }
    async with post, listening(blacklists) as url:
        access = f"allow_private: true, allow_http: true, ports: [{url.rpartition(':')[2]}]"
        file.write_text(f"destinations: {{splio: {{url: '{url}', suppressions: splio, {access}}}}}\n")
        async with opened(await server.connect(), tmp_path, **local) as site, site.working():
            client, temporal = site.client, site.client.temporal
            await publish(client, tmp_path, WELCOME)
            entered = await enter(client, "welcome", "3028687")
            result = await entered.result()
            assert result["outcome"] == "finished"
            reasons = {step["id"]: step["reason"] for step in result["steps"] if step["outcome"] == "skipped"}
            assert reasons["hello"].startswith("the address has bounced (bounce, ")
            assert reasons["again"] == reasons["hello"]
            [path] = mx.senders  # the second message did not try
            paths = ReturnPaths("bounces@mail.shop.example", [KEY])
            [token] = paths.tokens(path.encode())
            assert paths.proven(token, ADDRESS) == delivery_id(entered.id, entered.run_id, "hello", 0)
            [row] = await site.store.suppressions()
            assert (row.source, row.evidence) == ("bounce", "550 5.1.1")

            async def telling() -> list[str]:  # visibility lags
                found = temporal.list_workflows(f"WorkflowType = '{TELL_WORKFLOW}'")
                return [one.id async for one in found]

            handle = temporal.get_workflow_handle((await until(telling))[0], result_type=PlatformReply)
            assert await handle.result() == PlatformReply(outcome="known", status=207)
            assert told == [("/data/blacklists/email", {"data": [ADDRESS]})]
            assert ADDRESS not in (await handle.fetch_history()).to_json()
