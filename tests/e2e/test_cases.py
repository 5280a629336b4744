"""The cases of the examples, and others, as real journeys: what a case shows is what a journey does, to the byte.

The journeys run on Temporal's time-skipping server, all at once, through the real activities. Only what is beyond these
(the transport, the mail server, the provider) answers as the cases say.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.admission import AdmissionActivities
from activities.attempt import DeliveryRecords
from activities.audience.formats import Member, request_of
from activities.channel import AttemptReply, ChannelActivity, sending_activity
from activities.channel_registry import AUDIENCE, EMAIL, SMS, WEBHOOK, Channel
from activities.content import Content
from activities.decision import GoalActivities, decide
from activities.email import errors as mail
from activities.email.channel import RenderedMail
from activities.email.message import Envelope
from activities.email.smtp import Reply
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import CLEAR, JOURNEYS, DestinationPolicy, DestinationPolicyRequest
from activities.outgoing.sender import HeldReports
from activities.sms import provider as text
from activities.sms.channel import ERRORS, RenderedText
from activities.sms.provider import Receipt, TextMessage
from activities.webhook.channel import RenderedRequest, mask
from activities.webhook.destinations.form import AudiencesForm
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response, sent_headers
from activities.webhook.limiter import Limits
from activities.webhook.presets import with_own_headers
from activities.webhook.route import Route
from authoring.cases.file import Cases, case_files, read
from authoring.cases.run import CaseRun, Circumstances, StepRun, replies, run
from authoring.preview.rendering import SENDERS, Result, StandIn, UnsubscribeStandIn
from authoring.publishing import publish
from runtime.derived_keys import AddressHashes
from runtime.store import Attempt, Store
from runtime.store.claims import CapClaim
from scenario.entry.admission import EntryRefused, entry_data, key_of
from scenario.entry.entry import journey_id, parse_entry
from scenario.entry.values import PlatformDates
from scenario.policies.caps import Cap
from scenario.policies.order import Ruling, Skip
from scenario.policies.policies import Policies
from scenario.policies.suppression import AddressVerdict, Suppression
from scenario.steps.audience import AudienceOperation
from scenario.time import zone_of
from tests.authoring.cases.conftest import Written, written
from tests.authoring.cases.test_run import CASES, HEAD
from tests.examples.scenarios import CAMPAIGNS, SCENARIOS
from tests.fakes import Rows, worker_context
from tests.stage import environment
from workflows.journey import Journey

__all__ = ["environment", "written"]

ZONE = "Europe/Paris"
EXAMPLES = (*SCENARIOS, *(path for path in CAMPAIGNS if path.stem in ("holdout", "welcome", "win-back")))
"""The examples, those of campaigns with a goal or days off too."""
OURS = tuple(Path(__file__).with_name(f"{name}.yaml") for name in ("kinds", "control", "policies"))
"""Longer scenarios with all kinds of steps, groups for comparison and policies."""
HASHES = AddressHashes([b"k" * 32])
ONE = Cap.model_validate({"name": "any", "at_most": 1000, "per": "31d"})
CLOSE = timedelta(minutes=3)
"""What a journey on a server may be later than one in virtual time."""
OF_ATTEMPTS = ("webhook-timestamp", "traceparent")
"""Headers that are another in each attempt."""
LONGEST = timedelta(days=400)
"""After which nothing happens in any case."""
DATE = re.compile(rb"(?m)^Date: .*\r\n")


@dataclass
class Live:
    cases: Cases
    name: str
    id: str
    handle: WorkflowHandle[Any, Any] = field(init=False)
    start: datetime = field(init=False)
    answers: dict[str, Iterator[AttemptReply]] = field(default_factory=dict[str, Iterator[AttemptReply]])
    sent: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    refused: set[int] = field(default_factory=set[int])


class World:
    """What is beyond the activities: it notes what comes, and answers as the case says whose journey it is."""

    server = SimpleNamespace(host="mail.example.com", password="")
    senders = SENDERS
    name = "provider"
    connections = 50
    store: Store

    def __init__(self) -> None:
        self.journeys: dict[str, Live] = {}

    def reply(self, sent: Any) -> AttemptReply:
        info = activity.info()
        live, step = self.journeys[info.workflow_id or ""], info.activity_id
        live.sent.setdefault(step, []).append(sent)
        file = live.cases.file
        answers = {**file.answers, **file.cases[live.name].answers}.get(step, ())
        return next(live.answers.setdefault(step, replies(step, answers)))

    async def send_request(self, request: Request) -> Response:
        kept = {name: value for name, value in request.headers.items() if name not in OF_ATTEMPTS}
        reply = self.reply((request.method, request.url, sent_headers(kept), request.body))
        if reply.error is not None:
            raise AttemptError(reply.error)
        return Response(reply.status or 200, reply.headers, reply.body)

    async def send_mail(self, envelope: Envelope, *, within: float, leaving: Callable[[], Any]) -> Reply:
        del within
        await leaving()
        reply, host = self.reply(DATE.sub(b"", envelope.message)), self.server.host
        if reply.error is not None:
            raise (mail.MailUnanswered if reply.error in mail.UNANSWERED else mail.MailUnreachable)(reply.error, host)
        if reply.status is not None and reply.status >= 400:
            raise mail.MailRefused("", host, status=reply.status)
        return Reply(reply.status or 250, "")

    async def send_text(self, message: TextMessage) -> Receipt:
        reply = self.reply((message.to, message.body))
        if reply.error is not None:
            raise ERRORS[reply.error]("no answer", error=reply.error)
        if reply.status is not None and reply.status >= 300:
            raise text.error_of(reply.status)(f"the provider answered {reply.status}", status=reply.status)
        return Receipt(reply.status or 200)

    # ---- the book of memberships: what it notes is what a platform would get

    async def add(self, destination: str, audience: str, contact: str, member: Member, at: datetime) -> None:
        del contact, at
        self._change(destination, audience, "add", member)

    async def remove(self, destination: str, audience: str, contact: str, at: datetime) -> None:
        del at
        self._change(destination, audience, "remove", {"id": contact})

    def _change(self, destination: str, audience: str, operation: AudienceOperation, member: Member) -> None:
        made = request_of(AudiencesForm(preset="generic"), destination, audience, operation, [member])
        headers = sent_headers(with_own_headers({}))
        self.reply((made.method, f"{destination}:{made.path}", headers, made.body))

    # ---- routes

    def find(self, url: str) -> Route:
        return Route(url=url, destination=url.split("/")[2], limits=Limits(1000, None))

    def named(self, name: str) -> Route:
        return Route(url=f"{name}:", destination=name, limits=Limits(1000, None))

    def granted(self, to: str | None) -> frozenset[str] | None:
        del to
        return None


@activity.defn(name=CLEAR.name)
async def clear(clearance: DestinationPolicyRequest) -> DestinationPolicy:
    del clearance
    return DestinationPolicy()


class ServersClock(datetime):
    """What activities take for the time: the server's, who skips it."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return activity.info().started_time.astimezone(tz)


class Log(Rows):
    async def deliveries(self, *, delivery_id: str, limit: int) -> list[Attempt]:
        return [row for row in self if row.delivery_id == delivery_id][-limit:]


class Gates:
    def __init__(self, content: Content, store: Store, policies: Mapping[str, Policies]) -> None:
        self._gates = {name: PolicyGate(content, store, lambda own=own: own, HASHES) for name, own in policies.items()}

    async def check(self, message: OutgoingMessage) -> Ruling:
        return await self._gates[message.delivery.name].check(message)

    def recipient(self, message: OutgoingMessage) -> str | None:
        return self._gates[message.delivery.name].recipient(message)

    async def rejected(self, message: OutgoingMessage, verdict: AddressVerdict) -> Skip | None:
        return await self._gates[message.delivery.name].rejected(message, verdict)

    async def not_delivered(self, message: OutgoingMessage, *, uncertain: bool) -> None:
        await self._gates[message.delivery.name].not_delivered(message, uncertain=uncertain)


async def _prepare(live: Live, store: Store) -> None:
    case, who = live.cases.file.cases[live.name], live.cases.entries[live.name]["contact"]
    for number, one in enumerate(case.sent):
        at = live.start + (one.after or timedelta(0)) - (one.before or timedelta(0))
        at = datetime.fromisoformat(one.at).replace(tzinfo=ZoneInfo(ZONE)) if one.at else at
        claim = CapClaim(f"{live.id}/{number}", str(who["id"]), one.by, "", "other", at)
        assert await store.claim(claim, [ONE], UTC) is None
    for channel, source in case.suppressed.items():  # for all journeys: each case needs an address of its own
        address = HASHES.of(channel, who[{"sms": "cellphone", "email": "email"}[channel]])[0]
        await store.suppress(Suppression(channel, address, cast("Any", source), live.start))


@pytest.fixture(params=["steps", pytest.param("examples", marks=pytest.mark.nightly)])
def files(request: pytest.FixtureRequest, written: Written) -> list[Path]:
    """Case files: of our scenarios and of small ones of each kind of step, whose cases are run elsewhere, too.

    The examples' cases join the same steps in another order: they become journeys each night.
    """
    if request.param == "examples":
        return [file for path in EXAMPLES for file in case_files(path)]
    small = [written(*texts, head=HEAD, name=f"small-{number}") for number, texts in enumerate(CASES.values())]
    return [*(file for path in OURS for file in case_files(path)), *small]


@pytest.fixture
async def world(
    environment: WorkflowEnvironment, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    for module in ("open_attempt", "retry", "email.channel"):
        monkeypatch.setattr(f"activities.{module}.datetime", ServersClock)
    world, client = World(), environment.client
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store, AsyncExitStack() as stack:
        policies: dict[str, Policies] = {}
        for path in files:
            published = await publish(path.with_name(path.name.replace(".test", "")), store)
            policies[published.scenario] = _read(path).policies
        content, log, links, away = Content(store), Log(), StandIn(), UnsubscribeStandIn()
        admissions = AdmissionActivities(content, store, PlatformDates(ZONE))
        local: list[Any] = [
            admissions.admit,
            admissions.depart,
            decide,
            DeliveryRecords(cast("Any", log)).recall,
            clear,
        ]
        local += [GoalActivities(content, store).goal, DeliveryRecords(store).release, HeldReports(store).report_held]
        secrets = {name: mask(name) for name in ("WAX_TOKEN", "PUSH_KEY", "WALLET_TOKEN", "CLIENTELING_KEY")}
        transport, mailer = SimpleNamespace(send=world.send_request), SimpleNamespace(send=world.send_mail)
        mailer.server, mailer.senders = world.server, world.senders
        provider = SimpleNamespace(send=world.send_text, name=world.name, connections=50)
        gate, world.store = Gates(content, store, policies), store
        given = {"transport": transport, "secrets": lambda: secrets, "routes": world, "callbacks": links}
        given["memberships"] = world
        services = worker_context(content, log, gate=gate, unsubscribing=away, **given)
        local.append(sending_activity(ChannelActivity(AUDIENCE, services)))
        connections: dict[Channel, Any] = {WEBHOOK: None, EMAIL: mailer, SMS: provider}
        senders = [ChannelActivity(one, services, connection) for one, connection in connections.items()]
        runner = UnsandboxedWorkflowRunner()
        made = [Worker(client, task_queue=JOURNEYS, workflows=[Journey], activities=local, workflow_runner=runner)]
        made += [Worker(client, task_queue=one.channel.queue, activities=[sending_activity(one)]) for one in senders]
        for worker in made:
            await stack.enter_async_context(worker)
        yield world


@pytest.mark.timeout(300)  # some hundred journeys
async def test_a_journey_does_what_its_case_shows(
    world: World, files: list[Path], environment: WorkflowEnvironment
) -> None:
    chosen = [(cases, name) for path in files for cases in [_read(path)] for name in cases.file.cases]
    lives = [_live(cases, name, contact) for contact, (cases, name) in enumerate(chosen, 1)]
    world.journeys = {live.id: live for live in lives}
    for live in lives:
        entry = live.cases.entries[live.name]
        live.handle = await environment.client.start_workflow("Journey", entry, id=live.id, task_queue=JOURNEYS)
        live.start = (await live.handle.describe()).start_time
        await _prepare(live, world.store)
    began = min(live.start for live in lives)
    elapsed = timedelta(0)
    for after, live, action in sorted(_happenings(lives), key=lambda one: one[0]):
        if after > elapsed:
            await environment.sleep(began + after - (await environment.get_current_time()))
            elapsed = after
        await action(live)
    await environment.sleep(LONGEST)
    with environment.auto_time_skipping_disabled():  # who asks for a result would skip time, and they cannot all do so
        courses = [_virtual(live) for live in lives]
        async with asyncio.timeout(120):
            results = await asyncio.gather(*map(_result, lives, courses))
    wrong = {
        f"{live.id}: {live.name}": found
        for live, result, course in zip(lives, results, courses, strict=True)
        if (found := _differences(live, result, course))
    }
    assert not wrong, "\n".join(f"{name}\n    {one}" for name, found in wrong.items() for one in found)


def _read(file: Path) -> Cases:
    cases, findings = read(file)
    assert cases is not None, findings
    return cases


def _live(cases: Cases, name: str, contact: int) -> Live:
    entry, who = cases.entries[name], {**cases.entries[name]["contact"], "id": contact}
    entry = {**entry, "scenario": cases.draft.scenario.scenario, "contact": who}
    cases = replace(cases, entries={name: entry})
    parsed, scenario = parse_entry(entry), cases.draft.scenario
    try:
        key = key_of(parsed, scenario, entry_data(parsed, scenario, 1, PlatformDates(ZONE), datetime.now(UTC)))
    except EntryRefused:
        key = None
    return Live(cases, name, journey_id(parsed, key))


def _virtual(live: Live) -> CaseRun:
    root = live.handle.first_execution_run_id or ""
    return run(live.cases, live.name, Circumstances(platform=PlatformDates(ZONE), start=live.start, root=root))


def _after(live: Live, one: Any) -> timedelta:
    if one.at is None:
        return one.after or timedelta(0)
    moment, plan = datetime.fromisoformat(one.at), live.cases.draft.plan
    zone = zone_of(live.cases.entries[live.name]["contact"].get("timezone"), plan.zone)
    return max(timedelta(0), (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - live.start)


def _happenings(lives: list[Live]) -> Iterator[tuple[timedelta, Live, Callable[[Live], Any]]]:
    for live in lives:
        case = live.cases.file.cases[live.name]
        for event in case.events:
            told = {"name": event.name, "properties": event.properties}
            yield _after(live, event), live, lambda live, told=told: _signal(live, "event", told)
        for change in case.changes:
            patch = change.contact
            yield _after(live, change), live, lambda live, patch=patch: _signal(live, "contact_changed", patch)
        for index, operation in enumerate(case.operations):
            yield (
                _after(live, operation),
                live,
                lambda live, index=index, operation=operation: _operate(live, index, operation),
            )


async def _signal(live: Live, name: str, argument: Mapping[str, Any]) -> None:
    if (await live.handle.describe()).close_time is None:
        await live.handle.signal(name, argument)


async def _operate(live: Live, index: int, operation: Any) -> None:
    is_step = operation.verb in ("retry", "skip")
    update = f"{operation.verb}_step" if is_step else operation.verb
    argument: dict[str, Any] = {"operator": "an operator", "reason": "as the case says" if is_step else operation.says}
    argument |= {"step": operation.says} if is_step else {}
    argument |= {name: True for name in ("now", "anew") if getattr(operation, name)}
    try:
        await cast("Any", live.handle).execute_update(update, argument)
    except WorkflowUpdateFailedError:
        live.refused.add(index)


async def _result(live: Live, course: CaseRun) -> dict[str, Any]:
    if course.ends in ("held", "waiting", "paused"):
        return await live.handle.query("progress")
    return await live.handle.result()


def _differences(live: Live, result: dict[str, Any], course: CaseRun) -> list[Any]:
    if course.refused is not None:
        return [] if (result["outcome"], result["reason"]) == ("refused", course.refused) else [result, course.refused]
    stands = "state" in result
    over = course.steps[:-1] if stands else course.steps
    found: list[Any] = []
    if not stands and (result["outcome"], result["reason"]) != (course.ends, course.reason):
        found.append((result["outcome"], result["reason"], course.ends, course.reason))
    if stands and (result["state"], result["at"]) != (course.ends, course.steps[-1].step):
        found.append((result["state"], result["at"], course.ends, course.steps[-1].step))
    if course.ends == "held":
        held, last = result["waiting"], course.steps[-1]
        if (held.get("attempts"), held.get("status")) != (last.attempts, last.status):
            found.append((held, last))
    if [_record(step) for step in result["steps"]] != [_record(_as_record(got)) for got in over]:
        found.append((result["steps"], over))
    for step, got in zip(result["steps"], over, strict=False):
        if abs(datetime.fromisoformat(step["at"]) - got.at) > CLOSE:
            found.append((step, got.at))
    sent = {step: [_bytes(message) for message in messages] for step, messages in course.sent.items()}
    found += [
        (step, sent.get(step), live.sent.get(step))
        for step in {*sent, *live.sent}
        if sent.get(step) != live.sent.get(step)
    ]
    if live.refused != {place[1] for place in course.rejected if place[0] == "operations"}:
        found.append((live.refused, course.rejected))
    return found


_KEYS = ("id", "kind", "outcome", "reason", "status", "attempts", "note", "way")


def _record(step: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(step.get(key) for key in _KEYS)


def _as_record(got: StepRun) -> dict[str, Any]:
    return {"id": got.step, **{key: getattr(got, key) for key in _KEYS[1:]}}


def _bytes(message: Result) -> Any:
    match message:
        case RenderedRequest():
            return (message.method, message.url, dict(message.headers), message.body)
        case RenderedMail():
            return DATE.sub(b"", message.envelope.message)
        case RenderedText():
            return (message.to, message.text)
        case _:
            raise AssertionError("nothing is sent of that")
