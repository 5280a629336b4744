"""How deliveries and journeys end at a deadline, with a lost worker, or in a workflow task that Temporal refuses."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from temporalio.activity import raise_complete_async
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHandle

from activities.attempt_context import AttemptContext
from activities.channel import ChannelActivity
from activities.dependencies import WorkerServices
from activities.email.errors import MailRefused, MailUnanswered
from activities.email.message import Envelope
from activities.email.settings import Senders, Server
from activities.email.smtp import Reply
from activities.interface import Delivery, Sent
from activities.sms import provider as sms
from activities.sms.channel import SmsChannel
from activities.sms.provider import Receipt
from runtime.local.receiver import Receiver
from runtime.store import Attempt, AttemptWriter, Store
from scenario.recipients import Mailbox
from service.client import Entered, ScenarioClient
from tests.e2e.conftest import Gate, Stands, entry, outcomes, publish, until
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
                raise_complete_async()  # Temporal hears no more of it than of a worker that was killed
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


class Losing(SmsChannel):
    outside: Outside

    async def deliver(self, activity: ChannelActivity[Any], delivery: Delivery, context: AttemptContext) -> Sent:
        acts = self.outside.acts[str(delivery.contact)]
        if acts[:1] == ["dropped"]:
            acts.pop(0)
            raise_complete_async()
        return await super().deliver(activity, delivery, context)


STEPS = {
    "webhook": "webhook: hook, url: 'https://hooks.example.com/{{ contact.id }}', body: {}",
    "email": "email: mail, subject: hi, text: hi",
    "sms": "sms: text, text: hi",
}
RETRY = "initial_interval: 1s, backoff_coefficient: 1"
ONCE, LATE = "maximum_attempts: 1", "deadline: 4s"
TABLE = [
    # The step, its limit, what happens to its attempts, how it ends, and the messages that arrived.
    *((step, f"on_unknown: hold, timeout: 5s, retry: {{{RETRY}, {LATE}}}", ["busy", act], outcome, 1)
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


async def test_what_was_not_sent_is_sent_and_what_may_have_been_is_not_sent_again(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that is under way at the deadline ends as what it was, too."""
    outside = Outside({str(number): [*acts] for number, (*_, acts, _outcome, _sent) in enumerate(TABLE)})

    async def directed(client: Any, given: WorkerServices, *_: Any) -> Any:
        channels = replace(given.channels, connections={"email": outside, "sms": outside})
        return await workers(client, replace(given, channels=channels))

    for kind in (Hooks, Losing):
        monkeypatch.setattr(kind, "outside", outside, raising=False)
    monkeypatch.setattr("activities.sms.channel.ADAPTER", Losing())
    monkeypatch.setattr("tests.e2e.conftest.Receiver", Hooks)
    monkeypatch.setattr("tests.e2e.conftest.workers", directed)
    monkeypatch.setattr("workflows.delivery._PATIENCE", timedelta(seconds=1))  # until Temporal misses a lost attempt

    async def enter(client: ScenarioClient, contact: int, step: str) -> Entered:
        name = f"ends-{contact}"
        await publish(client, tmp_path, f"scenario: {name}\ntrigger: segment\nsteps:\n  - {step}\n")
        who = {"email": f"{contact}@example.com", "cellphone": f"+3361{contact:07}"}
        return await client.enter(entry(name, contact, **who))

    async def end(entered: Entered) -> str:
        progress = await until(lambda: entered.handle.query("progress"), lambda seen: seen["state"] in ("held", "over"))
        if progress["state"] == "held":
            await entered.handle.terminate()
            return progress["waiting"]["cause"]
        [(_, outcome)] = outcomes(await entered.handle.result())
        return outcome

    async with stand() as up:
        entered = [
            await enter(up.client, number, f"{{{step}, {limit}}}") for number, (step, limit, *_) in enumerate(TABLE)
        ]
        found = await asyncio.gather(*map(end, entered))
    sent = [outside.messages[str(number)] for number in range(len(TABLE))]
    assert [*zip(found, sent, strict=True)] == [(outcome, messages) for *_, outcome, messages in TABLE]


LEAVING = """
scenario: leaving
trigger: segment
exit: [{event: gone}]
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
"""
CAPS = "caps: [{name: a-day, at_most: 1, per: day}]\n"
CHANGED = ("contact_changed", {"firstname": "Zoe"})
DEPARTURES: dict[str, tuple[str, tuple[str, Any] | None, tuple[str, Any], str]] = {
    # The steps, what lets the journey depart, what happens meanwhile, and how it ends.
    "event": (
        "steps: [{wait_for: go, for: 1s, then: [{wait: 1d}], else: [{exit: late}]}]",
        None,
        ("event", {"name": "go"}),
        "exited",
    ),
    "branch": ('steps: [{wait: 1s}, {if: contact.firstname == "Zoe", then: [{wait: 1d}]}]', None, CHANGED, "finished"),
    "exit": (
        'exit: [{event: gone, if: contact.firstname == "Zoé"}]\nsteps: [{wait: 1d}]',
        ("event", {"name": "gone"}),
        CHANGED,
        "exited",
    ),
}


def forgotten(_writer: AttemptWriter, _attempt: Attempt) -> None:
    """Take an attempt, and never write it down."""


async def test_a_journey_that_has_departed_does_not_go_on(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = defaultdict[str, list[str]](list)
    depart = Store.depart
    async with stand() as stood:
        client = stood.client

        def handle(name: str) -> WorkflowHandle[Any, dict[str, Any]]:
            return client.temporal.get_workflow_handle(f"{name}/7", result_type=dict)

        async def over_a_signal(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
            await depart(store, workflow_id, run_id, outcome, *end)
            name = workflow_id.partition("/")[0]
            departures[name].append(outcome)
            if len(departures[name]) == 1:
                await handle(name).signal(*DEPARTURES[name][2])

        monkeypatch.setattr(Store, "depart", over_a_signal)
        for name, (steps, told, *_) in DEPARTURES.items():
            await publish(client, tmp_path, f"scenario: {name}\ntrigger: segment\n{steps}\n")
            await client.enter(entry(name, "7", firstname="Zoé"))
            if told is not None:
                await handle(name).signal(*told)
        async with asyncio.timeout(60):
            ends = {name: (await handle(name).result())["outcome"] for name in DEPARTURES}
    assert ends == {name: outcome for name, (*_, outcome) in DEPARTURES.items()}
    assert departures == {name: [outcome, outcome] for name, outcome in ends.items()}


async def test_a_message_that_arrives_while_its_contact_leaves_is_on_record_as_delivered(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(CAPS, "utf-8")
    monkeypatch.setenv("SCENARIO_POLICIES", str(policies))
    departures = list[tuple[str, datetime]]()
    depart = Store.depart

    async with Gate(hold=1) as gate, stand(gate=gate) as stood:
        client = stood.client
        await publish(client, tmp_path, LEAVING)
        entered = await client.enter(entry("leaving", "7"))
        handle: WorkflowHandle[Any, dict[str, Any]] = entered.handle

        async def over_an_attempt(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
            await depart(store, workflow_id, run_id, outcome, *end)
            departures.append((outcome, end[1]))
            gate.opened.set()
            await until(handle.describe, lambda run: not run.raw_description.pending_activities)

        monkeypatch.setattr(Store, "depart", over_an_attempt)
        # As where the worker is killed before it has written the attempt down.
        monkeypatch.setattr(AttemptWriter, "put", forgotten)
        await gate.called(1)
        await handle.signal("event", {"name": "gone"})
        async with asyncio.timeout(60):
            result = await handle.result()
        history = await handle.fetch_history()
        row = await client.store.entry(handle.id)
        passed = await client.store.passage_counts("leaving", datetime.now(UTC))
        claims = await client.store.claims_of("7", datetime.now(UTC) - timedelta(days=1))

    refused = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    causes = [
        event.workflow_task_failed_event_attributes.cause
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    assert causes == [refused]
    assert (result["outcome"], outcomes(result)) == ("exited", [("hook", "delivered")])
    (first, _), second = departures
    assert (first, second[0]) == ("exited", "exited")
    assert row is not None
    assert (row.outcome, row.ended_at) == second
    assert [(one.step, one.outcome, one.total) for one in passed] == [("hook", "delivered", 1)]
    assert [one.channel for one in claims] == ["webhook"], "the place is not free for another message"
