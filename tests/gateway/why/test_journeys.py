"""Why a contact did, or did not, get something: of real journeys, with the real activities and policies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.admission import AdmissionActivities
from activities.attempt_log import LastAttempts
from activities.channel import sending_activity
from activities.content import Content
from activities.decision import decide
from activities.email.activity import Emails
from activities.gate import PolicyGate, Releases
from activities.interface import JOURNEYS
from activities.outgoing.reports import HeldReports
from activities.sms.activity import Texts
from activities.sms.provider import Receipt, error_of
from activities.webhook.activity import Webhooks
from activities.webhook.http.exchange import Response
from activities.webhook.limiter import Limits
from activities.webhook.route import Route
from gateway.cli.show import lines
from gateway.client import ScenarioClient
from gateway.preview.rendering import SENDERS
from runtime.store import Attempt, Store
from scenario.policies.policies import examine
from tests.e2e.test_cases import ServersClock, clear
from tests.factories import publish
from tests.fakes import worker_context
from tests.workflows.conftest import environment
from workflows.journey import Journey

__all__ = ["environment"]

EXPECTED = Path(__file__).with_name("expected.txt")
BEGIN = datetime(2040, 3, 6, 19, 30, tzinfo=ZoneInfo("Europe/Paris"))
"""A Tuesday of no special kind: the server's clock is put forward to it."""
POLICIES = "caps: [{name: week, channels: [sms], at_most: 2, per: 7d}]\n"
SCENARIOS = {
    "small": "entry: {if: order.total_price > 1000}\nsteps: [{sms: thanks, text: hi}]",
    "news": "subscription: {sms: 99}\nsteps: [{sms: issue, text: hi}]",
    "compare": "control: 99.99\nsteps: [{sms: offer, text: hi}]",
    "winback": """
quiet_hours: {from: "21:00", to: "08:00"}
subscription: {sms: 52, email: 51}
exit: [{event: order.returned}]
steps:
  - split: {a: 99.99, b: 0.01}
    id: tone
    branches: {a: [{sms: hello, text: hi}], b: [{sms: other, text: hi}]}
  - wait: 2h
  - sms: reminder
    text: hi
  - sms: offer
    text: hi
  - email: letter
    subject: hi
    text: hi
  - webhook: hook
    url: https://hooks.example.com/x
  - wait_for: order.delivered
    id: arrival
    for: 7d
    then: [{sms: bye, text: bye}]
""",
}
CONTACT = {
    "id": 7,
    "email": "zoe@example.com",
    "cellphone": "+33612345678",
    "timezone": "Europe/Paris",
    "lists": [{"id": 52, "name": "SMS"}],
}


@dataclass
class Outside:
    """What is beyond the activities, and answers as it is told."""

    texts: list[int] = field(default_factory=list[int])
    requests: list[int] = field(default_factory=list[int])
    written: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def send_text(self, message: Any) -> Receipt:
        del message
        if (status := self.texts.pop(0)) >= 300:
            raise error_of(status)(f"twilio answered {status}", status=status)
        return Receipt(status)

    async def send_request(self, request: Any) -> Response:
        del request
        return Response(self.requests.pop(0), {}, b"")

    def find(self, url: str) -> Route:
        return Route(url=url, destination=url.split("/")[2], limits=Limits(1000, None))

    def granted(self, to: str | None) -> frozenset[str] | None:
        del to
        return None


class Writing:
    """The log of attempts, in the store."""

    def __init__(self, store: Store, written: list[asyncio.Task[None]]) -> None:
        self._store, self._written = store, written

    def put(self, attempt: Attempt) -> None:
        self._written.append(asyncio.ensure_future(self._store.record([attempt])))


@pytest.fixture
async def outside(
    environment: WorkflowEnvironment, store: Store, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Outside]:
    """Workers for all queues, and the scenarios published."""
    for module in ("open_attempt", "retry", "email.activity", "gate"):
        monkeypatch.setattr(f"activities.{module}.datetime", ServersClock)
    for name, text in SCENARIOS.items():
        await publish(store, f"scenario: {name}\ntrigger: order\n{text}")
    outside, content = Outside(), Content(store)
    log = Writing(store, outside.written)
    policies = examine(POLICIES, "policies.yaml").policies
    assert policies is not None
    gate, admissions = PolicyGate(content, store, lambda: policies, None), AdmissionActivities(content, store, "UTC")
    local: list[Callable[..., Any]] = [admissions.admit, admissions.depart, decide, clear]
    local += [LastAttempts(store).recall, Releases(store).release, HeldReports(store).report_held]
    transport, provider = SimpleNamespace(send=outside.send_request), SimpleNamespace(send=outside.send_text)
    provider.name, provider.connections = "twilio", 50
    mailer = SimpleNamespace(send=None, server=SimpleNamespace(host="mail.example.com", password=""), senders=SENDERS)
    services = worker_context(content, log, transport=transport, routes=outside, gate=gate)
    hooks = Webhooks(services)
    mails, texts = Emails(services, cast("Any", mailer)), Texts(services, cast("Any", provider))
    client, runner = environment.client, UnsandboxedWorkflowRunner()
    async with AsyncExitStack() as stack:
        journeys = Worker(client, task_queue=JOURNEYS, workflows=[Journey], activities=local, workflow_runner=runner)
        senders = [
            Worker(client, task_queue=one.channel.queue, activities=[sending_activity(one)])
            for one in (hooks, mails, texts)
        ]
        for worker in (journeys, *senders):
            await stack.enter_async_context(worker)
        yield outside
        await asyncio.gather(*outside.written)


async def start(environment: WorkflowEnvironment, scenario: str) -> WorkflowHandle[Any, Any]:
    order = {"type": "order", "order": {"external_id": "K1", "total_price": 10}}
    entry = {"scenario": scenario, "contact": CONTACT, "trigger": order}
    return await environment.client.start_workflow("Journey", entry, id=f"{scenario}/7", task_queue=JOURNEYS)


async def until(environment: WorkflowEnvironment, handle: WorkflowHandle[Any, Any], state: str) -> None:
    """Waits (in real time) until a journey is in a state."""
    async with asyncio.timeout(60):
        with environment.auto_time_skipping_disabled():
            while (await handle.query("progress"))["state"] != state:
                await asyncio.sleep(0.05)


async def test_what_a_contact_got_and_why_is_told_as_it_happened(
    environment: WorkflowEnvironment, outside: Outside, store: Store, tmp_path: Path
) -> None:
    outside.texts, outside.requests = [201, 503, 201], [422, 200]
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES, encoding="utf-8")
    client = ScenarioClient(environment.client, store, policies=policies)
    told: list[str] = []

    async def tell(step: str | None = None, *, whole: bool = False) -> None:
        await asyncio.gather(*outside.written)
        found = await client.why("7", step=step)
        shown = "\n".join(line.plain for line in lines(found, 80))
        told.append(f"### {step or 'all'}\n\n{shown if whole else found.answer}\n")

    await environment.sleep(BEGIN - await environment.get_current_time())
    for number, name in enumerate(("small", "news", "compare")):
        handle = await start(environment, name)
        assert (await handle.result())["outcome"] == ("control" if number == 2 else "refused")
        await environment.sleep(timedelta(minutes=1))
    handle = await start(environment, "winback")
    await environment.sleep(timedelta(hours=4))
    await until(environment, handle, "waiting")
    await tell("reminder")
    await environment.sleep(timedelta(days=1))
    await until(environment, handle, "held")
    await tell("hook", whole=True)
    await cast("Any", handle).execute_update("retry_step", {"operator": "ann", "reason": "their path is mended"})
    await until(environment, handle, "waiting")
    await tell("bye")
    await environment.sleep(timedelta(days=1))
    await handle.signal("event", {"name": "order.returned"})
    assert (await handle.result())["outcome"] == "exited"
    for step in (None, "reminder", "offer", "letter", "other", "bye", "issue", "thanks"):
        await tell(step, whole=step is None)
    text = "\n".join(told)
    (tmp_path / "told.txt").write_text(text, encoding="utf-8")
    assert text == EXPECTED.read_text(encoding="utf-8")
