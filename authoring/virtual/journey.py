"""A whole journey in virtual time: its steps, and the events, changes and operations that reach it.

Activities classify the replies to attempts. The pauses are those of Temporal, with the jitter of the delivery's id.
Beginning a step takes 20 ms. Attempts take no time, and no limit of a destination delays them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from typing_extensions import override

from activities.channel import AttemptReply, adapter
from activities.outcome import DeliveryEnd, end_after
from authoring.virtual.host import Clock, VirtualHost
from scenario.entry.entry import patch_contact
from scenario.entry.values import PlatformDates
from scenario.plan.plan import Plan
from scenario.plan.retry import LAST, lengthen
from scenario.policies.order import Defer, Hold, Ruling, Skip
from scenario.steps.base import Row
from scenario.steps.delivery import CAPPED, REFUSED_ANSWER, Send, delivery_id
from scenario.steps.host import Delivered, Event, Failed, Leave, Next, NotBefore, Outcome, question_of
from scenario.time import later, zone_of
from scenario.words import BATCHED


class Interrupted(BaseException):
    """Stops a step because the contact leaves or an operator skips the step."""


class OperationRefused(Exception):
    """An operation is refused. The text states why."""


@dataclass(frozen=True)
class JourneyEnd:
    """The end of a journey: ``finished``, or ``exited`` with a reason."""

    outcome: str
    reason: str = ""


class AttemptsMade(NamedTuple):
    """The attempts of a delivery before policies deferred it."""

    number: int
    began: datetime  # When the first was scheduled. The deadline counts from then.
    status: int | None = None
    said: str = ""


class VirtualJourney(VirtualHost):
    """A journey of one contact in virtual time, which behaves as `workflows.journey` does.

    `data` is as in `VirtualHost`, with the id in `journey`; `platform` how the platform writes dates; `root`
    the run id from which delivery ids are made. `seen` is the value of `now` in the current delivery's templates, or
    None before it is scheduled; `made` its attempts before it was deferred; `ending` how the journey ended.
    """

    def __init__(
        self,
        clock: Clock,
        plan: Plan,
        data: Mapping[str, Any],
        platform: PlatformDates,
        deliver: Callable[[VirtualJourney, Send], Awaitable[Delivered | Failed | NotBefore]],
        *,
        root: str,
    ) -> None:
        self.plan, self.root = plan, root
        self.ending: JourneyEnd | None = None
        self._platform = platform
        self._leaving: Leave | None = None
        self._skipping: str | None = None
        self._retrying = False
        self._visits: dict[str, int] = {}
        super().__init__(clock, data, zone_of(data["contact"].get("timezone"), plan.zone), deliver)

    async def run(self) -> JourneyEnd:
        at = self.plan.start
        while at is not None:
            row = self.plan.steps[at]
            if any(record.step == at for record in self.records):
                self._visits[at] = self._visits.get(at, 0) + 1
            self.begin(at)
            try:
                if self.paused:
                    await self.clock.wait(self, None, lambda: not self.paused or self._leaving is not None)
                    self.begin(at)
                self.stop_if_interrupted()
                course = await row.perform(self)
                self._skipping = None  # a skip that came too late must not skip the next step
            except Interrupted:
                course = self._interrupted(row)
            match course:
                case Next():
                    at = course.step
                case Leave():
                    return self._end("exited", course.reason)
                case _:
                    raise AssertionError("nothing continues as new here")
        return self._end("finished", "")

    def _interrupted(self, row: Row) -> Outcome:
        if self._leaving is not None:
            self.record("left", self._leaving.reason)
            return self._leaving
        reason, self._skipping = self._skipping, None
        return row.skip(self, reason)

    def _end(self, outcome: str, reason: str) -> JourneyEnd:
        self.ending = JourneyEnd(outcome, reason)
        return self.ending

    @override
    def begin(self, step: str) -> None:
        super().begin(step)
        self.seen: str | None = None
        self.made: AttemptsMade | None = None
        self._retrying = False

    @property
    @override
    def interrupted(self) -> bool:
        return self._leaving is not None or self._skipping is not None

    @override
    def stop_if_interrupted(self) -> None:
        if self.interrupted:
            raise Interrupted

    @override
    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        self.seen = self.seen or self.local(self.now())
        sent = await super().deliver(row)
        self.seen = None if isinstance(sent, NotBefore) and self.made is None else self.seen
        return sent

    @property
    def delivery(self) -> str:
        return delivery_id(self._data["journey"]["id"], self.root, self.step, self._visits.get(self.step, 0))

    @override
    async def decided(self) -> Outcome | None:
        if self.held is not None:
            await self.wait(None, "held", lambda: self._retrying)
            self._retrying, self.held, self.made = False, None, None
        return None

    @override
    def happen(self, event: Event) -> None:
        """End the journey if an exit rule applies. Otherwise keep the event for steps."""
        if self.ending is not None or event.name not in self.plan.events:
            return
        event = replace(event, at=event.at or self.now().isoformat())
        for rule in self.plan.exit:
            if rule.event != event.name:
                continue
            if (
                rule.condition is None
                or self._answer(question_of(self, rule.condition, "condition", event=event)).value is True
            ):
                self._leave(f"event {event.name}")
                return
        super().happen(event)

    def change(self, patch: Mapping[str, Any]) -> None:
        """Change fields of the contact, and compute waits again. Raise EntryError if the patch is malformed."""
        contact = patch_contact(self._data["contact"], patch, self._platform)
        self._data = {**self._data, "contact": contact}
        self.zone = zone_of(contact.get("timezone"), self.plan.zone)
        self.changes += 1
        self.clock.tell(self)

    def operate(
        self, verb: str, step: str | None, operator: str, reason: str, *, now: bool = False, anew: bool = False
    ) -> None:
        """Execute an operation; with `now`, retry regardless of hours and caps; with `anew`, under a new delivery id.

        Raise OperationRefused if it does not apply.
        """
        if self.ending is not None or self._leaving is not None:
            raise OperationRefused("the journey is over")
        if step is not None and step != self.step:
            raise OperationRefused(f"the journey is not at step '{step}', but at '{self.step}'")
        match verb:
            case "retry" if self._retrying or (self.held is None and not (now and self.memory.deferred)):
                raise OperationRefused("nothing to retry: the journey is not held")
            case "retry" if anew and (self.held is None or self.held.cause != REFUSED_ANSWER):
                raise OperationRefused("'anew' is for a step whose response was refused")
            case "retry":
                if anew:
                    self._visits[self.step] = self._visits.get(self.step, 0) + 1
                    self.seen = None
                self._retrying, self.send_now = self.held is not None, now
            case "skip":
                self._skipping = f"skipped by {operator}: {reason}"
            case "leave":
                self._leave(f"left by {operator}: {reason}")
            case "pause" | "resume" if self.paused is (verb == "pause"):
                raise OperationRefused("the journey is paused already" if self.paused else "the journey is not paused")
            case _:
                self.paused = verb == "pause"
        self.clock.tell(self)

    def _leave(self, reason: str) -> None:
        self._leaving = Leave(reason)
        self.clock.tell(self)


async def deliver(
    journey: VirtualJourney,
    row: Send,
    replies: Iterator[AttemptReply],
    took: Callable[[AttemptReply], tuple[Any, str | None]],
    asked: Callable[[], Awaitable[Ruling]],
) -> Delivered | Failed | NotBefore:
    """Make attempts until the delivery ends.

    `row` has its destination's settings. `took` returns what the step saves of the reply of a delivered
    message, and a note. `asked` returns the policies' ruling on an attempt.
    """
    channel = adapter(row.channel)
    policy = row.retry.spread(journey.delivery)
    failed = partial(Failed, destination=row.to or row.channel)
    number, began, status, said = journey.made or AttemptsMade(0, journey.now())
    deadline = later(began, policy.deadline)
    while True:
        now = journey.now()
        match await asked():
            case Skip(reason):
                return Delivered(outcome="skipped", reason=reason, attempts=number + 1)
            case Hold(reason):
                return failed(reason=reason, cause=CAPPED, attempts=number)
            case Defer(moment, since) if number == 0:
                return NotBefore(moment=moment, since=since)
            case Defer(moment, since):
                # Its last chance is just before the deadline, which runs on.
                due = min(moment, deadline - LAST) if deadline - LAST > now else moment
                if due >= deadline:
                    why = f"the deadline passed meanwhile: {since}; before that: {said}"
                    return failed(reason=why, cause="exhausted", attempts=number, status=status)
                journey.made = AttemptsMade(number, began, status, said)
                return NotBefore(moment=due, since=f"{since}; before that: {said}")
            case None:
                pass
        if row.batch is not None and number == 0:
            if not row.batch.wait:
                return Delivered(outcome=BATCHED, attempts=1)
            await journey.wait(later(now, row.batch.within), f"{journey.step}: batch", lambda: False)
            began = now = journey.now()
            deadline = later(began, policy.deadline)
        number += 1
        reply = next(replies)
        verdict, sentence, longest = channel.classify(reply, row, now)
        status = reply.status if reply.error is None else None
        said = reply.error or f"it answered {status}"
        if verdict.delivered:
            saved, note = took(reply)
            answered = status or channel.success
            return Delivered(outcome="delivered", status=answered, attempts=number, note=note, saved=saved)
        allowed, once = policy.maximum_attempts, row.on_unknown != "retry"
        end = end_after(verdict, sentence, number=number, allowed=allowed, waited=now - began, once=once)
        pause = policy.pause(number)
        longer = lengthen(longest, pause, (deadline - now - LAST).total_seconds())
        due = now + timedelta(seconds=pause if longer is None else longer)
        if end is None and due >= deadline:
            end = DeliveryEnd("exhausted", sentence)
        if end is not None:
            unknown = end.cause == "unknown"
            return failed(reason=end.reason, cause=end.cause, status=status, attempts=number, unknown=unknown)
        await journey.wait(due, f"{journey.step}: next attempt", lambda: False)
