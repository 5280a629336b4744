"""Runs a case: a journey in virtual time, with the case's answers and events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from http import HTTPStatus
from typing import Any, Final

from activities.channel import AttemptReply
from activities.channel_registry import CHANNELS
from activities.redaction import KnownSecrets
from activities.webhook import outcome
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import SavedResponse, is_deferred, item_outcomes, not_delivered, save_response
from authoring.cases.file import Cases
from authoring.cases.model import Case, CaseEvent, Occurrence, ScriptedAnswer
from authoring.errors import BadInput
from authoring.preview.draft import VERSION
from authoring.preview.rendering import ROOT, MessageRenderer, NothingToSend, RenderProblem, Result
from authoring.virtual.host import Clock, PlaceClaim, Record, Workspace
from authoring.virtual.journey import OperationRefused, VirtualJourney, deliver
from scenario.entry.admission import EntryRefused, check_rules, check_trigger, entry_data, key_of, withheld
from scenario.entry.entry import journey_id, parse_entry
from scenario.entry.values import DEFAULT_PLATFORM, PlatformDates
from scenario.errors import EntryError, ScenarioError
from scenario.model.batch import BatchCall, value_at_path
from scenario.policies.suppression import Suppression
from scenario.source.source import Path as Place
from scenario.steps.delivery import DeliveryStep, Send
from scenario.steps.host import Delivered, Event, Failed, NotBefore
from scenario.steps.registry import suppression_sources
from scenario.steps.webhook import Webhook
from scenario.time import later, zone_of
from scenario.words import PROVIDER_EVENTS

_MOST: Final = 10_000
_OPERATOR: Final = "an operator"
_ASKED: Final = "as the case says"


@dataclass(frozen=True)
class Circumstances:
    """The circumstances of all cases."""

    platform: PlatformDates = DEFAULT_PLATFORM
    renderer: MessageRenderer = field(default_factory=MessageRenderer)
    """Renders messages, without the destinations of the case files."""
    start: datetime | None = None  # time of all entries, or None for the cases' own
    root: str = ROOT  # the run id for delivery ids


@dataclass(frozen=True, kw_only=True)
class StepRun(Record):
    """One step of a run, with its kind and message.

    If the journey stops there, `outcome` is ``held``, ``paused`` or ``waiting``, and `at` the end of its wait, or the
    time at which nothing more happens.
    """

    kind: str
    sends: bool
    message: Result | None

    @property
    def passed(self) -> bool:
        """True if the contact took the step; of a delivery, if there was something to send."""
        return self.tried or not self.sends

    @property
    def tried(self) -> bool:
        return self.message is not None and not isinstance(self.message, NothingToSend)


@dataclass(frozen=True, kw_only=True)
class CaseRun:
    """The run of a case."""

    refused: str | None = None  # why the contact was not admitted, or None
    steps: tuple[StepRun, ...] = ()
    ends: str = ""
    """``finished``, ``exited``, ``control``, ``holdout``; ``held``, ``paused`` or ``waiting``; empty if refused."""
    reason: str = ""
    sent: Mapping[str, Sequence[Result]] = field(default_factory=dict[str, Sequence[Result]])
    """Messages of all attempts, by step."""
    failed: str | None = None  # why the case cannot be run: a malformed entry, or no end
    rejected: Mapping[Place, str] = field(default_factory=dict[Place, str])
    """Operations that were not accepted, by their place in the case."""


class _RecordedJourney(VirtualJourney):
    """A journey that records the message of each step."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self.steps: list[StepRun] = []
        super().__init__(*given, **more)

    def begin(self, step: str) -> None:
        super().begin(step)
        self.message: Result | None = None
        self.first_data: Any = None

    def record(self, *given: Any, **more: Any) -> None:
        super().record(*given, **more)
        self.steps.append(self.step_run(self.records[-1]))

    def step_run(self, record: Record) -> StepRun:
        row = self.plan.steps[record.step]
        return StepRun(**vars(record), kind=row.kind, sends=isinstance(row, Send), message=self.message)


def run(cases: Cases, name: str, circumstances: Circumstances) -> CaseRun:
    try:
        return _CaseRunner(cases, name, circumstances).course()
    except (BadInput, EntryError) as error:
        return CaseRun(failed=str(error))


class _CaseRunner:
    def __init__(self, cases: Cases, name: str, circumstances: Circumstances) -> None:
        self._cases, self._name, self._around = cases, name, circumstances
        self._case: Case = cases.file.cases[name]
        self._renderer = replace(circumstances.renderer, book=cases.book)
        self._replies: dict[str, Iterator[AttemptReply]] = {}
        self._rejected: dict[Place, str] = {}
        self._sent: dict[str, list[Result]] = {}
        self._latest: dict[str, tuple[str, str]] = {}  # step and delivery id of the latest message, by channel

    def course(self) -> CaseRun:
        scenario, plan = self._cases.draft.scenario, self._cases.draft.plan
        platform = self._around.platform
        if (order := self._case.dates or self._cases.file.dates) is not None:
            platform = replace(platform, order=order)
        entry = parse_entry({**self._cases.entries[self._name], "scenario": scenario.scenario})
        zone = zone_of(entry.contact.get("timezone"), plan.zone)
        start = self._around.start or _moment(self._case.at or self._cases.file.at or "", zone)
        data = entry_data(entry, scenario, VERSION, platform, start)
        try:
            check_trigger(entry, scenario)
            check_rules(scenario, data)
            identifier = journey_id(entry, key_of(entry, scenario, data))
        except (EntryRefused, EntryError) as error:
            return CaseRun(refused=str(error))
        if kept := withheld(scenario, entry.contact_id, self._cases.policies.holdout):
            return CaseRun(ends=kept.outcome, reason=kept.reason)
        data = {root: value for root, value in data.items() if root not in ("now", "today", "responses")}
        data["journey"] = {**data["journey"], "id": identifier}
        clock = Clock(start)
        journey = _RecordedJourney(clock, plan, data, platform, self._send, root=self._around.root)
        self._workspace = self._workspace_of(start, zone)
        clock.start(journey.run())
        for moment, action in self._happenings(journey, start, zone):
            clock.at(moment, action)
        clock.run()
        return self._result(journey)

    def _workspace_of(self, start: datetime, zone: tzinfo) -> Workspace:
        case = self._case
        suppressions = [
            Suppression(channel, "", known, start)
            for channel, source in case.suppressed.items()
            for known in suppression_sources(channel)
            if known == source
        ]
        places: list[PlaceClaim] = []
        for number, one in enumerate(case.sent):
            length = (one.after or timedelta(0)) - (one.before or timedelta(0))
            moment = _moment(one.at, zone) if one.at else later(start, length.total_seconds())
            kind = next((kind for kind in CHANNELS if kind == one.by), "")
            places.append(PlaceClaim(f"other-{number}", kind, "" if kind else one.by, moment))
        return Workspace(self._cases.policies, suppressions, places)

    def _happenings(
        self, journey: VirtualJourney, start: datetime, zone: tzinfo
    ) -> Iterator[tuple[datetime, Callable[[], None]]]:
        case = self._case
        lists: Sequence[tuple[str, Sequence[Occurrence], Callable[[Any], None]]] = (
            ("events", case.events, lambda one: journey.happen(self._event(one))),
            ("changes", case.changes, lambda one: journey.change(one.contact)),
            ("operations", case.operations, lambda one: _operate(journey, one)),
        )
        for key, happenings, action in lists:
            for index, one in enumerate(happenings):
                after = one.after.total_seconds() if one.after else 0
                moment = _moment(one.at, zone) if one.at else later(start, after)
                if moment < start and self._around.start is None:
                    self._rejected[(key, index)] = "this is before the contact comes in"
                    continue
                yield moment, lambda place=(key, index), action=action, one=one: self._do(place, action, one)

    def _event(self, one: CaseEvent) -> Event:
        """Return an event. One from a provider is about the latest message on its channel, unless the case differs."""
        channel, _, _ = one.name.partition(".")
        step, delivery = self._latest.get("webhook" if channel == "whatsapp" else channel, ("", ""))
        known = {"step": step, "delivery": delivery} if one.name in PROVIDER_EVENTS else {}
        return Event(name=one.name, properties={**known, **one.properties})

    def _do(self, place: Place, action: Callable[[Any], None], one: Occurrence) -> None:
        try:
            action(one)
        except (OperationRefused, ScenarioError) as error:
            self._rejected[place] = str(error)

    async def _send(self, journey: _RecordedJourney, row: Send) -> Delivered | Failed | NotBefore:
        if row.destination and self._renderer.book and (found := self._renderer.book.get(row.to)):
            row = row.as_asked(found.retry, found.timeout)
        step, draft = journey.step, self._cases.draft
        written = draft.steps[step]
        assert isinstance(written, DeliveryStep)  # noqa: S101 no other step is delivered
        whole = journey.data()
        delivery = journey.delivery_of(
            row,
            identifier=journey.delivery,
            version=f"{draft.scenario.scenario}@{VERSION}",
            now=journey.seen or "",
            root=journey.root,
        )
        data = delivery.data
        journey.first_data = data if journey.first_data is None else journey.first_data
        again = None if journey.first_data == data else "rendered again: the contact has changed"
        journey.message = self._renderer.render(written, delivery, str(whole["journey"]["id"]), draft.scenario)
        match journey.message:
            case RenderProblem(message):
                return Failed(reason=message, cause="template", destination=row.to or row.channel)
            case NothingToSend(reason):
                return Delivered(outcome="skipped", reason=reason, attempts=1)
            case _:
                pass
        coming = self._replies_to(step, journey.message)
        if isinstance(written, Webhook) and (batch := written.batch) is not None:
            key = value_at_path({**data, "contact": whole["contact"]}, batch.key or "contact.id")
            coming = (_of_item(batch, reply, key) for reply in coming)
        last: list[AttemptReply] = []
        made = await deliver(
            journey,
            row,
            coming,
            lambda reply: last.append(reply) or self._keep(step, reply),
            lambda: self._workspace.ask(journey, draft.scenario, written, row, delivery.id),
        )
        if last and isinstance(made, Delivered) and isinstance(written, Webhook) and written.batch is not None:
            made = _item_outcome(written.batch, made, last[-1], row, {**data, "contact": whole["contact"]})
        if last:
            self._latest[row.channel] = step, delivery.id
        match made:
            case NotBefore():
                journey.message = None if journey.made is None else journey.message
                return made
            case Delivered(outcome="skipped"):
                journey.message = NothingToSend(made.reason or "")
                self._workspace.release(delivery.id)
            case Failed(unknown=False):
                self._workspace.release(delivery.id)
            case _:
                pass
        return replace(made, note="; ".join(filter(None, (again, made.note))) or None)

    def _replies_to(self, step: str, message: Result) -> Iterator[AttemptReply]:
        answers = {**self._cases.file.answers, **self._case.answers}.get(step, ())
        for reply in self._replies.setdefault(step, replies(step, answers)):
            self._sent.setdefault(step, []).append(message)
            yield reply

    def _keep(self, step: str, reply: AttemptReply) -> SavedResponse:
        save = self._cases.draft.steps[step].saved
        if save is None:
            return SavedResponse()
        return save_response(save, Response(200, reply.headers, reply.body), KnownSecrets())

    def _result(self, journey: _RecordedJourney) -> CaseRun:
        steps, held = journey.steps, journey.held
        if journey.ending is not None:
            ends, reason = journey.ending.outcome, journey.ending.reason
        else:
            ends = "held" if held else "paused" if journey.paused else "waiting"
            reason, status, attempts = (held.reason, held.status, held.attempts or None) if held else ("", None, None)
            at = (journey.memory.until or journey.now()).astimezone(journey.zone)
            steps.append(journey.step_run(Record(journey.step, ends, at, reason or None, status, attempts)))
        return CaseRun(steps=tuple(steps), ends=ends, reason=reason, sent=self._sent, rejected=self._rejected)


def _of_item(batch: BatchCall, reply: AttemptReply, key: str) -> AttemptReply:
    """Return the reply to a batch of one contact: that for the contact, if the receiver wants it later."""
    status = reply.status or HTTPStatus.OK
    if reply.error is not None or not outcome.of_status(status).delivered:
        return reply
    (one,), _ = item_outcomes(batch, Response(status, reply.headers, reply.body), [key])
    return replace(reply, status=one.status) if is_deferred(one) else reply


def _item_outcome(
    batch: BatchCall, made: Delivered, reply: AttemptReply, row: Send, data: Mapping[str, Any]
) -> Delivered | Failed:
    """Return the outcome of a contact that is alone in its batch, as the response states it."""
    response = Response(made.status or 200, reply.headers, reply.body)
    (one,), _ = item_outcomes(batch, response, [value_at_path(data, batch.key or "contact.id")])
    if one.outcome == "delivered":
        return made
    return Failed(
        reason=not_delivered(row.to, one.outcome, one.reason),
        cause="unknown" if one.outcome == "unknown" else "permanent",
        destination=row.to,
        status=made.status,
        attempts=made.attempts or 1,
        unknown=one.outcome == "unknown",
    )


def _operate(journey: VirtualJourney, one: Any) -> None:
    is_step = one.verb in ("retry", "skip")
    reason = _ASKED if is_step else one.says
    journey.operate(one.verb, one.says if is_step else None, _OPERATOR, reason, now=one.now, anew=one.anew)


def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def replies(step: str, answers: Sequence[ScriptedAnswer]) -> Iterator[AttemptReply]:
    """Yield the results of attempts at a step: the case's, then successes."""
    left = _MOST
    for answer in answers:
        times = left if answer.times == "always" else min(answer.times, left)
        body = "" if answer.body is None else answer.body
        content = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        for _ in range(times):
            yield AttemptReply(status=answer.status, headers=headers, body=content.encode(), error=answer.error)
        left -= times
    for _ in range(left):
        yield AttemptReply()
    remedy = "give it a longer interval, or another answer"
    raise BadInput(f"step '{step}' is attempted more than {_MOST:,} times: {remedy}")
