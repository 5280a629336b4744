"""How deliveries end whose last attempt meets the deadline, or is lost with its worker: on the real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from temporalio import activity

from activities.attempt_context import AttemptContext
from activities.dependencies import WorkerServices
from activities.email.errors import MailRefused, MailUnanswered
from activities.email.message import Envelope
from activities.email.session import Reply
from activities.email.settings import Senders, Server
from activities.interface import Delivery, Sent
from activities.sms import provider as sms
from activities.sms.activity import Texts
from activities.sms.provider import Receipt
from gateway.client import Entered, ScenarioClient
from runtime.local.receiver import Receiver
from scenario.recipients import Mailbox
from tests.e2e.conftest import Stand, Stands, entry, outcomes, publish
from worker import workers

SLOW = 4.0
"""Seconds that a slow receiver takes: past the deadline, and within the time-out."""


@dataclass
class Outside:
    """Providers and receivers, who do with each contact's messages what the test says, one act a message.

    ``busy``: not now. ``slow``: taken, after a while. ``silent``: it arrived, and no answer comes. ``lost``: it
    arrived, and the worker is gone with the answer. ``dropped``: the worker is gone before it did anything. Else it is
    taken.
    """

    acts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    messages: Counter[str] = field(default_factory=Counter[str])
    name: str = "fake"
    connections: int = 50
    senders: Senders = field(default_factory=lambda: Senders(Mailbox("news@shop.example", "Shop")))
    server: Server = field(default_factory=lambda: Server("mail.example", 25))

    def next(self, contact: str) -> str:
        acts = self.acts[contact]
        return acts.pop(0) if acts else "take"

    async def send(self, what: Any, *, within: float = 0.0, leaving: Any = None) -> Any:
        mail = isinstance(what, Envelope)
        contact = what.recipient.partition("@")[0] if mail else what.to[-7:].lstrip("0")
        if leaving is not None:
            await leaving()
        act = self.next(contact)
        if act == "busy":
            raise MailRefused("", "fake", status=450) if mail else sms.ProviderBusy("It is busy", error="busy")
        self.messages[contact] += 1
        match act:
            case "slow":
                await asyncio.sleep(SLOW)
            case "silent":
                await asyncio.sleep(within if mail else what.within)
                raise MailUnanswered("no_answer", "fake") if mail else sms.TextUnanswered("No answer", error="silent")
            case "lost":
                activity.raise_complete_async()  # Temporal hears no more of it than of a worker that was killed
            case _:
                pass
        return Reply(250, "OK") if mail else Receipt(201)


class Hooks(Receiver):
    outside: Outside

    async def _receive(self, request: Request) -> Response:
        contact = request.url.path.rpartition("/")[2]
        act = self.outside.next(contact)
        if act == "busy":
            return Response(status_code=503)
        self.outside.messages[contact] += 1
        if act in ("slow", "silent"):
            await asyncio.sleep(SLOW if act == "slow" else 60)
        return Response()


class Losing(Texts):
    outside: Outside

    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        acts = self.outside.acts[str(delivery.contact)]
        if acts[:1] == ["dropped"]:
            acts.pop(0)
            activity.raise_complete_async()
        return await super().send(delivery, context)


@dataclass
class Ends:
    stand: Stand
    outside: Outside
    folder: Path

    async def enter(self, contact: int, step: str, *acts: str) -> Entered:
        self.outside.acts[str(contact)] = list(acts)
        client: ScenarioClient = self.stand.client
        name = f"ends-{contact}"
        await publish(client, self.folder, f"scenario: {name}\ntrigger: segment\nsteps:\n  - {step}\n")
        who = {"email": f"{contact}@example.com", "cellphone": f"+3361{contact:07}"}
        return await client.enter(entry(name, contact, **who))

    async def end(self, entered: Entered) -> tuple[str, str]:
        async with asyncio.timeout(60):
            while True:
                progress: Mapping[str, Any] = await entered.handle.query("progress")
                if progress["state"] == "held":
                    await entered.handle.terminate()
                    return progress["waiting"]["cause"], progress["waiting"]["reason"]
                if progress["state"] == "over":
                    [(_, outcome)] = outcomes(await entered.handle.result())
                    return outcome, ""
                await asyncio.sleep(0.1)


@pytest.fixture
async def ends(stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Ends]:
    outside = Outside()
    monkeypatch.setattr(Hooks, "outside", outside, raising=False)
    monkeypatch.setattr(Losing, "outside", outside, raising=False)
    monkeypatch.setattr("activities.sms.activity.Texts", Losing)
    monkeypatch.setattr("tests.e2e.conftest.Receiver", Hooks)

    async def directed(client: Any, given: WorkerServices, *_: Any) -> Any:
        return await workers(
            client, replace(given, channels=replace(given.channels, connections={"email": outside, "sms": outside}))
        )

    monkeypatch.setattr("tests.e2e.conftest.workers", directed)
    monkeypatch.setattr("workflows.delivery._PATIENCE", timedelta(seconds=3))  # until Temporal misses a lost attempt
    async with stand() as up:
        yield Ends(up, outside, tmp_path)


STEPS = {
    "webhook": "webhook: hook, url: 'https://hooks.example.com/{{ contact.id }}', body: {}",
    "email": "email: mail, subject: hi, text: hi",
    "sms": "sms: text, text: hi",
}
RETRY = "initial_interval: 1s, backoff_coefficient: 1"
ONCE, LATE = "maximum_attempts: 1", "deadline: 4s"
TABLE = [
    # The step, its limit, what happens to its attempts, how it ends, and the messages that arrived.
    *((step, f"on_unknown: hold, timeout: 6s, retry: {{{RETRY}, {LATE}}}", ["busy", act], outcome, 1)
      for act, outcome in (("slow", "delivered"), ("silent", "unknown")) for step in STEPS.values()),
    *((STEPS["sms"], f"timeout: 1s, retry: {{{RETRY}, {limit}}}", acts, outcome, sent)
      for limit, acts, outcome, sent in (
        ("", ["dropped"], "delivered", 1),
        ("", ["lost"], "unknown", 1),
        (ONCE, ["dropped"], "delivered", 1),
        (ONCE, ["lost"], "unknown", 1),
        ("maximum_attempts: 2", ["busy", "dropped"], "delivered", 1),
        (LATE, ["busy", "lost"], "unknown", 1),
        (LATE, ["busy", "dropped"], "exhausted", 0),
        (LATE, ["dropped"], "exhausted", 0),
    )),
]  # fmt: skip


async def test_what_was_not_sent_is_sent_and_what_may_have_been_is_not_sent_again(ends: Ends) -> None:
    """An attempt that is under way at the deadline ends as what it was, too."""
    entered = [
        await ends.enter(number, f"{{{step}, {limit}}}", *acts) for number, (step, limit, acts, *_) in enumerate(TABLE)
    ]
    found = await asyncio.gather(*(ends.end(one) for one in entered))
    sent = [ends.outside.messages[str(number)] for number in range(len(TABLE))]
    ended = [(outcome, messages) for (outcome, _), messages in zip(found, sent, strict=True)]
    assert ended == [(outcome, messages) for *_, outcome, messages in TABLE]
