"""The way of a contact through a plan, as a journey would take it, on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any, Final

from activities.interface import Delivery
from activities.webhook.outcome import SavedResponse
from authoring.preview.draft import Draft
from authoring.preview.rendering import ROOT, EmptyOutput, MessageRenderer, NothingToSend, RenderProblem, Result
from authoring.preview.responses import keep
from authoring.virtual.host import Clock, VirtualHost, Workspace
from scenario import liquid
from scenario.entry.objects import event_root
from scenario.entry.values import DEFAULT_PLATFORM, PlatformDates
from scenario.plan import plan
from scenario.policies.order import Defer, Hold, Skip
from scenario.policies.policies import Policies
from scenario.steps.base import BaseStep, Row
from scenario.steps.delivery import CAPPED, REFUSED_ANSWER, DeliveryStep, Send
from scenario.steps.host import Delivered, Failed, Leave, Next, NotBefore, Outcome, evaluate
from scenario.steps.host import Event as KeptEvent
from scenario.steps.webhook import Webhook
from scenario.time import format_duration, later
from scenario.words import BATCHED

_MINUTE: Final = timedelta(minutes=1)
"""A time of day counts this long."""

Branch = tuple[tuple[str, str], ...]  # the branches that contain a step: step ids, each with its branch


@dataclass(frozen=True)
class GivenEvent:
    """An event that occurs as soon as a step awaits it."""

    name: str
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class PreviewInputs:
    """The circumstances of a preview."""

    at: datetime | None = None  # time of the entry, without a zone in the contact's; None: now
    events: Sequence[GivenEvent] = ()
    responses: Mapping[str, Any] = field(default_factory=dict[str, Any])  # responses of webhooks with `save:`, by name
    platform: PlatformDates = DEFAULT_PLATFORM
    renderer: MessageRenderer = field(default_factory=MessageRenderer)
    policies: Policies = field(default_factory=Policies)


@dataclass(frozen=True, kw_only=True)
class StepPreview:
    """A step of a preview."""

    id: str
    row: Row
    branch: Branch
    taken: bool  # True if the contact reaches it
    reachable: bool  # True if only events or chance keep the contact away
    began: datetime  # its start on the virtual clock, in UTC
    outcome: str
    """``sent``, ``skipped``; ``waited``; ``event``, ``timeout``; ``then``, ``case``, ``else``; a split's branch;
    ``exited``; or the effect of `on_failure`: ``held``, ``failed``."""
    reason: str | None = None
    until: datetime | None = None  # end of its wait, in UTC
    way: str | None = None  # the branch taken, if the outcome does not name it
    note: str | None = None  # the draw, if chance decides
    result: Result | None = None
    empty: tuple[EmptyOutput, ...] = ()  # outputs of the result that printed nothing
    delivery: Delivery | None = None

    @property
    def problem(self) -> RenderProblem | None:
        return self.result if isinstance(self.result, RenderProblem) else None


@dataclass(frozen=True)
class _Position:
    """The contact's state: time, last event, responses, and whether it is or might be here."""

    now: datetime
    taken: bool = True
    reachable: bool = True
    event: Mapping[str, Any] | None = None
    responses: Mapping[str, Any] = field(default_factory=dict[str, Any])
    skips: bool = False  # True until the next wait of the list, after a date that is past


class PreviewRun:
    """Visits all steps, on the contact's way and beside it.

    `data` has variables by root name, without `now`, `today` and the last event.
    """

    def __init__(
        self, draft: Draft, data: Mapping[str, Any], zone: tzinfo, given: PreviewInputs, *, version: str
    ) -> None:
        self._draft, self._zone, self._given, self._version = draft, zone, given, version
        self._data, self._workspace, self._taken = dict(data), Workspace(given.policies), True
        self._names = {id(step): name for name, step in draft.steps.items()}
        self._passed: list[StepPreview] = []
        self._result: Result | None = None
        self._empty: tuple[EmptyOutput, ...] = ()
        self._delivery: Delivery | None = None

    def go(self, start: datetime) -> list[StepPreview]:
        self._passed = []
        self._through(self._draft.scenario.steps, _Position(start), ())
        return self._passed

    def _through(self, steps: Sequence[BaseStep], here: _Position, branch: Branch) -> _Position:
        ahead: _Position | None = None  # contacts that skip the steps up to the next wait
        for step in steps:
            if ahead is not None and step.waits:
                here, ahead = ahead, None
            here = self._step(step, here, branch)
            if here.skips:
                ahead = replace(here, skips=False)
                here = replace(ahead, taken=False, reachable=False)
        return ahead or here

    def _host(self, here: _Position, step: BaseStep | None = None) -> VirtualHost:
        """Return a host at a step, where the given events occur, also for ``since: now``."""
        deliver = partial(self._deliver, step)
        host = VirtualHost(Clock(here.now), self._data, self._zone, deliver, event=here.event, responses=here.responses)
        host.begin("" if step is None else self._names[id(step)])
        for event in self._given.events:
            host.happen(KeptEvent(name=event.name, properties=dict(event.properties), at=utc(here.now)))
        return host

    def _step(self, step: BaseStep, here: _Position, branch: Branch) -> _Position:
        name = self._names[id(step)]
        row = self._draft.plan.steps[name]
        host, self._taken = self._host(here, step), here.taken
        self._result, self._empty, self._delivery = None, (), None
        journey = host.clock.start(row.perform(host))
        host.clock.run()
        went = journey.result
        record = host.records[-1] if host.records else None
        reason = record.reason if record else None
        passed = StepPreview(
            id=name,
            row=row,
            branch=branch,
            taken=here.taken,
            reachable=here.reachable,
            began=here.now,
            # Without a word from the step it waits for an event forever: shown as if that had come.
            outcome=record.outcome if record else "held" if host.held else "event",
            way=record.way if record else next((way for way, name in row.awaited.items() if way == name), None),
            note=record.note if record else None,
            until=_end(host),
            result=self._result,
            empty=self._empty,
            delivery=self._delivery,
        )
        ended, has_lists = isinstance(went, Leave), any(True for _ in step.lists(step.keys()))
        if (host.held or passed.outcome == "failed") and not isinstance(passed.result, RenderProblem):
            said = host.held.reason if host.held else reason or ""
            error, data = host.fault or (None, dict[str, Any]())
            passed = replace(passed, until=None, result=RenderProblem(said, error, data, host.unread))
        if passed.problem is not None:
            reason = passed.problem.message
        elif not has_lists:
            pass
        elif row.awaited and row.again is None:
            reason = self._awaited(row, host, for_ever=record is None)
        elif len(row.ways) > 1 and row.again is None:
            reason = reason or (None if (row.asked or "") in row.describe() else row.asked)
        self._passed.append(replace(passed, reason=reason))
        after = replace(here, now=host.clock.now, event=host.memory.event, responses=host.memory.responses)
        if ended:
            return replace(after, taken=False, reachable=False)
        if not has_lists:
            return replace(after, skips=isinstance(went, Next) and went.way is not None)
        end = self._fork(passed, step, here, host, went)
        is_round = isinstance(went, Next) and went.way == row.again
        return self._rounds(row, step, here, end, host) if is_round and end.taken == here.taken else end

    def _rounds(self, row: Row, step: BaseStep, here: _Position, end: _Position, host: VirtualHost) -> _Position:
        """Continue after the first round, which alone is shown, as if all rounds took as long."""
        took = end.now - here.now
        while (rounds := host.memory.rounds.get(host.step)) is not None:
            again = self._host(end, step)
            again.memory.rounds[host.step] = replace(rounds, mark=0)  # events occur within a round
            journey = again.clock.start(row.perform(again))
            again.clock.run()
            host, went = again, journey.result
            end = replace(end, now=host.clock.now, event=host.memory.event)
            if not isinstance(went, Next) or went.way != row.again:
                break
            end = replace(end, now=later(end.now, took.total_seconds()))
        return end

    async def _deliver(self, step: BaseStep | None, host: VirtualHost, row: Send) -> Delivered | Failed | NotBefore:
        delivery = self._delivery = host.delivery_of(
            row,
            identifier=self._given.renderer.identify(host.step),
            version=self._version,
            now=host.local(host.now()),
            root=ROOT,
        )
        assert isinstance(step, DeliveryStep)  # noqa: S101 no other step is delivered
        journey = str(self._data["journey"]["id"])
        with liquid.record_empty_outputs() as empty:
            result = self._result = self._given.renderer.render(step, delivery, journey, self._draft.scenario)
        self._empty = EmptyOutput.all_of(empty)
        match result:
            case RenderProblem():
                return Failed(reason=result.message)
            case NothingToSend():
                return Delivered(outcome="skipped", reason=result.reason)
            case _:
                pass
        # Messages beside the contact's way take no places.
        met = self._workspace if self._taken else replace(self._workspace, places=[*self._workspace.places])
        match await met.ask(host, self._draft.scenario, step, row, delivery.id):
            case Defer(moment, since):
                return NotBefore(moment=moment, since=since)
            case Skip(reason):
                self._result = NothingToSend(reason)
                return Delivered(outcome="skipped", reason=reason)
            case Hold(reason):
                return Failed(reason=reason, cause=CAPPED)
            case None if row.batch is not None and isinstance(step, Webhook) and step.batch is not None:
                if row.batch.wait:
                    await host.wait(later(host.now(), row.batch.within), "its batch", lambda: False)
                size, within = step.batch.size, format_duration(step.batch.within)
                said = f"one of up to {size:,} contacts in a request, {within} after the first or when it is full"
                return Delivered(outcome="sent" if row.batch.wait else BATCHED, reason=said)
            case None:
                value, note = self._answered(step)
                if row.required and note is not None and value is None:
                    return Delivered(outcome=REFUSED_ANSWER, note=note)
                return Delivered(outcome="sent", reason=note if value is None else None, saved=value)

    def _answered(self, step: BaseStep) -> SavedResponse:
        save = step.saved
        if save is None or save.name not in self._given.responses:
            return SavedResponse()
        return keep(save, self._given.responses[save.name])

    def _awaited(self, row: Row, host: VirtualHost, *, for_ever: bool) -> str:
        if host.matched_event is not None:
            return f"{host.matched_event['name']} comes"
        names = list(row.awaited.values())
        given = any(event.name in names for event in self._given.events)
        missing = f"{' or '.join(names)} {'does not fulfil its condition' if given else 'is not given'}"
        return f"{missing}: it would wait forever; from here on as if the event had come" if for_ever else missing

    def _fork(
        self, passed: StepPreview, step: BaseStep, here: _Position, host: VirtualHost, went: Outcome | None
    ) -> _Position:
        row = passed.row
        way = went.way if isinstance(went, Next) else None if host.held else next(iter(row.awaited))
        lists = {key: steps for key, _, steps in step.lists(step.keys())}
        conditions = {awaited.way: awaited.condition for awaited in step.awaits(step.keys())}
        ends: dict[str, _Position] = {}
        # Another contact with the same data may draw another way: a mistake there is one.
        open_ways = {key for key, share in row.lot.shares.items() if share} if row.lot and way else set[str]()
        for key in row.ways:
            entered = self._entered(row, key, here, host)
            if key not in open_ways and (
                key != way
                if not row.awaited  # it is not left to events
                else key in conditions and self._met(here, row.awaited[key], conditions[key]) is False
            ):
                entered = replace(entered, reachable=False)
            inside = replace(entered, taken=here.taken and key == way)
            ends[key] = self._through(lists.get(key) or (), inside, (*passed.branch, (passed.id, key)))
        if way is None:
            return here
        end, others = ends[way], [other for key, other in ends.items() if key != way]
        reachable = end.reachable or any(other.reachable for other in others)
        # If the branch ends the journey, later steps are shown as after another branch.
        ended = not end.taken if here.taken else not end.reachable and any(other.reachable for other in others)
        if ended:
            end = next((other for other in others if other.reachable), others[0])
        return replace(end, reachable=reachable)

    def _entered(self, row: Row, way: str, here: _Position, host: VirtualHost) -> _Position:
        """Return the state at the start of a branch; of one that is not taken, as far as it can be guessed."""
        name = row.awaited.get(way)
        if name is not None:
            # The best guess at an event is one that was given.
            given = next((event for event in self._given.events if event.name == name), GivenEvent(name))
            guess = event_root(name, utc(here.now), given.properties)
            met = host.matched_event
            return replace(here, event=met if met is not None and met["name"] == name else guess)
        return here if host.memory.until is None else replace(here, now=host.memory.until)

    def leaves(self, rule: plan.PlannedExit, start: datetime) -> bool:
        """Return True if a given event would end the journey by a rule, at its start."""
        return self._met(_Position(start), rule.event, rule.condition) is True

    def _met(self, here: _Position, name: str, condition: str | None) -> bool | None:
        """Return True if a given event of a name fulfils a condition, or None if there is no such event."""
        host = self._host(here)
        named = [event for event in host.kept if event.name == name]
        if condition is None or not named:
            return True if named else None
        answers = [host.clock.start(evaluate(host, condition, "condition", event=event)) for event in named]
        host.clock.run()
        return any(answer.result is not None and answer.result.value is True for answer in answers)


def _end(host: VirtualHost) -> datetime | None:
    """Return when a step's wait ends: with the event that met it, if any. None if it does not wait, or is deferred."""
    until = host.memory.until
    end = until if until is not None and host.matched_event is None else host.clock.now
    return end if end > host.began or (end == until and end + _MINUTE > host.began) else None


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
