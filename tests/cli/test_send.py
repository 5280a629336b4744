"""The command that sends one message for real: what leaves, what is shown of it, and what came of it."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from cli import session
from cli.options import login
from runtime.derived_keys import AddressHashes
from runtime.local.receiver import NAME, Inbox, Receiver, ReceiverAnswer, set_answer
from runtime.store import NamespaceClaim, Store, StoreMismatch
from scenario.policies.suppression import Suppression
from tests.cli.conftest import Run
from tests.fakes import Ran

SCENARIO = """
scenario: try
trigger: order
entry: {if: order.total_price > 20}
steps:
  - wait: 2d
  - email: thanks
    subject: "Thanks {{ contact.firstname }}"
    text: "{{ order.external_id }} at {{ now }}"
  - if: contact.language == 'fr'
    then:
      - webhook: vip
        url: https://hooks.example.com/vip
        body: {id: "{{ contact.id }}"}
  - webhook: hook
    to: wax
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    body: {id: "{{ contact.id }}"}
    save: {as: hook, when: json}
  - webhook: after
    to: wax
    path: /messages/{{ order.external_id }}
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    body: {id: "{{ contact.id }}", of: "{{ responses.hook.id | default: 'none' }}"}
  - sms: text
    text: "Hello {{ contact.firstname }}"
"""
CONTACT = {"id": 7, "firstname": "Zoé", "email": "zoe@example.com", "cellphone": "+33612345678"}
ENTRY = {
    "scenario": "try",
    "contact": CONTACT,
    "trigger": {"type": "order", "order": {"external_id": "CGX", "total_price": 30}},
}
KEY = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
DESTINATIONS = """
destinations:
  wax: {url: "URL/in", allow_private: true, allow_http: true, ports: [PORT], signing: [{key: SIGN}], secrets: [TOKEN]}
"""

NOTE = "responses.hook is empty here: give a response called 'hook'\n"

Send = Callable[..., Coroutine[Any, Any, Ran]]


def kept_in(folder: Path) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in folder.glob("*.json")]


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    async with Receiver(told=tmp_path / NAME) as started:
        yield started


@pytest.fixture
def send(run: Run, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Runs the command with the scenario, the entry, the destinations and the secrets."""
    Path("try.yaml").write_text(SCENARIO, "utf-8")
    Path("entry.json").write_text(json.dumps(ENTRY), "utf-8")
    port = receiver.url.rpartition(":")[2]
    Path("destinations.yaml").write_text(DESTINATIONS.replace("URL", receiver.url).replace("PORT", port), "utf-8")
    given = {"DESTINATIONS": "destinations.yaml", "SECRET_TOKEN": "t0ps3cret-token", "SECRET_SIGN": KEY}
    for name, value in (given | {"SMS": "local:"}).items():
        monkeypatch.setenv(f"SCENARIO_{name}", value)
    for name in ("SMTP", "MAIL_FROM"):
        monkeypatch.delenv(f"SCENARIO_{name}", raising=False)

    async def ran(step: str, *arguments: str) -> Ran:
        return await asyncio.to_thread(run, "send", "try.yaml", "--step", step, "--entry", "entry.json", *arguments)

    return ran


async def test_a_webhook_leaves_as_a_worker_sends_it_and_marked_as_a_test(send: Send, receiver: Receiver):
    ran = await send("after", "--response", 'hook={"id": "m1"}')
    [got] = receiver.requests()
    assert (ran.status, ran.err) == (0, "delivered: wax answered 200\n")
    assert (got.target, got.json()) == ("/in/messages/CGX", {"id": "7", "of": "m1"})
    assert (got.header("authorization"), got.header("x-scenario-test")) == ("Bearer t0ps3cret-token", "1")
    assert re.fullmatch(r"msg_test.{28}", str(got.header("webhook-id")))
    Verifier(KEY).verify(got.body, dict(got.headers))
    assert f"POST {receiver.url}/in/messages/CGX\n" in ran.out
    signature = f"webhook-signature: {got.header('webhook-signature')}"
    for shown in ("authorization: Bearer ~~TOKEN~~", "x-scenario-test: 1", signature, '{"received":1}'):
        assert f"{shown}\n" in ran.out
    assert "t0ps3cret" not in ran.out


async def test_what_a_receiver_says_no_with_is_shown_and_is_status_1(send: Send, tmp_path: Path):
    told = {503: "would try again", 401: "would try again for an hour", 422: "would not try again"}
    for status, would in told.items():
        set_answer(tmp_path, "in", ReceiverAnswer(then=status))
        ran = await send("hook", "--format", "json")
        said = f"wax answered {status}; a journey {would}"
        assert (ran.status, ran.err) == (1, f"{NOTE}not delivered: {said}\n")
        assert (ran.json["response"]["status"], ran.json["delivered"], ran.json["reason"]) == (status, False, said)
        assert ran.json["request"]["headers"]["authorization"] == "Bearer ~~TOKEN~~"


async def test_to_a_url_that_is_named_no_secret_is_sent(send: Send, receiver: Receiver):
    ran = await send("hook", "--to", f"{receiver.url}/elsewhere?a=1")
    [got] = receiver.requests()
    assert ran.status == 0
    assert (got.target, got.header("authorization")) == ("/elsewhere?a=1", "Bearer ~~TOKEN~~")
    assert (got.header("webhook-signature"), got.header("x-scenario-test")) == (None, "1")
    refused = await send("hook", "--to", "ftp://a")
    assert refused.err.endswith("--to is not a URL that may be called: its scheme is not https or http\n")


async def test_a_private_address_is_not_called_where_no_destination_allows_it(
    send: Send, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    def loopback(_host: str) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr("activities.webhook.http.dial._getaddrinfo", loopback)
    ran = await send("vip")
    assert ran.status == 1
    assert ran.err.splitlines()[-2:] == [
        "this contact would not reach step 'vip'",
        "not delivered: the destination's name leads to an address that may not be called: check the name, or let "
        "operations allow the network for this destination; a journey would not try again",
    ]
    assert receiver.requests() == []
    monkeypatch.delenv("SCENARIO_SECRET_TOKEN")
    ran = await send("hook")
    assert (ran.status, ran.out) == (1, "")
    assert "needs the secret TOKEN, which is not set" in ran.err


async def test_an_e_mail_says_that_it_is_a_test(send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    unset = "scenario: e-mail is not configured: set SCENARIO_SMTP and SCENARIO_MAIL_FROM\n"
    assert await send("thanks") == Ran(1, "", unset)
    async with Inbox(tmp_path / "inbox") as inbox:
        monkeypatch.setenv("SCENARIO_SMTP", f"{inbox.url}?tls=off")
        monkeypatch.setenv("SCENARIO_MAIL_FROM", "Shop <shop@example.com>")
        ran = await send("thanks", "--at", "2026-03-31T10:00", "--to", "ann@example.org")
        [mail] = inbox.messages()
    assert (ran.status, ran.err) == (0, f"{NOTE}delivered: 127.0.0.1 answered 250\n")
    assert (mail.message["To"], mail.message["X-Scenario-Test"]) == ("ann@example.org", "1")
    assert str(mail.message["Message-ID"]).startswith("<msg_test")
    assert "CGX at 2026-04-02T10:00" in ran.out, "after the wait"
    assert "← 250" in ran.out
    for step, to, what in (
        ("thanks", "nobody", "an e-mail address"),
        ("text", "0612345678", "a number with its country's code"),
    ):
        assert await send(step, "--to", to) == Ran(1, "", f"scenario: --to is not {what}\n")


async def test_an_sms_goes_to_the_provider_and_a_step_that_sends_nothing_is_said(send: Send):
    ran = await send("text")
    [kept] = await asyncio.to_thread(kept_in, Path(".scenario/inbox"))
    assert (ran.status, kept["to"], kept["text"], kept["id"][:8]) == (0, "+33612345678", "Hello Zoé", "msg_test")
    assert await send("wait-1") == Ran(1, "", "scenario: the step 'wait-1' sends no message\n")


async def test_a_store_records_it_and_knows_who_is_suppressed(send: Send, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", b64encode(b"k" * 32).decode())
    assert (await send("text")).status == 1  # nobody knows who is suppressed
    async with Store.open("sqlite+aiosqlite:///.scenario/store.db") as store:
        assert (await send("text")).status == 0
        (kept,) = await store.deliveries()
        assert (kept.step, kept.channel, kept.outcome, kept.test_by) == ("text", "sms", "delivered", login())
        (hashed,) = AddressHashes([b"k" * 32]).of("sms", "+33612345678")
        await store.suppress(Suppression("sms", hashed, "stop", datetime.now(UTC)))
        assert "nothing was sent: the address has answered STOP" in (await send("text")).err
        assert (await send("text", "--to", "+33612345679")).status == 0
    monkeypatch.setenv("SCENARIO_TEST_RECIPIENTS", "+33612345678")
    assert "SCENARIO_TEST_RECIPIENTS only" in (await send("text", "--to", "+33612345679")).err


async def test_nothing_is_sent_by_a_copy_of_the_store(send: Send, monkeypatch: pytest.MonkeyPatch):
    async def refuse(_store: Store) -> None:
        raise StoreMismatch("this store is a copy")

    monkeypatch.setattr(session, "_verify", refuse)
    claim = NamespaceClaim("token", "", 1, "2026-11-29T03:00:00+00:00", "", "2026-11-29T03:00:00+00:00", "worker")
    async with Store.open("sqlite+aiosqlite:///.scenario/store.db") as store:
        await store.claim_namespace("default", claim, replace=False)
        ran = await send("text")
        assert (ran.status, "this store is a copy" in ran.err, await store.deliveries()) == (1, True, [])
    assert await asyncio.to_thread(kept_in, Path(".scenario/inbox")) == []
