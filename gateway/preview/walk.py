"""The way of one contact through a plan, as a journey would take it, with a clock that does not wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from activities.signatures import Delivery
from gateway.preview.draft import Draft
from gateway.preview.rendering import ROOT, Nothing, Problem, Result, Workshop
from gateway.preview.saving import keep
from gateway.preview.waits import later, wait_end
from scenario import liquid, plan
from scenario.compile import branches
from scenario.context import event_root, pick
from scenario.errors import EntryError, TemplateError
from scenario.model import Webhook
from scenario.steps import Step
from workflows.delivery import CALLBACK

Way = Literal["then", "else"]


@dataclass(frozen=True)
class Event:
    """Something that happens to the contact, as soon as a step waits for it.

    Attributes:
        name: Such as ``order.delivered``.
        properties: What conditions see as ``event.…``.
    """

    name: str
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Passed:
    """One step of the preview.

    Attributes:
        id: The step's.
        row: The step in the plan.
        branch: The forks that it stands behind: each a step's id, and which way.
        taken: Whether the contact comes by.
        reachable: Whether it might: by no condition is it kept away, be it that events decide.
        began: When, by the preview's clock; in UTC.
        outcome: ``sent``, ``skipped``; ``waited``; ``event``, ``timeout``; ``then``, ``else``; ``exited``; or, where
            it cannot be performed, what `on_failure` makes of it: ``held``, ``failed``.
        reason: Why, where that is not plain.
        until: When its wait ends, in UTC.
        result: What it would send, or why it cannot.
    """

    id: str
    row: plan.Step
    branch: tuple[tuple[str, Way], ...]
    taken: bool
    reachable: bool
    began: datetime
    outcome: str
    reason: str | None = None
    until: datetime | None = None
    result: Result | None = None

    @property
    def problem(self) -> Problem | None:
        """Why it cannot be performed, if it cannot."""
        return self.result if isinstance(self.result, Problem) else None


@dataclass(frozen=True)
class _Here:
    """Where the contact is: the time, the last event, the responses kept; and whether it is there, or might be."""

    now: datetime
    taken: bool = True
    reachable: bool = True
    event: Mapping[str, Any] | None = None
    responses: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Walk:
    """Goes through all steps, those on the contact's way and those beside it.

    Args:
        draft: The scenario.
        data: What templates and conditions see, by root; without `now`, `today` and the last event.
        zone: The contact's.
        workshop: Renders.
        events: What happens to the contact.
        responses: What webhooks with a `save:` get for an answer, by its name.
        version: ``post-purchase@3``.
    """

    def __init__(
        self,
        draft: Draft,
        data: Mapping[str, Any],
        zone: tzinfo,
        workshop: Workshop,
        *,
        version: str,
        events: Sequence[Event] = (),
        responses: Mapping[str, Any] | None = None,
    ) -> None:
        self._draft, self._zone, self._workshop, self._version = draft, zone, workshop, version
        self._events, self._responses = events, responses or {}
        self._data = dict(data)
        self._names = {id(step): name for name, step in draft.steps.items()}
        self._passed: list[Passed] = []

    def go(self, start: datetime) -> list[Passed]:
        """All steps, in the order of the file.

        Args:
            start: When the contact comes in.
        """
        self._passed = []
        self._through(self._draft.scenario.steps, _Here(start), ())
        return self._passed

    def data(self, here: _Here) -> dict[str, Any]:
        """What conditions see."""
        now = self._local(here.now)
        return {**self._seen(here), "now": now, "today": now[:10]}

    def _seen(self, here: _Here) -> dict[str, Any]:
        seen = {**self._data, "responses": here.responses}
        return seen if here.event is None else {**seen, "event": here.event}

    def _local(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).isoformat(timespec="seconds")

    def _through(self, steps: Sequence[Step], here: _Here, branch: tuple[tuple[str, Way], ...]) -> _Here:
        for step in steps:
            here = self._step(step, here, branch)
        return here

    def _step(self, step: Step, here: _Here, branch: tuple[tuple[str, Way], ...]) -> _Here:
        name = self._names[id(step)]
        row = self._draft.plan.steps[name]
        passed = Passed(
            id=name,
            row=row,
            branch=branch,
            taken=here.taken,
            reachable=here.reachable,
            began=here.now,
            outcome="",
        )
        match row:
            case plan.Send():
                return self._send(passed, row, step, here)
            case plan.Wait():
                return self._wait(passed, row, here)
            case plan.Exit():
                self._passed.append(replace(passed, outcome="exited", reason=row.reason))
                return replace(here, taken=False, reachable=False)
            case plan.If():
                return self._if(passed, row, step, here)
            case plan.WaitFor():
                return self._wait_for(passed, row, step, here)

    # ---- deliveries

    def _send(self, passed: Passed, row: plan.Send, step: Step, here: _Here) -> _Here:
        delivery = Delivery(
            id=self._workshop.identify(passed.id),
            scenario=self._version,
            step=passed.id,
            contact=str(self._data["contact"]["id"]),
            now=self._local(here.now),
            data=pick(self._seen(here), row.fields, row.items),
            root=ROOT if CALLBACK.intersection(row.fields) else "",
        )
        result = self._workshop.render(step, delivery, str(self._data["journey"]["id"]))
        match result:
            case Problem():
                self._fail(passed, result, row.on_failure)
                return _failed(here, row.on_failure)
            case Nothing():
                self._passed.append(replace(passed, outcome="skipped", reason=result.reason, result=result))
            case _:
                note, here = self._answered(step, here)
                self._passed.append(replace(passed, outcome="sent", reason=note, result=result))
        return here

    def _answered(self, step: Step, here: _Here) -> tuple[str | None, _Here]:
        """What becomes of the response: why it is not kept, or None; and where the contact is with it."""
        if not isinstance(step, Webhook) or step.save is None or step.save.name not in self._responses:
            return None, here
        value, note = keep(step.save, self._responses[step.save.name])
        if value is None:
            return note, here
        return None, replace(here, responses={**here.responses, step.save.name: value})

    def _fail(self, passed: Passed, problem: Problem, on_failure: str) -> None:
        outcome = "held" if on_failure == "hold" else "failed"
        self._passed.append(replace(passed, outcome=outcome, reason=problem.message, result=problem))

    # ---- waits

    def _wait(self, passed: Passed, row: plan.Wait, here: _Here) -> _Here:
        try:
            until = max(wait_end(row, here.now, self._zone, self.data(here)), here.now)
        except TemplateError as error:
            problem = Problem(f"the date cannot be worked out: {error}", error, self.data(here))
        except EntryError as error:
            problem = Problem(str(error))
        else:
            self._passed.append(replace(passed, outcome="waited", until=until))
            return replace(here, now=until)
        self._fail(passed, problem, row.on_failure)
        return _failed(here, row.on_failure)

    # ---- forks

    def _if(self, passed: Passed, row: plan.If, step: Step, here: _Here) -> _Here:
        try:
            way: Way | None = "then" if liquid.evaluate_condition(row.condition, self.data(here)) else "else"
        except TemplateError as error:
            problem = Problem(f"the condition cannot be worked out: {error}", error, self.data(here))
            self._fail(passed, problem, "hold")
            way = None
        else:
            self._passed.append(replace(passed, outcome=way, reason=row.condition))
        ways = {side: replace(here, reachable=here.reachable and side == way) for side in ("then", "else")}
        return self._fork(passed, step, here, way, ways)

    def _wait_for(self, passed: Passed, row: plan.WaitFor, step: Step, here: _Here) -> _Here:
        over = None if row.seconds is None else later(here.now, row.seconds)
        named = [event for event in self._events if event.name == row.event]
        met = next((event for event in named if self._satisfies(row, event, here)), None)
        way: Way
        if met is not None:
            way, outcome, reason = "then", "event", f"{row.event} comes"
        elif over is None:
            way, outcome = "then", "event"
            missing = "does not fulfil its condition" if named else "is not given"
            reason = f"{row.event} {missing}: it would wait for ever; from here on as if the event had come"
        else:
            way, outcome = "else", "timeout"
            reason = f"{row.event} does not fulfil its condition" if named else f"{row.event} is not given"
        self._passed.append(replace(passed, outcome=outcome, reason=reason, until=over))
        # Beside the way the best guess at an event is one that was given.
        event = met or next(iter(named), Event(row.event))
        seen = event_root(event.name, here.now.astimezone(UTC).isoformat(), event.properties)
        ways = {"then": replace(here, event=seen), "else": replace(here, now=over or here.now)}
        return self._fork(passed, step, here, way, ways)

    def _satisfies(self, row: plan.WaitFor | plan.ExitRule, event: Event, here: _Here) -> bool:
        if row.condition is None:
            return True
        seen = event_root(event.name, here.now.astimezone(UTC).isoformat(), event.properties)
        try:
            return liquid.evaluate_condition(row.condition, {**self.data(here), "event": seen}) is True
        except TemplateError:
            return False  # as in a journey: it is not the event that was waited for

    def _fork(self, passed: Passed, step: Step, here: _Here, way: Way | None, ways: Mapping[str, _Here]) -> _Here:
        ends: dict[str, _Here] = {}
        for key, steps in branches(step):
            side: Way = "then" if key == "then" else "else"
            inside = replace(ways[side], taken=here.taken and side == way)
            ends[side] = self._through(steps, inside, (*passed.branch, (passed.id, side)))
        if way is None:
            return here
        end, other = ends[way], ends["else" if way == "then" else "then"]
        reachable = end.reachable or other.reachable
        # Where the way ends the journey, what follows is shown as those see it who come by the other.
        ended = not end.taken if here.taken else not end.reachable and other.reachable
        return replace(other if ended else end, reachable=reachable)

    # ---- what would end the journey early

    def leaves(self, rule: plan.ExitRule, start: datetime) -> bool:
        """Whether one of the given events would end the journey by a rule, if it came at the start."""
        here = _Here(start)
        return any(event.name == rule.event and self._satisfies(rule, event, here) for event in self._events)


def _failed(here: _Here, on_failure: str) -> _Here:
    """Behind a step that cannot be performed; one that is held is sent or skipped by an operator in the end."""
    return replace(here, taken=False, reachable=False) if on_failure == "exit" else here
