"""The host of steps on Temporal: a journey's data and clock, conditions, waits, holds, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from temporalio import workflow

from activities.interface import CLEAR, DECIDE, Answer, Clearance, Cleared, Question
from scenario.entry.entry import Entry
from scenario.plan.plan import Plan
from scenario.steps.base import Row
from scenario.steps.delivery import Send, delivery_id
from scenario.steps.host import MOST_KEPT, ContinueAsNew, Failed, Leave, NotBefore, Outcome, Rounds
from scenario.steps.registry import read_row
from scenario.steps.switch import output_of
from scenario.time.timing import zone_of
from workflows import visibility
from workflows.local_activities import answer_to
from workflows.records import Migration
from workflows.state import LONGEST_REASON, Event, Held, State, StepRecord
from workflows.waiting import wait

if TYPE_CHECKING:
    from datetime import tzinfo


class StepHost:
    """The part of a journey that its steps use.

    Attributes:
        entry: As it came.
        state: What the journey remembers.
        plan: What it follows.
        version: Name and version of it, ``post-purchase@3``; empty before admission.
        ended: The outcome of a journey that ends at its admission; else empty.
        early: How many updates wait for admission.
        changes: Counts the changes of the contact.
        retrying: An operator wants the held step to be tried again.
        skipping: An operator wants the present step to be skipped, for this reason.
        full: This run has taken so many signals that another is to go on.
        stays: What there is to hand on is too large for another run: this one goes on.
        moving: Another version, in which the journey goes on as soon as nothing of the present step is under way.
        under_way: The step whose delivery is under way, with the policy that it has.
        deadline: Of the delivery that was scheduled last.
        scheduled: When that was.
    """

    entry: Entry
    state: State
    plan: Plan
    version: str = ""

    def __init__(self) -> None:
        self.ended = ""
        self.early: int = 0
        self.changes = 0
        self.retrying = False
        self.skipping: str | None = None
        self.full = False
        self.stays = False
        self.moving: Migration | None = None
        self.under_way: Send | None = None
        self.deadline = self.scheduled = datetime.max.replace(tzinfo=UTC)
        self._attributes = visibility.SearchAttributes()
        self._data: dict[str, Any] = {}
        self._zone: tzinfo = zone_of()
        self._leaving: Leave | None = None
        self._unnoted: list[tuple[str, str, str]] = []
        self._arrived: list[Event] = []
        self._dealing = False
        self._settled = 0
        self._history_length = 0

    @property
    def zone(self) -> tzinfo:
        """The contact's time zone: its own, else the scenario's."""
        return self._zone

    @property
    def step(self) -> str:
        """The id of the present step."""
        return self.state.at or ""

    @property
    def until(self) -> datetime | None:
        """When the wait at the present step ends, once that has been worked out."""
        return None if self.state.until is None else datetime.fromisoformat(self.state.until)

    @until.setter
    def until(self, moment: datetime | None) -> None:
        self.state.until = None if moment is None else moment.astimezone(UTC).isoformat()

    @property
    def rounds(self) -> Rounds | None:
        """How far the repetition at the present step is."""
        return self.state.rounds.get(self.step)

    @rounds.setter
    def rounds(self, rounds: Rounds | None) -> None:
        if rounds is None:
            self.state.rounds.pop(self.step, None)
        else:
            self.state.rounds[self.step] = rounds

    @property
    def paused(self) -> bool:
        """Whether an operator has paused the journey."""
        return self.state.paused is not None

    @property
    def postponed(self) -> NotBefore | None:
        """What keeps the delivery of the present step back."""
        if self.until is None or self.state.kept_back is None:
            return None
        return NotBefore(moment=self.until, since=self.state.kept_back)

    def postpone(self, until: NotBefore | None) -> None:
        """Keeps the delivery of the present step back; None ends that."""
        self.until = None if until is None else until.moment
        self.state.kept_back = None if until is None else until.since
        if until is not None:
            self.state.kept = [*self.state.kept[-(MOST_KEPT - 1) :], until.told(self.zone)]

    @property
    def at_once(self) -> bool:
        """Whether an operator wants the delivery of the present step to leave whatever the hour."""
        return self.state.at_once

    @property
    def counted(self) -> int:
        """How many events were kept in all."""
        return self.state.counted

    def missed(self, seen: int) -> bool:
        """Whether more than `seen` events have been kept by now, which the step has to look at before it waits."""
        return self.state.counted > seen

    @property
    def began(self) -> datetime:
        """When the step at this position began."""
        return datetime.fromisoformat(self.state.since) if self.state.since else workflow.now()

    @property
    def must_continue(self) -> bool:
        """Whether another run is to go on here, since the history has grown so long, or another version."""
        return self.moving is not None or self.outgrown

    @property
    def outgrown(self) -> bool:
        """Whether the history has grown so long, by signals or so that the server suggests it, to continue as new."""
        return not self.stays and (self.full or workflow.info().is_continue_as_new_suggested())

    @property
    def delivery(self) -> str:
        """The id of the present step's delivery."""
        state, name = self.state, self.step
        known = state.delivery
        return known or delivery_id(workflow.info().workflow_id, state.root, name, state.visits.get(name, 0))

    def local(self, moment: datetime) -> str:
        """A moment on the contact's clock, ISO 8601."""
        return moment.astimezone(self._zone).isoformat(timespec="seconds")

    def data(self) -> dict[str, Any]:
        """The journey's data by root name, as templates and conditions see it."""
        journey = {**self._data["journey"], "timezone": str(self._zone)}
        data = {**self._data, "journey": journey, "responses": self.state.responses}
        if self.state.event is not None:
            data["event"] = self.state.event
        return data

    @property
    def override(self) -> Row | None:
        """The row by which an operator wants the present step performed, from another version; None for its own."""
        return None if self.state.anew is None else read_row(self.state.anew.step)

    @property
    def followed(self) -> str:
        """Name and version whose templates the present step is rendered from."""
        anew = self.state.anew
        return self.version if anew is None else f"{self.entry.name}@{anew.version}"

    @property
    def override_note(self) -> str | None:
        """What is to be said of a step that is worked out by another version."""
        return None if self.state.anew is None else f"evaluated again with {self.followed}"

    def now(self) -> datetime:
        """The time, in UTC."""
        return workflow.now()

    async def clear(self, clearance: Clearance) -> Cleared:
        """Asks what a destination wants."""
        cleared = await answer_to(CLEAR, clearance, about=clearance.destination)
        self.stop_if_interrupted()
        return cleared

    async def ask(self, condition: str, event: Event | None = None) -> Answer:
        """Works out a condition; with an event, it is about that one."""
        return await self._question(condition, "condition", None if event is None else event.data())

    async def text(self, template: str) -> Answer:
        """Works out what a template prints, on one line."""
        return await self._question(template, "text", None)

    async def choose(self, expression: str, cases: Sequence[str]) -> Answer:
        """Works out a value, and which of the cases it meets."""
        return await self._question(output_of(expression), "value", None, cases=tuple(cases))

    async def date(self, template: str, offset: float) -> datetime:
        """Works out a date to wait for.

        Args:
            template: Gives the date.
            offset: Seconds from there to the end of the wait.

        Raises:
            EntryError: It cannot be, or it is not a date.
        """
        while True:
            changes = self.changes
            answer = await self._question(template, "value", None, zone=str(self.zone), offset=offset)
            # Else the contact may have moved to another zone meanwhile.
            if not answer.end or self.changes == changes:
                return answer.moment

    async def _question(self, text: str, kind: Any, event: dict[str, Any] | None, **more: Any) -> Answer:
        now = self.local(workflow.now())
        data = {**self.data(), "now": now, "today": now[:10]}
        if event is not None:
            data["event"] = event
        # By the step: a condition may be long, and may quote what only its author should see.
        return await answer_to(DECIDE, Question(text=text, data=data, kind=kind, **more), about=self.step)

    def events(self, name: str, *, since_now: bool) -> list[Event]:
        """The kept events of a name; only those that came since the present step began, or all."""
        first = self.state.mark if since_now else 0
        return [kept for kept in self.state.events if kept.name == name and kept.number > first]

    def take(self, event: Event) -> None:
        """Makes an event the one that templates see as `event`."""
        self.state.event = event.data()

    def await_event(self, name: str) -> None:
        """Says what the present step waits for."""
        self.state.awaiting = name

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Waits until a moment (None: forever), or until `wake` or a needed continue-as-new; tells whether it woke."""
        self.stop_if_interrupted()
        self.show()
        limit = None if until is None else until - workflow.now()
        woke = await wait(lambda: wake() or self.must_continue, limit, what)
        # An event that came before the end of the wait counts, whichever task of the journey resumes first.
        if not self.taken_in:
            await workflow.wait_condition(lambda: self.taken_in)
        return woke

    def record(
        self,
        outcome: str,
        reason: str | None = None,
        *,
        status: int | None = None,
        attempts: int | None = None,
        note: str | None = None,
        way: str | None = None,
    ) -> None:
        """Notes how the present step went."""
        self.state.held = None
        self.retrying = False
        name = self.step
        if not self.revisable:
            self._history_length = workflow.info().get_current_history_length()
            self._settled = self.state.told + len(self.state.passed)
        self.state.record(
            StepRecord(
                id=name,
                kind=self.plan.steps[name].kind,
                outcome=outcome,
                at=workflow.now().isoformat(timespec="seconds"),
                reason=reason,
                status=status,
                attempts=attempts or None,
                note="; ".join(filter(None, (*self.state.kept, note))) or None,
                way=way,
            )
        )

    @property
    def revisable(self) -> int:
        """Number of the steps that were completed in the present workflow task: it may be refused, and done anew."""
        is_same = workflow.info().get_current_history_length() == self._history_length
        return max(self.state.told + len(self.state.passed) - self._settled, 0) if is_same else 0

    def hold(self, failed: Failed) -> None:
        """Stops at the present step, which failed for good, until a person decides."""
        self.state.held = Held(
            step=self.step,
            kind=failed.kind,
            reason=failed.reason,
            at=workflow.now().isoformat(timespec="seconds"),
            destination=failed.destination,
            status=failed.status,
            attempts=failed.attempts or None,
            excerpt=failed.excerpt,
            cause=failed.cause,
        )
        self.state.until = self.state.awaiting = self.state.kept_back = self.state.scheduled = None
        self.state.tried = 0
        self.retrying = False
        told = {"step": self.step, "kind": failed.kind, "status": failed.status, "cause": failed.cause}
        workflow.logger.warning("held", extra=told)
        visibility.remember(self.state.held)
        self.show()

    async def decided(self) -> Outcome | None:
        """Waits for an operator where the present step is held. Returns None where it is to be tried (again)."""
        if self.state.held is None:
            return None
        self.stop_if_interrupted()
        self.show()
        await workflow.wait_condition(lambda: self.retrying or self.must_continue)
        if not self.retrying:
            return ContinueAsNew()
        self.retrying = False
        self.state.held = None
        self.show()
        return None

    def ignore(self, what: str, reason: str) -> None:
        """Notes that something cannot be used, and logs it the first time."""
        self.pass_over(what, reason, tell=False)

    def pass_over(self, what: str, reason: str, *, tell: bool = True) -> None:
        """Notes that something cannot be used, for `progress`, and logs it.

        Args:
            what: An event, a rule, a step; see `workflows.state.PassedOver`.
            reason: Without any of the contact's data.
            tell: Log it each time, instead of the first time.
        """
        now, reason = workflow.now().isoformat(timespec="seconds"), reason[:LONGEST_REASON]
        if getattr(self, "state", None) is None:  # not admitted yet
            self._unnoted.append((what, reason, now))
            count = 1
        else:
            count = self.state.pass_over(what, reason, now)
        if tell or count == 1:
            workflow.logger.warning("%s ignored: %s", what, reason)

    def note_passed_over(self) -> None:
        """Notes what was ignored before the journey was admitted."""
        for what, reason, at in self._unnoted:
            self.state.pass_over(what, reason, at)
        self._unnoted.clear()

    def leave(self, reason: str) -> None:
        """Ends the journey at once, whatever it is doing."""
        if self._leaving is None:
            self._leaving = Leave(reason)

    @property
    def interrupted(self) -> bool:
        """Whether the present step is to end here: the contact leaves, or an operator skips it."""
        return self._leaving is not None or self.skipping is not None

    def stop_if_interrupted(self) -> None:
        """Ends a step before it begins to wait.

        Its task was cancelled, but what it awaited may have come to its own end in the same moment (an activity that
        failed, a timer, a changed contact): then the cancellation is lost, and nothing would end the new wait.
        """
        if self.interrupted:
            raise asyncio.CancelledError

    @property
    def taken_in(self) -> bool:
        """Whether every event that came has been dealt with."""
        return not self._arrived and not self._dealing

    @property
    def leaving(self) -> bool:
        """Whether the journey is about to end."""
        return self._leaving is not None

    def show(self, *, always: bool = False) -> None:
        """Brings details and search attributes up to date.

        Search attributes cost the server a write each, so they follow only a wait, a hold, a pause, and their ends.
        """
        state = self.state
        workflow.set_current_details(visibility.details(state, self.plan, f"{self.version} · {self.entry.contact_id}"))
        mode = state.mode
        if always or mode in ("waiting", "held", "paused") or self._attributes.stands_out:
            self._attributes.show(self.entry, self.version, state)
