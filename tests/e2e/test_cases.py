"""The cases of the examples as real journeys: what a case shows in virtual time is what a journey does, to the byte.

The journeys run on Temporal's time-skipping server, all at once, through the real activities. Only what is beyond these
(the transport, the mail server, the provider) answers as the cases say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.decision import decide
from activities.email import errors as mail
from activities.email.activity import Emails
from activities.email.message import Envelope
from activities.email.session import Reply as MailReply
from activities.interface import CLEAR, EMAIL, JOURNEYS, SMS, WEBHOOK, Clearance, Cleared
from activities.last_attempt import Recollections
from activities.sms import errors as text
from activities.sms.activity import Texts
from activities.sms.provider import Receipt, TextMessage
from activities.webhook.activity import Webhooks
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from activities.webhook.http.headers import sent_headers
from activities.webhook.route import Route
from activities.webhook.throttle.limits import Limits
from gateway.cases.file import Cases, case_files, read
from gateway.cases.run import Circumstances, Course, Got, replies, run
from gateway.preview.rendering import SENDERS, RenderedMail, RenderedRequest, RenderedText, StandIn, mask
from gateway.publishing import publish
from gateway.virtual.attempts import SMS_ERRORS, Reply
from runtime.store import Store
from scenario.entry.admission import Refused, entry_data, key_of
from scenario.entry.entry import journey_id, parse_entry
from tests.examples.scenarios import CAMPAIGNS, SCENARIOS
from tests.fakes import Rows
from tests.workflows.conftest import environment
from workflows.journey import Journey

__all__ = ["environment"]

ALL = (*SCENARIOS, *CAMPAIGNS)
ZONE = "Europe/Paris"
CLOSE = timedelta(seconds=60)
"""What a journey on a server may be later than one in virtual time."""
OF_ATTEMPTS = ("webhook-timestamp", "traceparent")
"""Headers that are another in each attempt."""
LONGEST = timedelta(days=400)
"""After which nothing happens in any case."""
DATE = re.compile(rb"(?m)^Date: .*\r\n")


@dataclass
class Live:
    """A case as a journey on the server."""

    cases: Cases
    name: str
    id: str
    handle: WorkflowHandle[Any, Any] = field(init=False)
    start: datetime = field(init=False)
    answers: dict[str, Iterator[Reply]] = field(default_factory=dict[str, Iterator[Reply]])
    sent: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    refused: set[int] = field(default_factory=set[int])


class World:
    """What is beyond the activities: it notes what comes, and answers as the case says whose journey it is."""

    server = SimpleNamespace(host="mail.example.com", password="")
    senders = SENDERS
    name = "provider"
    connections = 50

    def __init__(self) -> None:
        self.journeys: dict[str, Live] = {}

    def reply(self, sent: Any) -> Reply:
        info = activity.info()
        live, step = self.journeys[info.workflow_id or ""], info.activity_id
        live.sent.setdefault(step, []).append(sent)
        answers = live.cases.answers(live.cases.file.cases[live.name]).get(step, ())
        return next(live.answers.setdefault(step, replies(step, answers)))

    async def send_request(self, request: Request) -> Response:
        kept = {name: value for name, value in request.headers.items() if name not in OF_ATTEMPTS}
        reply = self.reply((request.method, request.url, sent_headers(kept), request.body))
        if reply.error is not None:
            raise AttemptError(reply.error)
        return Response(reply.status or 200, reply.headers, reply.body)

    async def send_mail(self, envelope: Envelope, *, within: float, leaving: Callable[[], Any]) -> MailReply:
        del within
        await leaving()
        reply, host = self.reply(DATE.sub(b"", envelope.message)), self.server.host
        if reply.error is not None:
            raise (mail.UnansweredError if reply.error in mail.UNANSWERED else mail.UnreachableError)(reply.error, host)
        if reply.status is not None and reply.status >= 400:
            raise mail.RefusedError("", host, status=reply.status)
        return MailReply(reply.status or 250, "")

    async def send_text(self, message: TextMessage) -> Receipt:
        reply = self.reply((message.to, message.body))
        if reply.error is not None:
            raise SMS_ERRORS[reply.error]("no answer", error=reply.error)
        if reply.status is not None and reply.status >= 300:
            raise text.error_of(reply.status)(f"the provider answered {reply.status}", status=reply.status)
        return Receipt(reply.status or 200)

    # ---- routes

    def find(self, url: str) -> Route:
        return Route(url=url, destination=url.split("/")[2], limits=Limits(1000, None))

    def named(self, name: str) -> Route:
        return Route(url=f"{name}:", destination=name, limits=Limits(1000, None))

    def granted(self, to: str | None) -> frozenset[str] | None:
        del to
        return None


@activity.defn(name=CLEAR.name)
async def clear(clearance: Clearance) -> Cleared:
    del clearance
    return Cleared()


class ServersClock(datetime):
    """What activities take for the time: the server's, who skips it."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return activity.info().started_time.astimezone(tz)


@pytest.fixture
async def world(
    environment: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Workers for all queues, and the scenarios published."""
    for module in ("activities.attempt", "activities.backoff", "activities.email.activity"):
        monkeypatch.setattr(f"{module}.datetime", ServersClock)
    world, client = World(), environment.client
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store, AsyncExitStack() as stack:
        for path in ALL:
            await publish(path, store)
        content, log, links = Content(store), Rows(), StandIn()
        admissions = AdmissionActivities(content, store, ZONE)
        local = [admissions.admit, admissions.depart, decide, Recollections(store).recall, clear]
        secrets = {name: mask(name) for name in ("WAX_TOKEN", "PUSH_KEY", "WALLET_TOKEN", "CLIENTELING_KEY")}
        transport, mailer = SimpleNamespace(send=world.send_request), SimpleNamespace(send=world.send_mail)
        mailer.server, mailer.senders = world.server, world.senders
        provider = SimpleNamespace(send=world.send_text, name=world.name, connections=50)
        senders = {
            WEBHOOK: Webhooks(content, cast("Any", transport), lambda: secrets, log, world, links).send_webhook,
            EMAIL: Emails(content, cast("Any", mailer), log, links).send_email,
            SMS: Texts(content, cast("Any", provider), log, links).send_sms,
        }
        runner = UnsandboxedWorkflowRunner()
        made = [Worker(client, task_queue=JOURNEYS, workflows=[Journey], activities=local, workflow_runner=runner)]
        made += [Worker(client, task_queue=channel.queue, activities=[method]) for channel, method in senders.items()]
        for worker in made:
            await stack.enter_async_context(worker)
        yield world


async def test_a_journey_does_what_its_case_shows(world: World, environment: WorkflowEnvironment) -> None:
    lives = [
        live
        for number, (cases, name) in enumerate(
            (cases, name) for path in ALL for cases in _read(path) for name in cases.file.cases
        )
        for live in [_live(cases, name, number + 1)]
    ]
    world.journeys = {live.id: live for live in lives}
    for live in lives:
        entry = live.cases.entries[live.name]
        live.handle = await environment.client.start_workflow("Journey", entry, id=live.id, task_queue=JOURNEYS)
        live.start = (await live.handle.describe()).start_time
    began = min(live.start for live in lives)
    elapsed = timedelta(0)
    for after, live, action in sorted(_happenings(lives), key=lambda one: one[0]):
        if after > elapsed:
            await environment.sleep(began + after - (await environment.get_current_time()))
            elapsed = after
        await action(live)
    await environment.sleep(LONGEST)
    with environment.auto_time_skipping_disabled():  # who asks for a result would skip time, and they cannot all do so
        async with asyncio.timeout(120):
            results = await asyncio.gather(*(_result(live) for live in lives))
    wrong = {
        f"{live.id}: {live.name}": found
        for live, result in zip(lives, results, strict=True)
        if (found := _differences(live, result, _virtual(live)))
    }
    assert not wrong, "\n".join(f"{name}\n    {one}" for name, found in wrong.items() for one in found)


def _read(path: Path) -> Iterator[Cases]:
    for file in case_files(path):
        cases, findings = read(file)
        assert cases is not None, findings
        yield cases


def _live(cases: Cases, name: str, contact: int) -> Live:
    """The case, with a contact of its own."""
    entry = {**cases.entries[name], "contact": {**cases.entries[name]["contact"], "id": contact}}
    cases = replace(cases, entries={name: entry})
    parsed, scenario = parse_entry(entry), cases.draft.scenario
    try:
        key = key_of(parsed, scenario, entry_data(parsed, scenario, 1, ZONE, datetime.now(UTC)))
    except Refused:
        key = None
    return Live(cases, name, journey_id(parsed, key))


def _virtual(live: Live) -> Course:
    """The same in virtual time, from the same moment on, under the same delivery ids."""
    root = live.handle.first_execution_run_id or ""
    return run(live.cases, live.name, Circumstances(platform_zone=ZONE, start=live.start, root=root))


def _happenings(lives: list[Live]) -> Iterator[tuple[timedelta, Live, Callable[[Live], Any]]]:
    for live in lives:
        case = live.cases.file.cases[live.name]
        for event in case.events:
            told = {"name": event.name, "properties": event.properties}
            yield event.after or timedelta(0), live, lambda live, told=told: _signal(live, "event", told)
        for change in case.changes:
            patch = change.contact
            yield change.after or timedelta(0), live, lambda live, patch=patch: _signal(live, "contact_changed", patch)
        for index, operation in enumerate(case.operations):
            yield (
                operation.after or timedelta(0),
                live,
                lambda live, index=index, operation=operation: _operate(live, index, operation),
            )


async def _signal(live: Live, name: str, argument: Mapping[str, Any]) -> None:
    if (await live.handle.describe()).close_time is None:
        await live.handle.signal(name, argument)


async def _operate(live: Live, index: int, operation: Any) -> None:
    is_step = operation.verb in ("retry", "skip")
    update = f"{operation.verb}_step" if is_step else operation.verb
    argument = {"operator": "an operator", "reason": "as the case says" if is_step else operation.says}
    argument |= {"step": operation.says} if is_step else {}
    try:
        await cast("Any", live.handle).execute_update(update, argument)
    except WorkflowUpdateFailedError:
        live.refused.add(index)


async def _result(live: Live) -> dict[str, Any]:
    """How the journey ended, or how it stands."""
    if _virtual(live).ends in ("held", "waiting", "paused"):
        return await live.handle.query("progress")
    return await live.handle.result()


def _differences(live: Live, result: dict[str, Any], course: Course) -> list[Any]:
    """What a journey did that its case does not show."""
    if course.refused is not None:
        return [] if (result["outcome"], result["reason"]) == ("refused", course.refused) else [result, course.refused]
    stands = "state" in result
    over = course.steps[:-1] if stands else course.steps
    found: list[Any] = []
    if not stands and (result["outcome"], result["reason"]) != (course.ends, course.reason):
        found.append((result["outcome"], result["reason"], course.ends, course.reason))
    if stands and (result["state"], result["at"]) != (course.ends, course.steps[-1].id):
        found.append((result["state"], result["at"], course.ends, course.steps[-1].id))
    if [_record(step) for step in result["steps"]] != [_record(_as_record(got)) for got in over]:
        found.append((result["steps"], over))
    for step, got in zip(result["steps"], over, strict=False):
        if abs(datetime.fromisoformat(step["at"]) - got.at) > CLOSE:
            found.append((step, got.at))
    for step in dict.fromkeys(got.id for got in course.steps):
        rounds, sent = [got for got in course.steps if got.id == step], live.sent.get(step, [])
        expected = [message for got in rounds if (message := _bytes(got)) is not None]
        if any(one not in expected for one in sent) or any(one not in sent for one in expected):
            found.append((step, expected, sent))
        attempts = sum(got.attempts or 1 for got in rounds if got.tried and got.outcome == "delivered")
        if len(sent) < attempts:
            found.append((step, attempts, len(sent)))
    if live.refused != {place[1] for place in course.rejected if place[0] == "operations"}:
        found.append((live.refused, course.rejected))
    return found


_KEYS = ("id", "kind", "outcome", "reason", "status", "attempts", "note", "way")


def _record(step: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(step.get(key) for key in _KEYS)


def _as_record(got: Got) -> dict[str, Any]:
    return {key: getattr(got, key) for key in _KEYS}


def _bytes(got: Got) -> Any:
    match got.message:
        case RenderedRequest():
            return (got.message.method, got.message.url, dict(got.message.headers), got.message.body)
        case RenderedMail():
            return DATE.sub(b"", got.message.envelope.message)
        case RenderedText():
            return (got.message.to, got.message.text)
        case _:
            return None
